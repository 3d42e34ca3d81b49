import { assert } from "../kernel/assert.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { type ErrorKind, GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ApprovalId } from "../kernel/ids.ts";
import type { ApprovalDraft, Preview } from "../policy/contract.ts";
import {
  type ActionFacts,
  approval_errors,
  gate_errors,
  type Independence,
  PREVIEW_BYTES_MAX,
  type Statement,
} from "./contract.ts";
import type { ApprovalRow } from "./store.ts";

/** A value's canonical JSON, and the SHA-256 that names it. */
export interface Named {
  json: string;
  hash: string;
}

function named(value: unknown): Named {
  const json = canonicalJson(value);
  return { json, hash: sha256Hex(json) };
}

/** Which action this is, whatever exactly it would do: a new request of the same key takes the place of an older one. */
export function actionKey({ tenant, action, target }: ApprovalDraft): string {
  return named({ tenant, action: action.name, resource: action.resource, target }).hash;
}

/** @throws GATE_TOO_LARGE  nobody is shown more than `PREVIEW_BYTES_MAX`. */
export function namedPreview(preview: Preview): Named & { head_json: string } {
  const { json, hash } = named(preview);
  demandReadable(json, "preview");
  const head: Preview = { ...preview, delta: [], diff: null, rehearsal: null };
  return { json, hash, head_json: canonicalJson(head) };
}

/** What the gate adds to what the asking room knows. */
export interface Terms {
  approval: ApprovalId;
  independence: Independence;
  preview_hash: string;
  /** Milliseconds UTC. */
  now: number;
  /** 32 hex digits. */
  nonce: string;
}

/** @throws GATE_TOO_LARGE */
export function buildStatement(draft: ApprovalDraft, terms: Terms): { statement: Statement } & Named {
  const statement: Statement = {
    v: 1,
    approval: terms.approval,
    tenant: draft.tenant,
    gate: draft.gate.name,
    action: draft.action,
    action_hash: named(draft.action).hash,
    code: draft.code,
    snapshot: draft.snapshot,
    contract: draft.contract,
    target: draft.target,
    blast_radius: draft.blast_radius,
    preview_hash: terms.preview_hash,
    quorum: draft.gate.quorum,
    independence: terms.independence,
    requester: draft.requester.actor,
    chain: draft.requester.chain,
    authors: [...new Set(draft.authors)].sort(),
    not_after: terms.now + draft.gate.not_after_ms,
    execute_before: draft.gate.execute_before_ms,
    nonce: terms.nonce,
  };
  assert(named(draft.requester.chain).hash === draft.requester.chain_hash, "a chain's hash is that of the chain");
  const text = named(statement);
  demandReadable(text.json, "statement");
  return { statement, ...text };
}

function demandReadable(json: string, what: string): void {
  const bytes = Buffer.byteLength(json);
  if (bytes <= PREVIEW_BYTES_MAX) return;
  throw new GantryError(gate_errors.TOO_LARGE, {
    detail: `The ${what} has ${bytes} bytes, and people are shown at most ${PREVIEW_BYTES_MAX}. Ask for less at once.`,
  });
}

/** The statement as it was made: the text is ours, and its hash is checked wherever something rests on it. */
export function readStatement(row: Pick<ApprovalRow, "statement_json">): Statement {
  return JSON.parse(row.statement_json) as Statement;
}

/** Is the text the one that its hash names? Nothing is read out of one that is not. */
export function isOwnText(row: Pick<ApprovalRow, "statement_json" | "statement_hash">): boolean {
  return sha256Hex(row.statement_json) === row.statement_hash;
}

/** Is the row what was voted on? What stands in columns of its own must be what the statement says. */
export function isIntact(row: ApprovalRow, statement: Statement): boolean {
  return (
    isOwnText(row) &&
    statement.approval === row.id &&
    statement.tenant === row.tenant_id &&
    statement.gate === row.gate &&
    statement.quorum === row.quorum &&
    statement.not_after === row.not_after_at &&
    statement.execute_before === row.execute_before_ms &&
    named(statement.action).hash === statement.action_hash
  );
}

/** What differs between what was approved and what would happen now: the first difference, in the order of the codes. */
export function findStale(statement: Statement, facts: ActionFacts): ErrorKind | undefined {
  const differs = (a: unknown, b: unknown) => canonicalJson(a) !== canonicalJson(b);
  if (differs(statement.action, facts.action)) return approval_errors.STALE_ACTION;
  if (differs(statement.code, facts.code)) return approval_errors.STALE_CODE;
  if (statement.snapshot !== facts.snapshot) return approval_errors.STALE_SNAPSHOT;
  if (differs(statement.contract, facts.contract)) return approval_errors.STALE_CONTRACT;
  if (statement.target !== facts.target) return approval_errors.STALE_TARGET;
  if (differs(statement.blast_radius, facts.blast_radius)) return approval_errors.STALE_BLAST;
  if (statement.preview_hash !== facts.preview_hash) return approval_errors.STALE_PREVIEW;
  if (named(statement.chain).hash !== facts.chain_hash) return approval_errors.STALE_CHAIN;
  return undefined;
}
