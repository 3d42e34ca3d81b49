import { EGRESS_HOST_CHARS, type EgressRow } from "../egress/contract.ts";
import type { EntryDraft, Kind, PrivateField } from "../evidence/contract.ts";
import type { BlockedCall, CodeFacts } from "../execution/contract.ts";
import { gate_errors } from "../gates/contract.ts";
import type { Principal } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { LimitTable } from "../kernel/limits.ts";
import type { ApprovalDraft, Contract } from "../policy/contract.ts";
import type { Overrun } from "./budgets.ts";
import { ENTRY_PART_BYTES_MAX } from "./contract.ts";
import type { RunAdmitted, RunEnded, RunParked, RunQueued, RunRefused } from "./kinds.ts";
import type { Intent } from "./normalise.ts";
import { auditedRow } from "./row_store.ts";
import type { RunRow } from "./store.ts";

/**
 * What the ledger says of a run; `row` is the run as it is after the unit that appends the entry.
 * The entries of every run have their members in the order of canonical JSON, and those that do not apply as undefined:
 * such a literal is one step to make, and its text is the engine's own, see `canonicalJson`. No spreads: a member behind
 * one costs 2 to 5 µs (V8 of Node 20.20).
 */

export function queuedEntry(row: RunRow, downgraded: boolean, expires_at: number): EntryDraft {
  const { id: run, attempt, lane } = row;
  const data: RunQueued = { run, attempt, lane, downgraded, expires_at };
  tellTree(data, row);
  return entryOf("run.queued", row, data);
}

/** Where the run stands among those that started each other. */
function tellTree(data: RunQueued | RunParked, row: RunRow): void {
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
  const { deadline_at } = row;
  assert(deadline_at !== null, "an admitted run has a deadline");
  const data: RunAdmitted = {
    approval: row.approval ?? undefined,
    attempt: row.attempt,
    code_facts: boundedFacts(facts),
    code_hash: row.code_hash,
    deadline_at,
    depth: row.depth ?? undefined,
    input_hash: row.input_hash,
    isolation: row.isolation,
    key_hash: row.key_hash ?? undefined,
    lane: row.lane,
    limits: inOrder(row.limits),
    parent: row.parent ?? undefined,
    root: row.root ?? undefined,
    run: row.id,
    session: row.session ?? undefined,
    target: row.target ?? undefined,
  };
  const entry = entryOf("run.admitted", row, data);
  entry.decision = { codes: [], verdict: "allow" };
  return entry;
}

function inOrder(limits: LimitTable): LimitTable {
  return {
    code_bytes_max: limits.code_bytes_max,
    cpu_ms: limits.cpu_ms,
    input_bytes_max: limits.input_bytes_max,
    log_bytes_max: limits.log_bytes_max,
    memory_mb: limits.memory_mb,
    modules_max: limits.modules_max,
    output_bytes_max: limits.output_bytes_max,
    wall_ms: limits.wall_ms,
  };
}

/** SHA-256, hex, of what was kept of an attempt beside its row. */
export interface EndHashes {
  /** Of the log, when it executed. */
  log?: string | undefined;
  /** Of the private log of what it called. */
  egress_log?: string | undefined;
}

export function endedEntry(row: RunRow, hashes: EndHashes = {}): EntryDraft {
  const { error, jail, startup_us, termination } = row;
  assert(termination !== null, "an ended run has a termination");
  const executed = startup_us === null ? undefined : row;
  const data: RunEnded = {
    attempt: row.attempt,
    cancelled_by: row.cancelled_by ?? undefined,
    code: error === null ? undefined : storable(error.code),
    code_hash: row.code_hash,
    completion_ms: executed && wholeMs(executed.completion_us),
    cpu_ms: executed && wholeMs(executed.cpu_us),
    egress: executed && callsOf(executed),
    egress_log_hash: hashes.egress_log,
    isolation: jail === null ? undefined : row.isolation,
    jail: jail ?? undefined,
    log_bytes: executed && (executed.log_bytes ?? 0),
    log_dropped: executed && (executed.log_dropped ?? 0),
    log_hash: hashes.log,
    output_bytes: executed && (executed.output_bytes ?? 0),
    override: row.override ?? undefined,
    result_hash: executed?.result_hash ?? undefined,
    rss_peak_mb: executed && (executed.rss_peak_mb ?? 0),
    run: row.id,
    runner: row.runner ?? undefined,
    startup_ms: executed && wholeMs(startup_us),
    termination,
  };
  const entry = entryOf("run.ended", row, data);
  if (termination === "denied") {
    const codes = (row.error?.reasons ?? []).map(({ code }) => code);
    if (codes.length === 0 && row.error !== null) codes.push(row.error.code);
    entry.decision = { verdict: "deny", codes: [...new Set(codes)] };
  }
  return entry;
}

/** Integers, as the ledger has no fractions; the row keeps microseconds. */
function wholeMs(us: number | null): number {
  return Math.round((us ?? 0) / 1_000);
}

function callsOf({ egress, blocked }: RunRow): RunEnded["egress"] {
  return egress === null ? boundedCalls(blocked ?? []) : boundedRows(egress);
}

function entryOf(kind: Kind, row: RunRow, data: EntryDraft["data"]): EntryDraft {
  return {
    kind,
    tenant: row.tenant,
    actor: row.chain,
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
    const row = { count: call.count, host, method, verdict: "denied" as const };
    left -= Buffer.byteLength(JSON.stringify(row)) + 1;
    if (left < 0) folded += call.count;
    else rows.push(row);
  }
  if (folded > 0) rows.push({ count: folded, host: "*", method: "*", verdict: "denied" });
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
    if (folded[verdict] > 0) rows.push({ count: folded[verdict], host: "*", method: "*", verdict });
  }
  return rows;
}

/** What does not apply is left out. */
function toldRow(call: EgressRow): NonNullable<RunEnded["egress"]>[number] {
  const { count, verdict, code, rule, path, request_bytes, response_bytes, service, environment } = call;
  const host = storable(call.host.slice(0, EGRESS_HOST_CHARS));
  const method = storable(call.method.slice(0, METHOD_CHARS_MAX));
  return {
    code: code ?? undefined,
    count,
    environment,
    host,
    method,
    path: path ?? undefined,
    request_bytes: request_bytes === 0 ? undefined : request_bytes,
    response_bytes: response_bytes === 0 ? undefined : response_bytes,
    rule: rule ?? undefined,
    service,
    verdict,
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
  return { bytes, dropped, dynamic_code, hosts, imports, modules, secrets, wasm };
}
