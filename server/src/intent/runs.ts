import type { Ledger } from "../evidence/contract.ts";
import type { Compiler, RunnerPool } from "../execution/contract.ts";
import type { Gates, Subject } from "../gates/contract.ts";
import type { Identity, Principal, VerifiedTask } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { within } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import { type Ids, isId } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Contract, ContractDelta, PhaseWatch, Policy } from "../policy/contract.ts";
import type { Storage } from "../storage/contract.ts";
import type { Capacity } from "./admission.ts";
import { ApprovedRuns } from "./approvals.ts";
import { Charges } from "./charges.ts";
import { CodeShelf } from "./code_shelf.ts";
import {
  CANCEL_WAIT_MS,
  type LogLine,
  type Page,
  RUNS_PAGE_DEFAULT,
  RUNS_PAGE_MAX,
  type RunCalls,
  type RunQuery,
  type RunRequest,
  type Runs,
  type RunView,
  run_errors,
  WAIT_MS_MAX,
} from "./contract.ts";
import { RunDoors, type RunEgress } from "./doors.ts";
import { Entrance, type Entry } from "./entrance.ts";
import { endedEntry } from "./entries.ts";
import { type Accepted, Keys } from "./keys.ts";
import type { Live } from "./live.ts";
import { LiveRuns } from "./live_runs.ts";
import { followLog } from "./log_reader.ts";
import { insertNotice } from "./node_store.ts";
import { isConflict, Node, type Sharing } from "./nodes.ts";
import { normalise, requestHash } from "./normalise.ts";
import { hearNotices } from "./notices.ts";
import { countOverride } from "./overrides.ts";
import { cancelledRow } from "./readiness.ts";
import { Recorder } from "./recorder.ts";
import { type Recovered, Recovery } from "./recovery.ts";
import { RowReader } from "./row_reader.ts";
import { findRun, listRuns, type Override, type RunRow } from "./store.ts";
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
  identity: Pick<Identity, "claimTask" | "demandActive" | "settings" | "verifyCodeSignature">;
  gates: Pick<Gates, "demandNoDebt" | "execute" | "request" | "withdraw">;
  phases: PhaseWatch;
  /** What runs leave through. */
  egress: RunEgress;
  /** What `after` may do that `before` did not, as people are shown it. */
  delta: (before: Contract, after: Contract) => ContractDelta;
}

/** What `main.ts` does with runs besides serving them. */
export interface RunsLife {
  /** What `gates/` tells of decisions about runs. */
  readonly subject: Subject;
  /**
   * Ends or requeues what an earlier start left behind and takes up the queue. Once, before the first request, and
   * before the timers of storage start.
   */
  recover(): Promise<Recovered>;
  /** How many slots this node gives, and how many runs hold one. */
  slots(): { used: number; of: number };
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
  readonly #entrance: Entrance;
  /** What becomes of runs that wait for people, for `gates/` to tell. */
  readonly subject: Subject;
  #stopHearing: () => void = () => {};

  constructor(deps: RunsDeps) {
    this.#d = deps;
    const shelf = new CodeShelf(deps.storage, deps.clock);
    const charges = new Charges(deps);
    const overridden = (row: RunRow) => void countOverride(deps, row);
    const doors = new RunDoors(deps);
    const recorder = new Recorder({ ...deps, shelf, companions: [charges, doors], overridden });
    this.#recorder = recorder;
    this.#node = new Node(deps);
    const parts = { ...deps, shelf, charges, recorder, doors, node: this.#node };
    this.#lives = new LiveRuns(parts);
    this.#recovery = new Recovery({ ...parts, lives: this.#lives });
    this.#keys = new Keys(deps.storage, deps.clock);
    this.#rows = new RowReader(deps);
    this.#entrance = new Entrance({ ...parts, lives: this.#lives });
    this.subject = new ApprovedRuns({ ...parts, lives: this.#lives, rows: this.#rows });
  }

  async submit(who: Principal, ask: RunRequest, o: { key?: string; task?: VerifiedTask } = {}): Promise<RunView> {
    assert((ask.task === undefined) === (o.task === undefined), "a task that a request has was verified");
    const intent = normalise(ask);
    const { key, task } = o;
    const entry: Entry = { who, intent, task, key: undefined };
    if (key === undefined) return this.#submitted(who, await this.#entrance.accept(entry), intent.wait_ms);
    const request_hash = requestHash(ask);
    try {
      const accept = () => this.#entrance.accept({ ...entry, key: { key, request_hash } });
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

  async calls(who: Principal, id: string, cursor?: string): Promise<RunCalls> {
    const { tenant, id: subject, egress } = await this.#row(who, id);
    const { lines, next } = await this.#d.egress.logs.read({ tenant, subject }, cursor);
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>); // our own JSON
    return { rows: egress ?? [], lines: parsed, ...(next === undefined ? {} : { next }) };
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
      await this.#lives.cancel(live, who.actor, overrideOf(who, live.row));
      return this.#answer(who, live, CANCEL_WAIT_MS, false);
    }
    const { storage, clock, shared } = this.#d;
    const row = await this.#row(who, id);
    const override = overrideOf(who, row);
    if (row.state === "waiting_approval") return this.#cancelParked(who, row, override);
    if (row.state === "ended" || shared === undefined) return fullView(row, storage.blobs);
    await storage.write((tx) => insertNotice(tx, { run: row.id, actor: who.actor, override, at: clock.now() }));
    return this.#fromRow(who, id, CANCEL_WAIT_MS, false);
  }

  /** A run that waits for people is in no node's memory: its row is ended, and what they were asked is withdrawn. */
  async #cancelParked(who: Principal, row: RunRow, override: Override | null): Promise<RunView> {
    const { clock, storage, metrics } = this.#d;
    const ended = cancelledRow(row, clock.now(), { cancelled_by: who.actor, override });
    try {
      const guard = { state: "waiting_approval" } as const;
      const kept = await this.#recorder.change(ended, { guard, entry: endedEntry(ended) });
      metrics.add("gantry_runs_ended_total", { lane: kept.lane, termination: "cancelled" });
      this.#rows.wake(row.id);
      return await fullView(kept, storage.blobs);
    } catch (error) {
      // It was decided at the same moment: what it is now can be cancelled, too.
      if (isConflict(error)) return this.cancel(who, row.id);
      throw error;
    }
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

  slots(): { used: number; of: number } {
    return { used: this.#lives.active, of: this.#d.capacity.slots };
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
    const { clock } = this.#d;
    const until = clock.monotonic() + wait_ms;
    const first = await this.#row(who, id);
    // Whoever has submitted what waits for people is told so at once.
    const wait = submitted && first.state === "waiting_approval" ? 0 : wait_ms;
    const row = await this.#rows.awaitEnd(first, wait, () => this.#lives.find(who.tenant, id) !== undefined);
    const live = row.state === "ended" ? undefined : this.#lives.find(who.tenant, id);
    if (live !== undefined && !live.lost)
      return this.#answer(who, live, Math.max(0, until - clock.monotonic()), submitted);
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

/** Does a human end what an agent has begun? */
function overrideOf(who: Principal, { chain }: RunRow): Override | null {
  return who.chain.at(-1)?.kind === "human" && chain.at(-1)?.kind === "agent" ? "cancel" : null;
}
