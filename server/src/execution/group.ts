import type { JailedProcess, ProcessNumbers } from "./adapters/jailed_process.ts";
import { POOLED_RUNNERS_MAX, type RunnerWant } from "./contract.ts";

export type KeyedWant = RunnerWant & { kind: "pooled" | "session"; key: string };

/** A process that serves one key. Times are on the monotonic clock. */
export interface Bound {
  readonly process: JailedProcess;
  readonly group: Group;
  readonly primed_rss_bytes: number;
  readonly bound_at: number;
  runs: number;
  /** Null while it has a run. */
  idle_since: number | null;
  /** What it had used when it was last looked at, and when that was. */
  seen: ProcessNumbers;
  seen_at: number;
}

export interface Waiter {
  resolve(bound: Bound, cold: boolean): void;
  reject(error: unknown): void;
}

/** The runners of one key and who waits for them. */
export class Group {
  readonly name: string;
  readonly want: KeyedWant;
  readonly most: number;
  /** Used last, last. */
  readonly idle: Bound[] = [];
  readonly waiters: Waiter[] = [];
  /** Processes on their way to this key. */
  readonly ordered = new Set<AbortController>();
  bound = 0;
  /** Since when it waits for room on the node; null while it does not. */
  hungry_since: number | null = null;

  constructor(name: string, want: KeyedWant) {
    this.name = name;
    this.want = want;
    this.most = want.kind === "session" ? 1 : POOLED_RUNNERS_MAX;
  }

  get isEmpty(): boolean {
    return this.bound === 0 && this.ordered.size === 0 && this.waiters.length === 0;
  }

  /** Do more wait than processes are on their way, and may it have more? */
  get wantsMore(): boolean {
    return this.waiters.length > this.ordered.size && this.bound + this.ordered.size < this.most;
  }

  remove(bound: Bound): void {
    const at = this.idle.indexOf(bound);
    if (at >= 0) this.idle.splice(at, 1);
  }
}
