import type { EgressIdentity } from "../contract.ts";
import { type AskedCall, judgeCall } from "../destination/rules.ts";
import type { Call } from "../parts.ts";

/** Calls of one run that are remembered to have been let out. */
const REMEMBERED_MAX = 64;

export interface Judged {
  rule: Omit<Call, "target">;
  /** The list as the resolver has it, and which of it was chosen. */
  pinned: { addresses: readonly string[]; address: string } | undefined;
}

/**
 * What one run was let out for, so that a call like another is not judged from the start: a decision is pure while
 * neither the contract, nor the tenant's denied hosts, nor the class of what was read has changed. Refusals are not
 * remembered. The query takes no part in any decision.
 */
export class JudgedCalls {
  readonly #who: EgressIdentity;
  readonly #known = new Map<string, Judged>();
  #denied: readonly string[] | undefined;

  constructor(who: EgressIdentity) {
    this.#who = who;
  }

  /** As `judgeCall`. @returns also what `pin` remembers by. */
  judge(asked: AskedCall, denied: readonly string[]): { call: Call; judged: Judged } {
    if (denied !== this.#denied) this.forget();
    this.#denied = denied;
    const { target, method, read_class = "" } = asked;
    const key = `${method} ${read_class} ${target.protocol}://${target.host}:${target.port}${target.path}`;
    let judged = this.#known.get(key);
    if (judged === undefined) {
      const { target: _, ...rule } = judgeCall(this.#who, asked, denied);
      judged = { rule, pinned: undefined };
      if (this.#known.size >= REMEMBERED_MAX) this.#known.clear();
      this.#known.set(key, judged);
    }
    return { call: { ...judged.rule, target }, judged };
  }

  /** What `choose` gave for this very list, or gives now. */
  pin(judged: Judged, addresses: readonly string[], choose: () => string): string {
    if (judged.pinned?.addresses === addresses) return judged.pinned.address;
    const address = choose();
    judged.pinned = { addresses, address };
    return address;
  }

  /** Something that decisions stand on may have changed. */
  forget(): void {
    this.#known.clear();
  }
}
