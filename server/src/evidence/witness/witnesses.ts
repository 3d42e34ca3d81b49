import { assert } from "../../kernel/assert.ts";
import { type Clock, within } from "../../kernel/clock.ts";
import { hasCode } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import type { Lock, Storage, Tx } from "../../storage/contract.ts";
import {
  type Checkpoint,
  type CheckpointSink,
  errors,
  type Kind,
  type Ledger,
  type LogReader,
  SINK_ANSWER_MS,
  SINK_BACKOFF_MAX_MS,
  SINK_BACKOFF_MS,
  SINK_ERROR_CHARS_MAX,
  SINK_LAG_ENTRY_MS,
  SINK_POLL_MS,
  SINK_STOP_MS,
  WITNESS_HOLD_MS,
} from "../contract.ts";
import { giveNewest, heldBy } from "./copy.ts";
import { putSink, type SinkRow, selectFirstPast, selectSink } from "./store.ts";

const OFFICE = "evidence-witness";

/** How one witness stands. */
export interface WitnessView {
  /** As the configuration names it, without secrets. */
  sink: string;
  /** Of the newest copy that it took; 0 when none. */
  size: number;
  /** How long the oldest checkpoint that it lacks has waited; 0 when it has the newest. */
  lag_ms: number;
  /** When it was last known to hold the newest, milliseconds UTC. */
  ok_at: number | null;
  /** What was wrong at the last attempt; null when it succeeded. */
  error: string | null;
}

export interface WitnessReader {
  /** In the order of the configuration. */
  list(): Promise<WitnessView[]>;
}

export interface WitnessParts {
  storage: Storage;
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
  ledger: Ledger;
  log: Pick<LogReader, "checkpoint" | "tiles">;
  /** Each with a name of its own, at most `WITNESSES_MAX`. */
  sinks: CheckpointSink[];
  /** This node, among those of its database: one of them publishes. */
  node: string;
}

/** One witness, as this process deals with it. */
interface Post {
  readonly sink: CheckpointSink;
  /** The log that it was asked about; undefined before it was asked what it holds. */
  asked: string | undefined;
  failures: number;
  /** On the monotonic clock: not before this. */
  next_at: number;
  /** On the monotonic clock: when the ledger may be told again, after it could not be. */
  tell_at: number;
  /** The attempt under way. */
  attempt: { stop: AbortController; ended: Promise<unknown> } | undefined;
}

/**
 * Gives each witness the newest checkpoint, and only that one. Witnesses do not wait for each other, and nothing waits
 * for them: what was sealed is looked at each `SINK_POLL_MS`, from outside. What each has taken is kept, so that
 * another process goes on from there.
 */
export class Witnesses implements WitnessReader {
  readonly #parts: WitnessParts;
  readonly #posts: Post[];
  #office: Lock | undefined;
  #renew_at = 0;
  #cancel: (() => void) | undefined;
  #tenant: TenantId | undefined;
  #looking: Promise<void> | undefined;

  constructor(parts: WitnessParts) {
    this.#parts = parts;
    this.#posts = parts.sinks.map((sink) => ({
      sink,
      asked: undefined,
      failures: 0,
      next_at: 0,
      tell_at: 0,
      attempt: undefined,
    }));
  }

  /** @param tenant  whose ledger is told of a witness that lags. */
  start(tenant: TenantId): void {
    if (this.#posts.length === 0) return;
    this.#tenant = tenant;
    this.#renew_at = this.#parts.clock.monotonic();
    this.#cancel = this.#parts.clock.every(SINK_POLL_MS, () => this.#wake());
    this.#wake();
  }

  /** Ends what is under way; a witness that does not let go is left behind after `SINK_STOP_MS`. */
  async stop(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#looking;
    const ended = this.#posts.flatMap(({ attempt }) => {
      attempt?.stop.abort();
      return attempt === undefined ? [] : [attempt.ended];
    });
    await within<unknown>(this.#parts.clock, SINK_STOP_MS, Promise.all(ended), () => undefined);
    const { locks } = this.#parts.storage;
    if (this.#office !== undefined) await locks.release(this.#office).catch(() => {}); // the store may be away; its time runs out
    this.#office = undefined;
  }

  async list(): Promise<WitnessView[]> {
    const { storage } = this.#parts;
    const newest = await this.#newest();
    return Promise.all(
      this.#posts.map(async ({ sink: { name } }) => {
        const row = await selectSink(storage, name);
        const { size, ok_at, error } = row;
        return { sink: name, size, lag_ms: this.#lagSince(await this.#lacksSince(row, newest)), ok_at, error };
      }),
    );
  }

  #wake(): void {
    this.#looking ??= this.#look()
      .catch((error: unknown) => this.#warn("witnesses could not be looked at", undefined, error))
      .finally(() => {
        this.#looking = undefined;
      });
  }

  async #look(): Promise<void> {
    const newest = await this.#newest();
    if (newest === undefined) return;
    const office = await this.#hold();
    for (const post of this.#posts) {
      // One that ends between our look and our word would be followed by another with the same copy.
      const is_busy = post.attempt !== undefined;
      const row = await selectSink(this.#parts.storage, post.sink.name);
      const since_at = await this.#lacksSince(row, newest);
      const lag_ms = this.#lagSince(since_at);
      this.#parts.metrics.set("gantry_evidence_sink_lag_seconds", lag_ms / 1_000, { sink: post.sink.name });
      if (office === undefined || this.#cancel === undefined) continue;
      if (!is_busy && (post.asked !== newest.origin || row.size < newest.size)) this.#begin(post, row, newest);
      if (since_at !== undefined && lag_ms >= SINK_LAG_ENTRY_MS && row.lagged_at === null) {
        await this.#tellLag(post, since_at).catch(() => {}); // The log was told, and the ledger is once more, later.
      }
    }
  }

  async #newest(): Promise<Checkpoint | undefined> {
    try {
      return await this.#parts.log.checkpoint();
    } catch (error) {
      if (hasCode(error, errors.NOT_SEALED)) return undefined;
      throw error;
    }
  }

  /** The office of the one node that publishes, taken or renewed; undefined while another holds it. */
  async #hold(): Promise<Lock | undefined> {
    const { clock, node, storage } = this.#parts;
    const now = clock.monotonic();
    if (now < this.#renew_at) return this.#office;
    this.#renew_at = now + WITNESS_HOLD_MS / 3;
    if (this.#office !== undefined && (await storage.locks.renew(this.#office, WITNESS_HOLD_MS))) return this.#office;
    // Meanwhile another may have published: what the witnesses hold is asked anew.
    for (const post of this.#posts) post.asked = undefined;
    this.#office = await storage.locks.take(OFFICE, node, WITNESS_HOLD_MS);
    return this.#office;
  }

  /** When the first checkpoint was made that this witness lacks, in milliseconds UTC; undefined when it lacks none. */
  async #lacksSince({ size }: SinkRow, newest: Checkpoint | undefined): Promise<number | undefined> {
    if (newest === undefined || size >= newest.size) return undefined;
    return (await selectFirstPast(this.#parts.storage, size)) ?? newest.at;
  }

  #lagSince(since_at: number | undefined): number {
    return since_at === undefined ? 0 : Math.max(0, this.#parts.clock.now() - since_at);
  }

  /** Begins an attempt, unless the last one goes on or the witness is to be left alone. */
  #begin(post: Post, row: SinkRow, newest: Checkpoint): void {
    const { clock } = this.#parts;
    if (post.attempt !== undefined || clock.monotonic() < post.next_at) return;
    const stop = new AbortController();
    const work = this.#give(post, row, newest, stop.signal);
    const judged = within(clock, SINK_ANSWER_MS, work, () => {
      stop.abort();
      throw new Error(`no answer within ${SINK_ANSWER_MS / 1_000} s`);
    }).then(
      () => this.#succeeded(post, newest),
      (error: unknown) => (this.#cancel === undefined ? undefined : this.#failed(post, error)),
    );
    // The work itself may end later than its judgement, and until then there is no second one.
    const ended = Promise.allSettled([work, judged]).then(([, { status }]) => {
      post.attempt = undefined;
      if (status === "rejected") this.#leaveAlone(post);
    });
    post.attempt = { stop, ended };
  }

  async #give(post: Post, row: SinkRow, newest: Checkpoint, signal: AbortSignal): Promise<void> {
    const { log } = this.#parts;
    const held = post.asked === newest.origin ? row.size : await heldBy(post.sink, row.size, newest, signal);
    if (held < row.size) this.#warn("a witness holds less than it had taken", post, `${held}, once ${row.size}`);
    post.asked = newest.origin;
    await giveNewest(post.sink, held, newest, log.tiles, signal);
  }

  async #succeeded(post: Post, { size }: Checkpoint): Promise<void> {
    const { clock } = this.#parts;
    post.failures = 0;
    post.next_at = clock.monotonic() + post.sink.every_ms;
    await this.#change(post, ({ lagged_at }, tx) => {
      if (lagged_at !== null) this.#tell(tx, "sink.recovered", { sink: post.sink.name, size, since_at: lagged_at });
      return { size, ok_at: clock.now(), error: null, lagged_at: null };
    });
  }

  async #failed(post: Post, error: unknown): Promise<void> {
    this.#leaveAlone(post);
    const said = messageOf(error);
    this.#warn("a witness has taken no copy", post, said);
    await this.#change(post, (row) => (row.error === said ? row : { ...row, error: said }));
  }

  #leaveAlone(post: Post): void {
    const wait_ms = Math.min(SINK_BACKOFF_MS * 2 ** post.failures, SINK_BACKOFF_MAX_MS);
    post.failures += 1;
    post.next_at = this.#parts.clock.monotonic() + wait_ms;
  }

  async #tellLag(post: Post, since_at: number): Promise<void> {
    const { clock } = this.#parts;
    if (clock.monotonic() < post.tell_at) return;
    post.tell_at = clock.monotonic() + SINK_BACKOFF_MAX_MS;
    await this.#change(post, (row, tx) => {
      if (row.lagged_at !== null) return row;
      this.#tell(tx, "sink.lagged", { sink: post.sink.name, size: row.size, since_at });
      return { ...row, lagged_at: since_at };
    });
    post.tell_at = 0;
  }

  /** Changes what is kept of a witness, if this node is still the one that publishes. Failures are for the log. */
  async #change(post: Post, change: (row: SinkRow, tx: Tx) => SinkRow): Promise<void> {
    const { storage } = this.#parts;
    const office = this.#office;
    if (office === undefined) return;
    try {
      await storage.write(async (tx) => {
        storage.locks.fence(tx, office);
        const row = await selectSink(tx, post.sink.name);
        const changed = change(row, tx);
        if (changed !== row) putSink(tx, post.sink.name, changed);
      });
    } catch (error) {
      this.#warn("what a witness holds could not be noted", post, error);
      throw error;
    }
  }

  #tell(tx: Tx, kind: Kind, data: { sink: string; size: number; since_at: number }): void {
    const tenant = this.#tenant;
    assert(tenant !== undefined, "nothing is told before the start");
    this.#parts.ledger.append(tx, { kind, tenant, actor: [], data });
  }

  #warn(message: string, post: Post | undefined, error: unknown): void {
    const sink = post === undefined ? {} : { sink: post.sink.name };
    this.#parts.logger.warn({ ...sink, error: messageOf(error) }, message);
  }
}

/** One bounded line for logs and tables. */
function messageOf(error: unknown): string {
  const text =
    typeof error === "object" && error !== null && "message" in error ? String(error.message) : String(error);
  return text.replaceAll(/\p{C}/gu, " ").trim().slice(0, SINK_ERROR_CHARS_MAX);
}
