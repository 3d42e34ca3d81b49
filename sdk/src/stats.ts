import type { Transport } from "./transport.ts";

/** Nearest-rank percentiles, milliseconds; null when nothing was measured. */
export interface Spread {
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

/** The runs of a lane, or of both, that ended in the window. */
export interface LaneFigures {
  ended: number;
  /** In the last ten seconds, per second. */
  ended_per_s: number;
  /** How they ended, as `completed`; what never occurred is left out. */
  by_termination: Record<string, number>;
  /** Those that had a runner: the percentiles are of these. */
  executed: number;
  /** From admission until the guest's code was loaded. */
  startup: Spread;
  /** From loaded code until the outcome. */
  completion: Spread;
  /** From the submission, or from what let it wait for a slot (people's approval), until it had one. */
  queued: Spread;
}

export interface Waiting {
  count: number;
  /** How long the one that came first has waited; 0 when none waits. */
  oldest_ms: number;
}

/** What waits for people. */
export interface PendingApprovals extends Waiting {
  /**
   * By what they are for, as `run`, `contract` or `setting`; what nothing waits for is left out. A run that goes on may
   * wait for one of its calls.
   */
  by_subject: Record<string, number>;
}

/** Runs that ended `denied`, or calls of runs that were refused, by their code. */
export interface Denial {
  what: "run" | "call";
  /** Null: calls of runs that had no way out at all. */
  code: string | null;
  count: number;
}

/** How the machine is. */
export interface MachineFigures {
  /** Of the node that answered. */
  slots: { used: number; of: number };
  runners: {
    jail: "unshare" | "bwrap" | "none" | null;
    booting: number;
    /** Primed, and nobody's yet. */
    warm: number;
    /** Wait for the next run of their key. */
    bound: number;
    busy: number;
    /** Claims that wait for a process. */
    waiting: number;
    /** In a row; 0 after a boot that succeeded. */
    boot_failures: number;
  };
  ledger: {
    entries: number;
    /** Of them in the signed log. */
    sealed: number;
    /** How long the oldest that is not sealed has waited; 0 when all are. */
    lag_ms: number;
  };
  witnesses: { sink: string; size: number; lag_ms: number; error: string | null }[];
}

/** What the tenant's runs do now and did in the window. */
export interface Figures {
  /** When they were counted, milliseconds UTC. */
  at: number;
  window_ms: number;
  runs: {
    /** More runs ended in the window than are counted: these are the newest. */
    sampled: boolean;
    /** What is counted begins here: the window, unless `sampled`. */
    since_at: number;
    all: LaneFigures;
    interactive: LaneFigures;
    batch: LaneFigures;
  };
  /** Runs that have a slot. */
  running: number;
  waiting: {
    interactive: Waiting;
    batch: Waiting;
    /** Runs that wait for people before they start. */
    approval: Waiting;
  };
  /** Approvals that wait for people, whatever they are for. Null without the scope `gate:read`. */
  approvals: PendingApprovals | null;
  denials: {
    /** There were more; the newest are counted. */
    sampled: boolean;
    /** The most frequent first. */
    items: Denial[];
  };
  /** Null without the scope `ops:read`. */
  machine: MachineFigures | null;
}

/** What goes on, in numbers. */
export class Stats {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * @param query.window_ms  runs that ended so recently are counted: 1,000 to 86,400,000, default 900,000.
   * @throws GantryApiError GantryConnectionError
   */
  get(query: { window_ms?: number } = {}, options: { signal?: AbortSignal } = {}): Promise<Figures> {
    return this.#transport.json({ method: "GET", path: "/v1/stats", query: { ...query }, signal: options.signal });
  }
}
