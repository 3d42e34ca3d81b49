import { EGRESS_HOST_CHARS, type EgressRow } from "../egress/contract.ts";
import type { EntryDraft, Kind, PrivateField } from "../evidence/contract.ts";
import type { BlockedCall, CodeFacts } from "../execution/contract.ts";
import { gate_errors } from "../gates/contract.ts";
import type { Principal } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { ApprovalDraft, Contract } from "../policy/contract.ts";
import type { Overrun } from "./budgets.ts";
import { ENTRY_PART_BYTES_MAX } from "./contract.ts";
import type { RunAdmitted, RunEnded, RunParked, RunQueued, RunRefused } from "./kinds.ts";
import type { Intent } from "./normalise.ts";
import { auditedRow } from "./row_store.ts";
import type { RunRow } from "./store.ts";

/** What the ledger says of a run; `row` is the run as it is after the unit that appends the entry. */

export function queuedEntry(row: RunRow, downgraded: boolean, expires_at: number): EntryDraft {
  const { id: run, attempt, lane } = row;
  const data: RunQueued = { run, attempt, lane, downgraded, expires_at };
  tellTree(data, row);
  return entryOf("run.queued", row, data);
}

/** Where the run stands among those that started each other. */
function tellTree(data: RunQueued | RunParked | RunAdmitted, row: RunRow): void {
  if (row.parent !== null) data.parent = row.parent;
  if (row.root !== null) data.root = row.root;
  if (row.depth !== null) data.depth = row.depth;
}

/** A run past a budget never was one: there is no row to tell of. @param count  refusals that this entry speaks of. */
export function refusedEntry(
  who: Principal,
  about: Pick<RunRow, "contract" | "contract_version" | "snapshot" | "code_hash">,
  code: string,
  { budget, used, limit, parent, root, depth }: Overrun,
  count: number,
): EntryDraft {
  const data: RunRefused = { code, budget, used, limit, count, code_hash: about.code_hash };
  if (parent !== undefined) data.parent = parent;
  if (root !== undefined) data.root = root;
  if (depth !== undefined) data.depth = depth;
  return {
    kind: "run.refused",
    tenant: who.tenant,
    actor: who.chain.map(({ actor, kind }) => ({ actor, kind })),
    refs: [parent, root].filter((id) => id !== undefined),
    snapshot: about.snapshot,
    contract: { name: about.contract, version: about.contract_version },
    decision: { verdict: "deny", codes: [code] },
    data,
  };
}

export function parkedEntry(row: RunRow, { gate, target }: ApprovalDraft): EntryDraft {
  const { id: run, approval, code_hash, input_hash, facts } = row;
  assert(approval !== null && facts?.gate !== undefined, "a run is parked with its approval");
  const { statement_hash } = facts.gate;
  const data: RunParked = {
    run,
    approval,
    gate: gate.name,
    quorum: gate.quorum,
    statement_hash,
    code_hash,
    input_hash,
  };
  if (target !== null) data.target = target;
  if (row.key_hash !== null) data.key_hash = row.key_hash;
  tellTree(data, row);
  const entry = entryOf("run.parked", row, data);
  entry.decision = { verdict: "needs_human", codes: [gate_errors.REQUIRED.code] };
  return entry;
}

export function admittedEntry(row: RunRow, facts: CodeFacts): EntryDraft {
  const { id: run, attempt, code_hash, input_hash, limits, lane, isolation, deadline_at } = row;
  assert(deadline_at !== null, "an admitted run has a deadline");
  const code_facts = boundedFacts(facts);
  const data: RunAdmitted = {
    run,
    attempt,
    code_hash,
    input_hash,
    limits,
    lane,
    isolation,
    deadline_at,
    code_facts,
  };
  if (row.session !== null) data.session = row.session;
  if (row.key_hash !== null) data.key_hash = row.key_hash;
  if (row.target !== null) data.target = row.target;
  if (row.approval !== null) data.approval = row.approval;
  tellTree(data, row);
  const entry = entryOf("run.admitted", row, data);
  entry.decision = { verdict: "allow", codes: [] };
  return entry;
}

/** SHA-256, hex, of what was kept of an attempt beside its row. */
export interface EndHashes {
  /** Of the log, when it executed. */
  log?: string | undefined;
  /** Of the private log of what it called. */
  egress_log?: string | undefined;
}

export function endedEntry(row: RunRow, hashes: EndHashes = {}): EntryDraft {
  const { id: run, attempt, code_hash, termination } = row;
  assert(termination !== null, "an ended run has a termination");
  const data: RunEnded = { run, attempt, termination, code_hash };
  if (row.error !== null) data.code = storable(row.error.code);
  if (row.cancelled_by !== null) data.cancelled_by = row.cancelled_by;
  if (row.override !== null) data.override = row.override;
  if (row.jail !== null) {
    data.isolation = row.isolation;
    data.jail = row.jail;
  }
  if (row.runner !== null) data.runner = row.runner;
  if (row.startup_us !== null) tellExecution(data, row);
  if (hashes.log !== undefined) data.log_hash = hashes.log;
  if (hashes.egress_log !== undefined) data.egress_log_hash = hashes.egress_log;
  const entry = entryOf("run.ended", row, data);
  if (termination === "denied") {
    const codes = (row.error?.reasons ?? []).map(({ code }) => code);
    if (codes.length === 0 && row.error !== null) codes.push(row.error.code);
    entry.decision = { verdict: "deny", codes: [...new Set(codes)] };
  }
  return entry;
}

/** Integers, as the ledger has no fractions; the row keeps microseconds. */
function tellExecution(data: RunEnded, row: RunRow): void {
  const ms = (us: number | null) => Math.round((us ?? 0) / 1_000);
  data.startup_ms = ms(row.startup_us);
  data.completion_ms = ms(row.completion_us);
  data.cpu_ms = ms(row.cpu_us);
  data.rss_peak_mb = row.rss_peak_mb ?? 0;
  data.output_bytes = row.output_bytes ?? 0;
  if (row.result_hash !== null) data.result_hash = row.result_hash;
  data.log_bytes = row.log_bytes ?? 0;
  data.log_dropped = row.log_dropped ?? 0;
  data.egress = row.egress === null ? boundedCalls(row.blocked ?? []) : boundedRows(row.egress);
}

/**
 * Written out and without spreads, as all of this file: two entries are made for every run, and a member behind a
 * spread costs 2 to 5 µs (V8 of Node 20.20).
 */
function entryOf(kind: Kind, row: RunRow, data: EntryDraft["data"]): EntryDraft {
  return {
    kind,
    tenant: row.tenant,
    actor: row.chain.map(({ actor, kind }) => ({ actor, kind })),
    subjects: [{ table: "runs", id: row.id, row: auditedRow(row) }],
    refs: row.approval === null ? [row.id] : [row.id, row.approval],
    snapshot: row.snapshot,
    contract: { name: row.contract, version: row.contract_version },
    data,
  };
}

/**
 * What was typed for a run: private fields of the run's first entry, whichever that is. Only the first, because the
 * words themselves are kept nowhere else, so that a run which waits has none of them when it starts.
 * @returns undefined when nothing was typed.
 */
export function typedFields(
  { why, prompt }: Pick<Intent, "why" | "prompt">,
  contract: Contract,
): Record<string, PrivateField> | undefined {
  if (why === null && prompt === null) return undefined;
  const typed = { class: "prompts", redaction: contract.redaction.prompts } as const;
  const fields: Record<string, PrivateField> = {};
  if (why !== null) fields["why"] = { ...typed, value: why };
  if (prompt !== null) fields["prompt"] = { ...typed, value: prompt };
  return fields;
}

const HOST_CHARS_MAX = 255;
const METHOD_CHARS_MAX = 32;

/** Text of a guest's choosing as every store can hold it. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\u2400");
}

/** The calls that fit into one entry; the rest is counted under the host `*`. */
export function boundedCalls(calls: BlockedCall[]): NonNullable<RunEnded["egress"]> {
  const rows: NonNullable<RunEnded["egress"]> = [];
  let left = ENTRY_PART_BYTES_MAX;
  let folded = 0;
  for (const call of calls) {
    const host = storable(call.host.slice(0, HOST_CHARS_MAX));
    const method = storable(call.method.slice(0, METHOD_CHARS_MAX));
    const row = { host, method, count: call.count, verdict: "denied" as const };
    left -= Buffer.byteLength(JSON.stringify(row)) + 1;
    if (left < 0) folded += call.count;
    else rows.push(row);
  }
  if (folded > 0) rows.push({ host: "*", method: "*", count: folded, verdict: "denied" });
  return rows;
}

/** The rows of a door that fit into one entry; the rest is counted under the host `*`, by verdict. */
export function boundedRows(calls: EgressRow[]): NonNullable<RunEnded["egress"]> {
  const rows: NonNullable<RunEnded["egress"]> = [];
  const folded = { allowed: 0, denied: 0 };
  let left = ENTRY_PART_BYTES_MAX;
  for (const call of calls) {
    const row = toldRow(call);
    left -= Buffer.byteLength(JSON.stringify(row)) + 1;
    if (left < 0) folded[call.verdict] += call.count;
    else rows.push(row);
  }
  for (const verdict of ["allowed", "denied"] as const) {
    if (folded[verdict] > 0) rows.push({ host: "*", method: "*", count: folded[verdict], verdict });
  }
  return rows;
}

/** What does not apply is left out. */
function toldRow(call: EgressRow): NonNullable<RunEnded["egress"]>[number] {
  const { count, verdict, code, rule, path, request_bytes, response_bytes, service, environment } = call;
  const host = storable(call.host.slice(0, EGRESS_HOST_CHARS));
  const method = storable(call.method.slice(0, METHOD_CHARS_MAX));
  return {
    host,
    method,
    count,
    verdict,
    ...(code === null ? {} : { code }),
    ...(rule === null ? {} : { rule }),
    ...(path === null ? {} : { path }),
    ...(request_bytes === 0 ? {} : { request_bytes }),
    ...(response_bytes === 0 ? {} : { response_bytes }),
    ...(service === undefined ? {} : { service }),
    ...(environment === undefined ? {} : { environment }),
  };
}

/** The facts that fit into one entry; names that did not are counted. */
export function boundedFacts(facts: CodeFacts): RunAdmitted["code_facts"] {
  const { modules, bytes, dynamic_code, wasm } = facts;
  let left = ENTRY_PART_BYTES_MAX;
  let dropped = 0;
  const fitting = (names: string[]) =>
    names.map(storable).filter((name) => {
      left -= Buffer.byteLength(JSON.stringify(name)) + 1;
      if (left < 0) dropped += 1;
      return left >= 0;
    });
  const secrets = fitting(facts.secrets);
  const imports = fitting(facts.imports);
  const hosts = fitting(facts.hosts);
  return { modules, bytes, dynamic_code, wasm, secrets, imports, hosts, dropped };
}
