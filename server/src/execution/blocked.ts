import { BLOCKED_MAX, type BlockedCall } from "./contract.ts";

/** Longer host names are cut: DNS allows 253 characters, a port adds 6. */
const HOST_MAX = 260;

/** Counts what a guest tried, by host and method; what does not fit is folded into one row with host `*`. */
export class Blocked {
  readonly #rows = new Map<string, BlockedCall>();

  add(host: string, method: string): void {
    const row = { host: host.slice(0, HOST_MAX), method: method.slice(0, 16), count: 1 };
    const key = JSON.stringify([row.host, row.method]);
    const known = this.#rows.get(key);
    if (known !== undefined) {
      known.count += 1;
    } else if (this.#rows.size < BLOCKED_MAX - 1) {
      this.#rows.set(key, row);
    } else {
      const rest = this.#rows.get("*") ?? { host: "*", method: "*", count: 0 };
      rest.count += 1;
      this.#rows.set("*", rest);
    }
  }

  rows(): BlockedCall[] {
    return [...this.#rows.values()];
  }
}
