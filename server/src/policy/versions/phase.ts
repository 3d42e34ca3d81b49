import type { Ledger } from "../../evidence/contract.ts";
import { canonicalJson } from "../../kernel/canonical.ts";
import type { EntryId, TenantId } from "../../kernel/ids.ts";
import type { Tx } from "../../storage/contract.ts";
import type { ContractRef, PhaseMetric, PhaseWatch, PolicyNotices, RunCounts, Suspension } from "../contract.ts";
import { bumpChanges, type ContractRow, readContract, selectActive, updateState } from "../store.ts";
import type { Heads } from "./heads.ts";
import { contractSubject } from "./life.ts";
import type { Opened } from "./opened.ts";

/** Ten-thousandths: what `over_bp` counts in. */
const WHOLE_BP = 10_000;
const COUNTED = {
  denied_ratio: "denied",
  failure_ratio: "failed",
  override_ratio: "overridden",
  drift_ratio: "drifted",
} as const satisfies Record<PhaseMetric, string>;

export interface PhaseParts {
  ledger: Ledger;
  counts: RunCounts;
  notices: PolicyNotices;
  policy: { heads: Heads; known(tenant: TenantId, ref: ContractRef): Opened | undefined };
}

/**
 * The way back that a phase decided in advance: when the runs of a version cross one of its conditions, the unit that
 * ends the run which crossed it suspends the contract. That tightens, so nobody is asked; to resume it, somebody applies
 * a version, which people approve.
 */
export class Phases implements PhaseWatch {
  readonly #parts: PhaseParts;

  constructor(parts: PhaseParts) {
    this.#parts = parts;
  }

  async observe(
    tx: Tx,
    ended: { tenant: TenantId; contract: ContractRef; entry: EntryId; at: number },
  ): Promise<(() => void) | undefined> {
    const known = this.#parts.policy.known(ended.tenant, ended.contract);
    if (known !== undefined && known.contract.phase === null) return undefined;
    const row = await selectActive(tx, ended.tenant, ended.contract.name);
    // Runs of a version that is no longer active say nothing of the one that is.
    if (row?.version !== ended.contract.version || row.suspension_json !== null) return undefined;
    const crossed = await this.#crossed(tx, row, ended);
    if (crossed === undefined) return undefined;
    const suspended = await this.#suspend(tx, row, crossed);
    return () => this.#parts.policy.heads.moved(suspended);
  }

  /** The first condition that the runs of its window are past. */
  async #crossed(
    tx: Tx,
    row: ContractRow,
    { tenant, entry, at }: { tenant: TenantId; entry: EntryId; at: number },
  ): Promise<Suspension | undefined> {
    const { phase } = readContract(row.doc_json);
    const { name, version } = row;
    for (const { metric, over_bp, window_ms, min_runs } of phase?.rollback_when ?? []) {
      const counts = await this.#parts.counts.count(tx, { tenant, contract: name, version, since: at - window_ms });
      const counted = counts[COUNTED[metric]];
      if (counts.runs < min_runs || counted * WHOLE_BP <= over_bp * counts.runs) continue;
      return { metric, counted, runs: counts.runs, entry, at };
    }
    return undefined;
  }

  async #suspend(tx: Tx, row: ContractRow, suspension: Suspension): Promise<ContractRow> {
    const { ledger, notices } = this.#parts;
    const { metric, counted, runs, entry, at } = suspension;
    const ref = { name: row.name, version: row.version };
    const suspended = updateState(tx, row, { suspension_json: canonicalJson(suspension) });
    bumpChanges(tx);
    ledger.append(tx, {
      kind: "contract.suspended",
      tenant: row.tenant_id,
      actor: [],
      refs: [entry],
      contract: ref,
      subjects: [contractSubject(suspended)],
      data: { ...ref, metric, counted, runs, entry },
    });
    await notices.suspended(tx, { tenant: row.tenant_id, at, ...ref, metric, entry });
    return suspended;
  }
}
