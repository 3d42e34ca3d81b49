import type { EntryDraft, Kind, PrivateField } from "../evidence/contract.ts";
import type { BlockedCall, CodeFacts } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import { type Contract, redactionOf } from "../policy/contract.ts";
import { ENTRY_PART_BYTES_MAX } from "./contract.ts";
import type { RunAdmitted, RunEnded } from "./kinds.ts";
import type { Intent } from "./normalise.ts";
import { auditedRow, type RunRow } from "./store.ts";

/** What the ledger says of a run; `row` is the run as it is after the unit that appends the entry. */

export function queuedEntry(row: RunRow, downgraded: boolean, expires_at: number): EntryDraft {
  const { id: run, attempt, lane } = row;
  return entryOf("run.queued", row, { run, attempt, lane, downgraded, expires_at });
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
  const entry = entryOf("run.admitted", row, data);
  entry.decision = { verdict: "allow", codes: [] };
  return entry;
}

/** @param log_hash  SHA-256 of the attempt's log, when it executed. */
export function endedEntry(row: RunRow, log_hash?: string): EntryDraft {
  const { id: run, attempt, code_hash, termination } = row;
  assert(termination !== null, "an ended run has a termination");
  const data: RunEnded = { run, attempt, termination, code_hash };
  if (row.error !== null) data.code = storable(row.error.code);
  if (row.cancelled_by !== null) data.cancelled_by = row.cancelled_by;
  if (row.jail !== null) {
    data.isolation = row.isolation;
    data.jail = row.jail;
  }
  if (row.runner !== null) data.runner = row.runner;
  if (row.startup_us !== null) tellExecution(data, row);
  if (log_hash !== undefined) data.log_hash = log_hash;
  const entry = entryOf("run.ended", row, data);
  if (termination === "denied") {
    const reasons = row.error?.reasons ?? [];
    entry.decision = { verdict: "deny", codes: [...new Set(reasons.map(({ code }) => code))] };
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
  data.egress = boundedCalls(row.blocked ?? []);
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
    refs: [row.id],
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
  const typed = { class: "prompts", redaction: redactionOf(contract).prompts } as const;
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
