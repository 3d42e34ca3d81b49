import type { Clock } from "../../kernel/clock.ts";
import { EGRESS_FIRST_BYTE_MS_MAX, EGRESS_IDLE_MS_MAX } from "../contract.ts";
import { idle } from "./faults.ts";
import type { LiveCall } from "./live_call.ts";

/**
 * Breaks a call off when one of its directions stands still: the request from its first byte that is waited for, the answer
 * once the request is out. Each progress is one look at the clock; the one timer is set anew only when it fires.
 */
export class CallClock {
  readonly #clock: Clock;
  readonly #live: LiveCall;
  /** When the request moved last; undefined: it is not on its way. */
  #up_at: number | undefined;
  /** When the answer moved last, or began to be waited for. */
  #down_at: number | undefined;
  #down_ms = EGRESS_FIRST_BYTE_MS_MAX;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, live: LiveCall) {
    this.#clock = clock;
    this.#live = live;
  }

  /** The request moves. */
  up(): void {
    this.#up_at = this.#clock.monotonic();
    this.#watch(EGRESS_IDLE_MS_MAX);
  }

  /** All of the request is here. */
  upDone(): void {
    this.#up_at = undefined;
  }

  /** All of the request is out: the answer is waited for. */
  waiting(): void {
    this.#up_at = undefined;
    this.#down_at ??= this.#clock.monotonic();
    this.#watch(this.#down_ms);
  }

  /** The answer moves: it came in, or the guest has taken of it. */
  down(): void {
    this.#down_ms = EGRESS_IDLE_MS_MAX;
    this.#down_at = this.#clock.monotonic();
    this.#watch(EGRESS_IDLE_MS_MAX);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#up_at = undefined;
    this.#down_at = undefined;
  }

  #watch(ms: number): void {
    this.#cancel ??= this.#clock.after(ms, () => this.#look());
  }

  #look(): void {
    this.#cancel = undefined;
    const { host } = this.#live.pinned.target;
    const now = this.#clock.monotonic();
    const up_left = this.#up_at === undefined ? Number.POSITIVE_INFINITY : this.#up_at + EGRESS_IDLE_MS_MAX - now;
    const down_left = this.#down_at === undefined ? Number.POSITIVE_INFINITY : this.#down_at + this.#down_ms - now;
    const left = Math.min(up_left, down_left);
    if (left > 0) {
      if (Number.isFinite(left)) this.#watch(Math.ceil(left));
      return;
    }
    const what = up_left <= 0 ? `The body of the call to ${host}` : `The answer of ${host}`;
    this.#live.stop(idle(`${what} did not move`, up_left <= 0 ? EGRESS_IDLE_MS_MAX : this.#down_ms));
  }
}
