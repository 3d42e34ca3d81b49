import type { Ledger } from "../../evidence/contract.ts";
import { assert } from "../../kernel/assert.ts";
import { canonicalJson } from "../../kernel/canonical.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Storage, Tx } from "../../storage/contract.ts";
import {
  type Applied,
  type Approvals,
  CONTRACTS_PER_TENANT_MAX,
  type Contract,
  type ContractDelta,
  contract_errors,
  type Proposal,
  REASONS_MAX,
} from "../contract.ts";
import { contractDelta, newContractDelta } from "../delta/delta.ts";
import type { ReadDocument } from "../document/documents.ts";
import { snapshotOf } from "../snapshot.ts";
import {
  type ContractRow,
  countNames,
  insertContract,
  insertSnapshot,
  readContract,
  readSuspension,
  selectActive,
  selectLive,
  selectPending,
} from "../store.ts";
import type { Applicant } from "./applicant.ts";
import { activate, contractSubject, retirePending } from "./life.ts";
import { diffOf, draftOf, versionIn } from "./proposal.ts";
import { versionOf } from "./versions.ts";

/** Asking people reads a dozen rows, each a message to the writer and back: on a machine that is busy it takes longer. */
const APPLY_UNIT = { deadline_ms: 2_000 };

export interface ApplyParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  bases: ReadonlyMap<string, Contract>;
  /** Asked when something loosens: gates stand above and are built later. */
  approvals(): Approvals;
}

export interface ApplyRequest extends ReadDocument {
  tenant: TenantId;
  who: Applicant;
  /** The version that the caller saw active; 0: none. */
  if_version?: number | undefined;
}

/** What a proposal was judged against; it is activated only while exactly that still holds. */
export function baseOf(active: ContractRow | undefined): string {
  const suspended = active === undefined ? null : (readSuspension(active)?.entry ?? null);
  return canonicalJson({ version: active?.version ?? null, suspended });
}

/**
 * Makes the document the active version of its contract, or a version that waits for people: one unit, which also asks
 * them. What says the same as the active version, or as the one that waits, changes nothing.
 * @throws CONTRACT_CONFLICT CONTRACT_TOO_MANY and those of `Approvals`
 * @returns with it, the row that is active since, for whoever keeps heads.
 */
export async function applyOne(
  parts: ApplyParts,
  ask: ApplyRequest,
): Promise<{ applied: Applied; activated?: ContractRow }> {
  const { tenant, contract, document, who } = ask;
  // A unit holds the store for everybody, so what takes long is done before it, for what will most likely be there.
  const seen = await selectActive(parts.storage, tenant, contract.name);
  const text = { contract, source: document.text };
  const foreseen = deltaOf(parts.bases, seen, contract).loosens ? diffOf(seen && versionIn(seen), text) : undefined;
  return parts.storage.write(async (tx) => {
    const { active, pending, newest } = await selectLive(tx, tenant, contract.name);
    const delta = deltaOf(parts.bases, active, contract);
    const suspended = active === undefined ? null : readSuspension(active);
    if (active !== undefined && saysTheSame(active, contract) && (suspended === null || !who.resumes)) {
      return { applied: { contract: versionOf(active), changed: false, proposal: null, delta } };
    }
    demandVersion(ask, active);
    if (pending !== undefined && saysTheSame(pending, contract) && pending.base_json === baseOf(active)) {
      return { applied: { contract: versionOf(pending), changed: false, proposal: proposalOf(pending), delta } };
    }
    const is_new = active === undefined && pending === undefined;
    if (is_new && (await countNames(tx, tenant)) >= CONTRACTS_PER_TENANT_MAX) {
      throw new GantryError(contract_errors.TOO_MANY, {
        detail: `A tenant has at most ${CONTRACTS_PER_TENANT_MAX} contracts; ${contract.name} is one more.`,
      });
    }
    const row = newRow(parts.clock, ask, newest + 1);
    if (!delta.loosens) return enact(parts, tx, ask, row, active, delta);
    const is_foreseen = active?.version === seen?.version;
    const diff = (is_foreseen ? foreseen : undefined) ?? diffOf(active && versionIn(active), text);
    return await propose(parts, tx, ask, row, { active, delta, diff });
  }, APPLY_UNIT);
}

/** As contracts, complete: an older row lacks what is younger than it, and is not another contract for that. */
function saysTheSame(row: ContractRow, contract: Contract): boolean {
  return canonicalJson(readContract(row.doc_json)) === canonicalJson(contract);
}

/** What the document changes. To resume what has suspended itself loosens, whatever the document says. */
export function deltaOf(
  bases: ReadonlyMap<string, Contract>,
  active: ContractRow | undefined,
  contract: Contract,
): ContractDelta {
  if (active === undefined) {
    const base = bases.get(contract.extends ?? "");
    assert(base !== undefined, "a contract that is applied extends a built-in one");
    return newContractDelta(base, contract);
  }
  const delta = contractDelta(readContract(active.doc_json), contract);
  const suspension = readSuspension(active);
  if (suspension === null) return delta;
  const text = `resumes what has suspended itself by its ${suspension.metric}; the entry ${suspension.entry} crossed the line`;
  return { loosens: true, lines: [{ at: "/phase", change: "widened", loosens: true, text }, ...delta.lines] };
}

function demandVersion({ contract, if_version }: ApplyRequest, active: ContractRow | undefined): void {
  const is = active?.version ?? 0;
  if (if_version === undefined || if_version === is) return;
  const state = is === 0 ? "has no active version" : `is at version ${is}`;
  throw new GantryError(contract_errors.CONFLICT, {
    detail: `The contract ${contract.name} ${state}, not at version ${if_version}, as the request supposes.`,
    next_steps: [
      {
        kind: "command",
        text: "See what has changed, and apply again",
        command: `gantry contracts show ${contract.name}`,
      },
    ],
  });
}

function newRow(clock: Clock, { tenant, contract, document, who }: ApplyRequest, version: number): ContractRow {
  const author = who.by.at(-1);
  assert(author !== undefined, "a contract is applied by somebody");
  const doc_json = canonicalJson(contract);
  return {
    tenant_id: tenant,
    name: contract.name,
    version,
    hash: sha256Hex(doc_json),
    doc_json,
    state: "active",
    created_by: author.actor,
    approval_id: null,
    created_at: clock.now(),
    source_text: document.text,
    base_json: null,
    statement_hash: null,
    suspension_json: null,
  };
}

function enact(
  { ledger }: ApplyParts,
  tx: Tx,
  { who }: ApplyRequest,
  row: ContractRow,
  active: ContractRow | undefined,
  delta: ContractDelta,
): { applied: Applied; activated: ContractRow } {
  insertContract(tx, { ...row, state: "retired" });
  activate(tx, ledger, { ...row, state: "retired" }, active, { by: who.by });
  return { applied: { contract: versionOf(row), changed: true, proposal: null, delta }, activated: row };
}

async function propose(
  { ledger, approvals }: ApplyParts,
  tx: Tx,
  { tenant, contract, document, who }: ApplyRequest,
  row: ContractRow,
  { active, delta, diff }: { active: ContractRow | undefined; delta: ContractDelta; diff: string },
): Promise<{ applied: Applied }> {
  const base_json = baseOf(active);
  const before = active && versionIn(active);
  const after = { contract, version: row.version, source: document.text, hash: row.hash, document: document.name };
  // This ends the approval of an earlier proposal, and with it that proposal, as what it belongs to is told.
  const asked = await approvals().request(tx, draftOf({ tenant, before, after, base_json, delta, diff, who }));
  const earlier = await selectPending(tx, tenant, contract.name);
  if (earlier !== undefined) retirePending(tx, ledger, earlier, { by: who.by, code: "APPROVAL_SUPERSEDED" });
  const pending: ContractRow = {
    ...row,
    state: "pending",
    approval_id: asked.id,
    base_json,
    statement_hash: asked.statement_hash,
  };
  insertContract(tx, pending);
  const snapshot = snapshotOf(contract);
  // Approvers may look at what the statement names before it holds.
  insertSnapshot(tx, tenant, snapshot.id, snapshot.body);
  ledger.append(tx, {
    kind: "contract.proposed",
    tenant,
    actor: who.by,
    refs: [asked.id, snapshot.id],
    snapshot: snapshot.id,
    contract: { name: row.name, version: row.version },
    subjects: [contractSubject(pending)],
    data: {
      name: row.name,
      version: row.version,
      hash: row.hash,
      replaces: active?.version ?? null,
      approval: asked.id,
      loosens: delta.lines
        .filter((line) => line.loosens)
        .slice(0, REASONS_MAX)
        .map(({ at }) => at),
    },
  });
  return { applied: { contract: versionOf(pending), changed: true, proposal: proposalOf(pending), delta } };
}

export function proposalOf({ version, approval_id, statement_hash }: ContractRow): Proposal {
  assert(approval_id !== null && statement_hash !== null, "what waits, waits for an approval");
  return { version, approval: approval_id, statement_hash };
}
