import { GantryError } from "../../kernel/errors.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import { errors, type LedgerGuard, PENDING_MAX, SEAL_POLL_MS } from "../contract.ts";

/**
 * Says whether anything may be recorded. Nothing may while the log contradicts what it has released, while its key is
 * open to others, and while as many entries wait to be sealed as may: it fails closed, and reads go on.
 */
export class LogGuard implements LedgerGuard {
  readonly #metrics: Metrics;
  #fault: GantryError | undefined;
  /** Entries that waited when the store was looked at last, and those appended here since, committed or not. */
  #counted = 0;
  #since = 0;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** As the code of a reason, for `/readyz`; undefined when all is well. */
  trouble(): string | undefined {
    if (this.#fault !== undefined) return `${this.#fault.code}: ${this.#fault.parts.detail}`;
    return this.#waiting >= PENDING_MAX ? `${errors.BACKLOG.code}: ${backlog()}` : undefined;
  }

  refusal(): GantryError | undefined {
    if (this.#fault !== undefined) return refusalOf(this.#fault, {});
    if (this.#waiting < PENDING_MAX) return undefined;
    const reason = new GantryError(errors.BACKLOG, { detail: backlog() });
    return refusalOf(reason, { retry_after_ms: SEAL_POLL_MS });
  }

  /** Why sealing has stopped. */
  get fault(): GantryError | undefined {
    return this.#fault;
  }

  /** Stops everything until `clear`; the first fault stays. */
  stop(fault: GantryError): void {
    this.#fault ??= fault;
  }

  clear(): void {
    this.#fault = undefined;
  }

  /** One more entry is about to wait. */
  appended(): void {
    this.#since += 1;
  }

  /** A mark that `counted` takes: what is appended after it may not be in the count. */
  mark(): number {
    return this.#since;
  }

  /** So many entries waited, seen after `mark` was given. What was appended meanwhile may count twice until the next. */
  counted(pending: number, mark: number): void {
    this.#counted = pending;
    this.#since -= mark;
    this.#metrics.set("gantry_evidence_pending", pending);
  }

  /** So many of those that were counted wait no more. */
  sealed(entries: number): void {
    this.#counted -= entries;
    this.#metrics.set("gantry_evidence_pending", this.#counted);
  }

  get #waiting(): number {
    return this.#counted + this.#since;
  }
}

function backlog(): string {
  return `${PENDING_MAX} entries wait to be sealed into the log, which is as many as may.`;
}

function refusalOf(fault: GantryError, more: { retry_after_ms?: number }): GantryError {
  const { code, parts } = fault;
  return new GantryError(errors.UNAVAILABLE, {
    detail: "Nothing is changed while it cannot be recorded for good; reads go on.",
    reasons: [{ code, detail: parts.detail }],
    internal: parts.internal,
    cause: fault,
    ...more,
  });
}
