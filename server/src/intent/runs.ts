import type { Ledger } from "../evidence/contract.ts";
import { BOOT_FAILURES_MAX, type Compiler, type RunnerPool } from "../execution/contract.ts";
import type { Principal } from "../identity/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { within } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import { type Ids, isId } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Policy } from "../policy/contract.ts";
import { type Storage, errors as storage_errors } from "../storage/contract.ts";
import type { Capacity } from "./admission.ts";
import { CodeShelf } from "./code_shelf.ts";
import {
  CANCEL_WAIT_MS,
  type LogLine,
  type Page,
  RUNS_PAGE_DEFAULT,
  RUNS_PAGE_MAX,
  type RunQuery,
  type RunRequest,
  type Runs,
  type RunView,
  run_errors,
  WAIT_MS_MAX,
} from "./contract.ts";
import { demandRunners, denialOf } from "./decide.ts";
import { endedEntry, typedFields } from "./entries.ts";
import { type Accepted, Keys, keyHash } from "./keys.ts";
import type { Live } from "./live.ts";
import { LiveRuns } from "./live_runs.ts";
import { followLog } from "./log_reader.ts";
import { insertNotice } from "./node_store.ts";
import { isConflict, Node, type Sharing } from "./nodes.ts";
import { checkInput, type Intent, limitsUnder, normalise, requestHash } from "./normalise.ts";
import { hearNotices } from "./notices.ts";
import { type Creation, type KeyBinding, Recorder, unavailable } from "./recorder.ts";
import { type Recovered, Recovery } from "./recovery.ts";
import { RowReader } from "./row_reader.ts";
import { deniedRow, endedWithout, newRow } from "./rows.ts";
import { findRun, listRuns, type RunRow } from "./store.ts";
import { fullView, refusalOf, viewOf } from "./view.ts";

export interface RunsDeps {
  storage: Storage;
  ledger: Ledger;
  policy: Policy;
  compiler: Compiler;
  pool: RunnerPool;
  clock: Clock;
  ids: Ids;
  log: Logger;
  metrics: Metrics;
  /** This machine, and this start of the process. */
  node: { id: string; boot: string };
  /** Absent: no other process can use the database. */
  shared?: Sharing | undefined;
  capacity: Capacity;
}

/** What `main.ts` does with runs besides serving them. */
export interface RunsLife {
  /**
   * Ends or requeues what an earlier start left behind and takes up the queue. Once, before the first request, and
   * before the timers of storage start.
   */
  recover(): Promise<Recovered>;
  /** Why this node takes no runs at the moment, or undefined. */
  trouble(): string | undefined;
  /** Refuses new runs, waits up to `limit_ms` for the running ones, then cancels them. What waits stays queued. */
  drain(limit_ms: number): Promise<void>;
}

/** Builds the room. Call before the timers of storage start: it registers their handlers. */
export function createRuns(deps: RunsDeps): Runs & RunsLife {
  return new Intake(deps);
}

class Intake implements Runs, RunsLife {
  readonly #d: RunsDeps;
  readonly #recorder: Recorder;
  readonly #lives: LiveRuns;
  readonly #keys: Keys;
  readonly #node: Node;
  readonly #recovery: Recovery;
  /** Of runs that other nodes have. */
  readonly #rows: RowReader;
  #stopHearing: () => void = () => {};

  constructor(deps: RunsDeps) {
    this.#d = deps;
    const shelf = new CodeShelf(deps.storage, deps.clock);
    this.#recorder = new Recorder(deps.storage, deps.ledger, deps.clock, shelf);
    this.#node = new Node(deps);
    this.#lives = new LiveRuns({ ...deps, shelf, recorder: this.#recorder, node: this.#node });
    this.#recovery = new Recovery({ ...deps, recorder: this.#recorder, lives: this.#lives, node: this.#node });
    this.#keys = new Keys(deps.storage, deps.clock);
    this.#rows = new RowReader(deps);
  }

  async submit(who: Principal, ask: RunRequest, o: { key?: string } = {}): Promise<RunView> {
    const intent = normalise(ask);
    const { key } = o;
    if (key === undefined) return this.#submitted(who, await this.#accept(who, intent), intent.wait_ms);
    const request_hash = requestHash(ask);
    try {
      const accept = () => this.#accept(who, intent, { key, request_hash });
      return await this.#submitted(who, await this.#keys.once(who, key, request_hash, accept), intent.wait_ms);
    } catch (error) {
      // Another node may have bound the key at the same moment: its run is the one.
      if (!isConflict(error)) throw error;
      const id = await this.#keys.find(who, key, request_hash);
      if (id === undefined) throw error;
      return this.#fromRow(who, id, intent.wait_ms, true);
    }
  }

  #submitted(who: Principal, accepted: Accepted, wait_ms: number): Promise<RunView> {
    const live = accepted.live ?? this.#lives.find(who.tenant, accepted.id);
    return live === undefined ? this.#fromRow(who, accepted.id, wait_ms, true) : this.#answer(who, live, wait_ms, true);
  }

  async get(who: Principal, id: string, wait_ms = 0): Promise<RunView> {
    const live = this.#lives.find(who.tenant, id);
    const wait = Math.min(wait_ms, WAIT_MS_MAX);
    return live === undefined ? this.#fromRow(who, id, wait, false) : this.#answer(who, live, wait, false);
  }

  async list(who: Principal, query: RunQuery): Promise<Page<RunView>> {
    const limit = Math.min(Math.max(1, query.limit ?? RUNS_PAGE_DEFAULT), RUNS_PAGE_MAX);
    const rows = await listRuns(this.#d.storage, who.tenant, query, limit);
    const page = rows.slice(0, limit);
    const views = page.map((row) => {
      const live = row.state === "ended" ? undefined : this.#lives.find(who.tenant, row.id);
      return live === undefined ? viewOf(row) : this.#lives.view(live);
    });
    // Memory knows better than the row whether a run is running.
    const items = query.state === undefined ? views : views.filter((view) => view.state === query.state);
    const last = page.at(-1);
    return rows.length > limit && last !== undefined ? { items, next: last.id } : { items };
  }

  async logs(who: Principal, id: string, after: number, follow: boolean, signal?: AbortSignal) {
    const live = this.#lives.find(who.tenant, id);
    if (live === undefined) {
      await this.#row(who, id);
      return follow
        ? this.#rows.follow(id, after, signal)
        : followLog(this.#d.storage, id, after, live, follow, signal);
    }
    await live.accepted.promise;
    const lines = followLog(this.#d.storage, id, after, live, follow, signal);
    return follow ? this.#followOn(live, lines, after, signal) : lines;
  }

  /** A run that is lost while it is followed may go on elsewhere. */
  async *#followOn(live: Live, lines: AsyncIterable<LogLine>, after: number, signal?: AbortSignal) {
    let at = after;
    for await (const line of lines) {
      yield line;
      at = line.seq;
    }
    if (live.lost) yield* this.#rows.follow(live.row.id, at, signal);
  }

  async cancel(who: Principal, id: string): Promise<RunView> {
    const live = this.#lives.find(who.tenant, id);
    if (live !== undefined) {
      await live.accepted.promise;
      await this.#lives.cancel(live, who.actor);
      return this.#answer(who, live, CANCEL_WAIT_MS, false);
    }
    const { storage, clock, shared } = this.#d;
    const row = await this.#row(who, id);
    if (row.state === "ended" || shared === undefined) return fullView(row, storage.blobs);
    await storage.write((tx) => insertNotice(tx, { run: row.id, actor: who.actor, at: clock.now() }));
    return this.#fromRow(who, id, CANCEL_WAIT_MS, false);
  }

  async recover(): Promise<Recovered> {
    await this.#keys.start();
    await this.#node.start();
    const recovered = await this.#recovery.look();
    const shared = this.#d.shared !== undefined;
    this.#node.beat({
      out: () => this.#lives.abandon(),
      alive: () => (shared || this.#recovery.owes ? this.#recovery.lookLater() : undefined),
    });
    if (shared) this.#stopHearing = hearNotices({ ...this.#d, lives: this.#lives });
    return recovered;
  }

  trouble(): string | undefined {
    return this.#node.serves() ? undefined : "this node could not say in time that it lives";
  }

  async drain(limit_ms: number): Promise<void> {
    this.#rows.close();
    await this.#lives.drain(limit_ms);
    this.#stopHearing();
    await this.#node.stop();
  }

  /** Walks a request to its first record: decided, and placed. What is thrown here left no row, a denial excepted. */
  async #accept(who: Principal, intent: Intent, key?: KeyBinding): Promise<Accepted> {
    try {
      return await this.#place(who, intent, key);
    } catch (error) {
      if (error instanceof GantryError && error.parts.run === undefined) {
        this.#d.metrics.add("gantry_runs_refused_total", { code: error.code });
      }
      throw error;
    }
  }

  async #place(who: Principal, intent: Intent, key: KeyBinding | undefined): Promise<Accepted> {
    const { policy, compiler, pool, clock, ids, storage } = this.#d;
    const trouble = storage.unwritable();
    if (trouble !== undefined) {
      const kind = trouble === "STORAGE_FULL" ? storage_errors.FULL : storage_errors.UNREACHABLE;
      throw unavailable(new GantryError(kind, { detail: "" }));
    }
    const view = await policy.open(who.tenant, intent.contract, intent.snapshot);
    const limits = limitsUnder(view.contract, intent.limits);
    checkInput(intent.input, limits);
    const code = await compiler.compile(intent.source, limits);
    const key_hash = keyHash(key?.key);
    const row = newRow(ids("run"), who, intent, view, { limits, code_hash: code.hash, key_hash, now: clock.now() });
    const typed = typedFields(intent, view.contract);
    const creation: Creation = { input: intent.input, source: intent.source, key, typed };

    const denial = denialOf(view, intent.limits, row, pool);
    if (denial !== undefined) {
      await this.#conclude(deniedRow(row, clock.now(), denial), creation);
      throw denial;
    }
    demandRunners(pool, BOOT_FAILURES_MAX);
    if (row.expires_at !== null && row.expires_at <= row.created_at) {
      await this.#conclude(endedWithout(row, clock.now(), "expired"), creation);
      return { id: row.id };
    }
    return { id: row.id, live: this.#lives.place(row, intent.on_busy, { code, input: intent.input }, creation) };
  }

  /** Records a run that ends before it could start. */
  async #conclude(row: RunRow, creation: Creation): Promise<void> {
    await this.#recorder.create(row, endedEntry(row), creation);
    this.#d.metrics.add("gantry_runs_ended_total", { lane: row.lane, termination: row.termination ?? "" });
  }

  async #answer(who: Principal, live: Live, wait_ms: number, submitted: boolean): Promise<RunView> {
    const { clock } = this.#d;
    const until = clock.monotonic() + wait_ms;
    await live.accepted.promise;
    if (wait_ms === 0 && !live.lost) return this.#lives.view(live);
    const end = Promise.race([live.settled.promise, live.parked.promise]);
    const row = await within(clock, wait_ms, end, () => undefined);
    if (row === undefined && live.lost) {
      return this.#fromRow(who, live.row.id, Math.max(0, until - clock.monotonic()), submitted);
    }
    if (row === undefined) return this.#lives.view(live);
    const refusal = submitted ? refusalOf(row) : undefined;
    if (refusal !== undefined) throw refusal;
    return fullView(row, this.#d.storage.blobs);
  }

  /** What the row says of a run that this process does not have. */
  async #fromRow(who: Principal, id: string, wait_ms: number, submitted: boolean): Promise<RunView> {
    const row = await this.#rows.awaitEnd(await this.#row(who, id), wait_ms);
    const refusal = submitted ? refusalOf(row) : undefined;
    if (refusal !== undefined) throw refusal;
    return fullView(row, this.#d.storage.blobs);
  }

  async #row(who: Principal, id: string): Promise<RunRow> {
    const row = isId("run", id) ? await findRun(this.#d.storage, id) : undefined;
    if (row?.tenant === who.tenant) return row;
    throw new GantryError(run_errors.NOT_FOUND, { detail: `There is no run ${JSON.stringify(id.slice(0, 64))}.` });
  }
}
