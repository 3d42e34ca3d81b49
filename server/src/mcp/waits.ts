import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import { MCP_AWAITS_MAX, mcp_errors } from "./contract.ts";

/** Calls that wait for people, of one node: each looks again and again, so there may be only so many. */
export class Waits {
  #open = 0;

  /** @throws MCP_BUSY when `MCP_AWAITS_MAX` wait already. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    if (this.#open >= MCP_AWAITS_MAX) {
      throw new GantryError(mcp_errors.BUSY, {
        detail: `${MCP_AWAITS_MAX} calls wait for people on this node already, which is as many as may.`,
        next_steps: [{ kind: "wait", text: "Use get_approval now and then instead of await_approval." }],
      });
    }
    this.#open += 1;
    try {
      return await work();
    } finally {
      this.#open -= 1;
    }
  }
}

/** Resolves after `ms`. @throws the signal's reason when it aborts before. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = (): void => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
    signal.addEventListener("abort", stop, { once: true });
  });
}
