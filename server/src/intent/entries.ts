import type { EntryDraft, Kind } from "../evidence/contract.ts";
import type { BlockedCall, CodeFacts } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { ENTRY_PART_BYTES_MAX } from "./contract.ts";
import type { RunAdmitted, RunEnded } from "./kinds.ts";
import { auditedRow, type RunRow } from "./store.ts";

/** What the ledger says of a run; `row` is the run as it is after the unit that appends the entry. */

export function queuedEntry(row: RunRow, downgraded: boolean, expires_at: number): EntryDraft {
  const { id: run, attempt, lane } = row;
  return { ...common("run.queued", row), data: { run, attempt, lane, downgraded, expires_at } };
}

export function admittedEntry(row: RunRow, facts: CodeFacts): EntryDraft {
  const { id: run, attempt, code_hash, input_hash, limits, lane, isolation, deadline_at } = row;
  assert(deadline_at !== null, "an admitted run has a deadline");
  const data: RunAdmitted = {
    ...{ run, attempt, code_hash, input_hash, limits, lane, isolation, deadline_at },
    ...(row.why === null ? {} : { why_hash: sha256Hex(row.why) }),
    ...(row.key_hash === null ? {} : { key_hash: row.key_hash }),
    code_facts: boundedFacts(facts),
  };
  return { ...common("run.admitted", row), decision: { verdict: "allow", codes: [] }, data };
}

/** @param log_hash  SHA-256 of the attempt's log, when it executed. */
export function endedEntry(row: RunRow, log_hash?: string): EntryDraft {
  const { id: run, attempt, code_hash, termination } = row;
  assert(termination !== null, "an ended run has a termination");
  const data: RunEnded = {
    ...{ run, attempt, termination, code_hash },
    ...(row.error === null ? {} : { code: storable(row.error.code) }),
    ...(row.cancelled_by === null ? {} : { cancelled_by: row.cancelled_by }),
    ...(row.jail === null ? {} : { isolation: row.isolation, jail: row.jail }),
    ...(row.runner === null ? {} : { runner: row.runner }),
    ...(row.startup_us === null ? {} : executionOf(row)),
    ...(log_hash === undefined ? {} : { log_hash }),
  };
  const reasons = row.error?.reasons ?? [];
  const codes = [...new Set(reasons.map(({ code }) => code))];
  const denied = termination === "denied" ? { decision: { verdict: "deny" as const, codes } } : {};
  return { ...common("run.ended", row), ...denied, data };
}

/** Integers, as the ledger has no fractions; the row keeps microseconds. */
function executionOf(row: RunRow): Partial<RunEnded> {
  const ms = (us: number | null) => Math.round((us ?? 0) / 1_000);
  return {
    startup_ms: ms(row.startup_us),
    completion_ms: ms(row.completion_us),
    cpu_ms: ms(row.cpu_us),
    rss_peak_mb: row.rss_peak_mb ?? 0,
    output_bytes: row.output_bytes ?? 0,
    ...(row.result_hash === null ? {} : { result_hash: row.result_hash }),
    log_bytes: row.log_bytes ?? 0,
    log_dropped: row.log_dropped ?? 0,
    egress: boundedCalls(row.blocked ?? []),
  };
}

function common(kind: Kind, row: RunRow): Omit<EntryDraft, "data"> {
  return {
    kind,
    tenant: row.tenant,
    actor: row.chain.map(({ actor, kind }) => ({ actor, kind })),
    subjects: [{ table: "runs", id: row.id, row: auditedRow(row) }],
    refs: [row.id],
    snapshot: row.snapshot,
    contract: { name: row.contract, version: row.contract_version },
  };
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
