import type { ActorRef, Ledger } from "../../evidence/contract.ts";
import type { ChainLink } from "../../identity/contract.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Tx } from "../../storage/contract.ts";
import { type ContractRow, selectLive } from "../store.ts";
import { refs } from "./applicant.ts";
import { baseOf } from "./apply.ts";
import type { Heads } from "./heads.ts";
import { activate, retirePending } from "./life.ts";

/** What this room needs of a decided approval; what gates tell subjects is one. */
export interface DecidedContract {
  id: string;
  tenant: TenantId;
  /** `<name>@<version>` */
  subject_id: string;
  outcome: "approved" | "broken_glass" | "declined" | "expired" | "superseded";
  by: readonly ChainLink[];
}

/** The subject has another base by now. A code of gates, which stand above. */
const STALE = "APPROVAL_STALE_CONTRACT";
const CODES = {
  declined: "APPROVAL_DECLINED",
  expired: "APPROVAL_EXPIRED",
  superseded: "APPROVAL_SUPERSEDED",
} as const;
/** Activations between their unit and its end; more are only left over from units that failed. */
const SETTLING_MAX = 1_000;

/** What becomes of a proposed version when people, or the clock, have decided: the port `Subject` of gates. */
export class ContractSubject {
  readonly #ledger: Ledger;
  readonly #heads: Heads;
  /** By approval: what is active once the deciding unit is durable. */
  readonly #settling = new Map<string, ContractRow>();

  constructor(parts: { ledger: Ledger; heads: Heads }) {
    this.#ledger = parts.ledger;
    this.#heads = parts.heads;
  }

  /**
   * In the deciding unit: the version is activated if what it was judged against still holds, and comes to nothing
   * otherwise.
   */
  async decided(tx: Tx, decided: DecidedContract): Promise<{ executed: true } | { stale: string } | undefined> {
    const { id, tenant, subject_id, outcome } = decided;
    const by: ActorRef[] = refs(decided.by);
    const name = subject_id.slice(0, subject_id.lastIndexOf("@"));
    const { active, pending } = await selectLive(tx, tenant, name);
    const is_ours = pending?.approval_id === id;
    switch (outcome) {
      case "declined":
      case "expired":
      case "superseded":
        if (is_ours) retirePending(tx, this.#ledger, pending, { by, code: CODES[outcome] });
        return undefined;
      case "approved":
      case "broken_glass":
        break;
    }
    if (!is_ours) return { stale: STALE };
    if (pending.base_json !== baseOf(active)) {
      retirePending(tx, this.#ledger, pending, { by, code: STALE });
      return { stale: STALE };
    }
    const row = activate(tx, this.#ledger, pending, active, { by, approval: id });
    for (const oldest of this.#settling.keys()) {
      if (this.#settling.size < SETTLING_MAX) break;
      this.#settling.delete(oldest);
    }
    this.#settling.set(id, row);
    return { executed: true };
  }

  /** The deciding unit is durable. */
  settled({ id }: Pick<DecidedContract, "id">): void {
    const row = this.#settling.get(id);
    this.#settling.delete(id);
    if (row !== undefined) this.#heads.moved(row);
  }
}
