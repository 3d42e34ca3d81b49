import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import {
  type Fire,
  type Row,
  type Storage,
  TIMER_ATTEMPTS_MAX,
  TIMER_BACKOFF_MAX_MS,
  TIMER_BACKOFF_MS,
  TIMER_CLAIM_MAX,
  TIMER_CLAIM_MS,
  TIMER_POLL_MS,
  type Timer,
  type Timers,
  type Tx,
} from "./contract.ts";
import { timer_sql } from "./store.ts";

/** How often the claims of running handlers are renewed. */
const TIMER_RENEW_MS = TIMER_CLAIM_MS / 3;
/** Of the text of a handler's error that a parked timer is recorded with. */
const TIMER_ERROR_CHARS_MAX = 500;

export interface TimerParts {
  storage: Pick<Storage, "write" | "get">;
  clock: Clock;
  random: Random;
  metrics: Metrics;
  logger: Logger;
}

type Handler = (fire: Fire) => Promise<void>;
type OnParked = (tx: Tx, timer: Fire, error: string) => void;

/** How long after its n-th failure a timer waits. */
export function backoffMs(attempts: number): number {
  return Math.min(TIMER_BACKOFF_MS * 2 ** (attempts - 1), TIMER_BACKOFF_MAX_MS);
}

/** Timers over any store. The poll is the guarantee; what wakes it earlier is a hint. */
export class StoredTimers implements Timers {
  readonly #parts: TimerParts;
  readonly #handlers = new Map<string, Handler>();
  readonly #running = new Map<Fire, Promise<void>>();
  readonly #ended = new WeakSet<Fire>();
  /** The earliest timer that a unit sets, for its commit. */
  readonly #hints = new WeakMap<Tx, number>();
  readonly #claimer: string;
  #onParked: OnParked | undefined;
  #stops: (() => void)[] = [];
  #polling: Promise<void> | undefined;
  #again = false;

  constructor(parts: TimerParts) {
    this.#parts = parts;
    this.#claimer = Buffer.from(parts.random.bytes(8)).toString("hex");
  }

  set(tx: Tx, timer: Timer): void {
    assert(/^[a-z]+\.[a-z_]+$/.test(timer.owner), "a timer's owner is <room>.<what>");
    const epoch = Buffer.from(this.#parts.random.bytes(6)).readUIntBE(0, 6);
    tx.run(timer_sql.set, [timer.owner, timer.key, timer.due_at, timer.payload ?? null, epoch], 1);
    this.#hints.set(tx, Math.min(timer.due_at, this.#hints.get(tx) ?? timer.due_at));
  }

  cancel(tx: Tx, owner: string, key: string): void {
    tx.run(timer_sql.cancel, [owner, key]);
  }

  on(owner: string, handler: Handler): void {
    assert(this.#onParked === undefined, "handlers are registered before the start");
    assert(!this.#handlers.has(owner), `timers of ${owner} have one handler`);
    this.#handlers.set(owner, handler);
  }

  done(tx: Tx, fire: Fire): void {
    tx.run(timer_sql.done, [fire.owner, fire.key, fire.epoch], 1);
    this.#ended.add(fire);
  }

  start(on_parked: OnParked): void {
    assert(this.#onParked === undefined, "timers are started once");
    this.#onParked = on_parked;
    if (this.#handlers.size === 0) return;
    const { clock } = this.#parts;
    this.#stops.push(clock.every(TIMER_POLL_MS, () => this.#wake()));
    this.#stops.push(clock.every(TIMER_RENEW_MS, () => this.#renew()));
    this.#wake();
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) stop();
    this.#stops = [];
    await this.#polling;
    await Promise.all(this.#running.values());
  }

  /** A hint: this unit is durable, and what it set may be due before the next poll. */
  committed(tx: Tx): void {
    const due_at = this.#hints.get(tx);
    if (due_at === undefined || this.#stops.length === 0) return;
    const wait_ms = due_at - this.#parts.clock.now();
    if (wait_ms <= 0) this.#wake();
    else if (wait_ms < TIMER_POLL_MS) this.#parts.clock.after(wait_ms, () => this.#wake());
  }

  /** Polls now, or once more after the poll that is under way. */
  #wake(): void {
    if (this.#stops.length === 0) return;
    this.#again = true;
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined;
      if (this.#again) this.#wake();
    });
  }

  async #poll(): Promise<void> {
    while (this.#again && this.#stops.length > 0) {
      this.#again = false;
      try {
        const free = TIMER_CLAIM_MAX - this.#running.size;
        if (free === 0) return; // The end of a handler wakes the poll.
        for (const fire of await this.#claim(free)) this.#fire(fire);
      } catch (error) {
        // The store may be full or busy: the next poll tries again, nothing is lost.
        this.#parts.logger.warn({ error: String(error) }, "timers could not be claimed");
      }
    }
  }

  async #claim(most: number): Promise<Fire[]> {
    const owners = [...this.#handlers.keys()];
    const now = this.#parts.clock.now();
    // A read first: an idle poll costs no commit.
    const due = await this.#parts.storage.get(timer_sql.due(owners.length), [now, now, ...owners]);
    if (due === undefined) return [];
    const params = [this.#claimer, now + TIMER_CLAIM_MS, now, now, ...owners, most];
    const rows = await this.#parts.storage.write((tx) => tx.all(timer_sql.claim(owners.length), params));
    if (rows.length === most) this.#again = true;
    return rows.map(fireOf).sort((a, b) => a.due_at - b.due_at);
  }

  #fire(fire: Fire): void {
    const ended = this.#handle(fire).finally(() => {
      const was_full = this.#running.size >= TIMER_CLAIM_MAX;
      this.#running.delete(fire);
      if (was_full) this.#wake();
    });
    this.#running.set(fire, ended);
  }

  async #handle(fire: Fire): Promise<void> {
    try {
      // More claims than attempts: the process itself ended in the handler, again and again.
      if (fire.attempts > TIMER_ATTEMPTS_MAX) throw new Error("the process ended during every attempt");
      const handler = this.#handlers.get(fire.owner);
      assert(handler !== undefined, "only timers with a handler are claimed");
      await handler(fire);
      if (this.#ended.has(fire)) return;
      throw new Error("the handler ended without ending its timer");
    } catch (error) {
      await this.#retry(fire, error).catch((failure: unknown) => {
        // The claim runs out and the timer fires again.
        this.#parts.logger.warn({ timer: fire, error: String(failure) }, "a failed timer could not be put back");
      });
    }
  }

  async #retry(fire: Fire, error: unknown): Promise<void> {
    const { storage, clock, logger, metrics } = this.#parts;
    const { owner, key, epoch, attempts } = fire;
    const message = String(error).slice(0, TIMER_ERROR_CHARS_MAX);
    logger.warn({ owner, key, attempts, error: message }, "a timer's handler failed");
    if (attempts < TIMER_ATTEMPTS_MAX) {
      const next_at = clock.now() + backoffMs(attempts);
      return storage.write((tx) => tx.run(timer_sql.retry, [next_at, owner, key, epoch]));
    }
    await storage.write((tx) => {
      tx.run(timer_sql.park, [clock.now(), owner, key, epoch], 1);
      this.#onParked?.(tx, fire, message);
    });
    metrics.add("gantry_timers_parked_total");
  }

  #renew(): void {
    if (this.#running.size === 0) return;
    const until_at = this.#parts.clock.now() + TIMER_CLAIM_MS;
    const renewed = this.#parts.storage.write((tx) => {
      for (const { owner, key, epoch } of this.#running.keys()) {
        tx.run(timer_sql.renew, [until_at, owner, key, epoch, this.#claimer]);
      }
    });
    renewed.catch((error: unknown) => {
      this.#parts.logger.warn({ error: String(error) }, "the claims of timers could not be renewed");
    });
  }
}

function fireOf(row: Row): Fire {
  const { owner, key, due_at, payload, epoch, attempts } = row;
  return {
    owner: String(owner),
    key: String(key),
    due_at: Number(due_at),
    payload: payload === null ? null : String(payload),
    epoch: Number(epoch),
    attempts: Number(attempts),
  };
}
