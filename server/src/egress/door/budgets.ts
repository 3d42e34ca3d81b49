import { GantryError } from "../../kernel/errors.ts";
import type { Contract, EgressRule } from "../../policy/contract.ts";
import { DNS_NAMES_MAX, EGRESS_CONCURRENT_MAX, egress_errors } from "../contract.ts";

/** What one run may still call. Each of these counts upwards only, but for the calls that are under way. */
export class Budgets {
  readonly #of: Contract["budgets"];
  #calls = 0;
  #bytes = 0;
  #under_way = 0;
  readonly #rules = new Map<string, number>();
  readonly #names = new Set<string>();

  constructor(of: Contract["budgets"]) {
    this.#of = of;
  }

  /** Takes a place among the calls under way; `leave` gives it back. @throws EGRESS_BUDGET EGRESS_CAPACITY */
  enter(): void {
    const { egress_calls_max, egress_bytes_max } = this.#of;
    if (this.#calls >= egress_calls_max) {
      throw spent(`The run has made the ${egress_calls_max} calls of its contract's budgets.egress_calls_max.`);
    }
    if (this.#bytes >= egress_bytes_max) throw this.#noBytes();
    if (this.#under_way >= EGRESS_CONCURRENT_MAX) {
      throw new GantryError(egress_errors.CAPACITY, {
        detail: `${EGRESS_CONCURRENT_MAX} calls of this run are under way; wait for one of them to end.`,
      });
    }
    this.#under_way += 1;
  }

  leave(): void {
    this.#under_way -= 1;
  }

  /** A call that the rules let out. @throws EGRESS_BUDGET */
  countCall(rule: EgressRule, rule_id: string): void {
    const made = this.#rules.get(rule_id) ?? 0;
    if (rule.calls_max !== undefined && made >= rule.calls_max) {
      throw spent(`The run has made the ${rule.calls_max} calls that rule ${rule_id} of its contract allows.`);
    }
    // Others may have been let out since this one was looked at first.
    if (this.#calls >= this.#of.egress_calls_max) {
      throw spent(
        `The run has made the ${this.#of.egress_calls_max} calls of its contract's budgets.egress_calls_max.`,
      );
    }
    this.#rules.set(rule_id, made + 1);
    this.#calls += 1;
  }

  /** Of bodies, both ways. @throws EGRESS_BUDGET */
  countBytes(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#of.egress_bytes_max) throw this.#noBytes();
  }

  /** @throws EGRESS_BUDGET */
  countName(host: string): void {
    if (this.#names.has(host)) return;
    if (this.#names.size >= DNS_NAMES_MAX)
      throw spent(`The run has looked up ${DNS_NAMES_MAX} names, as many as it may.`);
    this.#names.add(host);
  }

  #noBytes(): GantryError {
    const { egress_bytes_max } = this.#of;
    return spent(`The run's bodies have the ${egress_bytes_max} bytes of its contract's budgets.egress_bytes_max.`);
  }
}

function spent(detail: string): GantryError {
  return new GantryError(egress_errors.BUDGET, { detail });
}
