import { GantryError } from "../kernel/errors.ts";
import { AUTH_ADDRESSES_MAX, AUTH_FAILURES_MAX, AUTH_WINDOW_MS, auth_errors } from "./contract.ts";

interface Window {
  failures: number;
  /** Milliseconds UTC. */
  ends_at: number;
}

/**
 * Counts failed attempts to authenticate by address, `AUTH_FAILURES_MAX` in a window. An address that has used them up
 * gets no more answers about secrets that it tries; what has worked for it before goes on working, so that one broken
 * client does not lock out the others behind its address.
 */
export class AuthRate {
  readonly #windows = new Map<string, Window>();

  /** @throws AUTH_RATE  with the time until the window ends. */
  demand(from: string | undefined, now: number): void {
    if (from === undefined) return;
    const window = this.#windows.get(from);
    if (window === undefined || window.ends_at <= now || window.failures < AUTH_FAILURES_MAX) return;
    throw new GantryError(auth_errors.RATE, {
      detail: `${AUTH_FAILURES_MAX} attempts from this address failed within ${AUTH_WINDOW_MS / 1_000} s; new secrets are not looked at until that time is over.`,
      retry_after_ms: window.ends_at - now,
    });
  }

  failed(from: string | undefined, now: number): void {
    if (from === undefined) return;
    const window = this.#windows.get(from);
    if (window !== undefined && window.ends_at > now) {
      window.failures += 1;
      return;
    }
    this.#windows.delete(from);
    if (this.#windows.size >= AUTH_ADDRESSES_MAX) {
      // A map iterates in the order of insertion: the first has the window that ends first.
      for (const oldest of this.#windows.keys()) {
        this.#windows.delete(oldest);
        break;
      }
    }
    this.#windows.set(from, { failures: 1, ends_at: now + AUTH_WINDOW_MS });
  }

  get size(): number {
    return this.#windows.size;
  }
}
