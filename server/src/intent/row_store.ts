import type { AuditedTable } from "../evidence/contract.ts";
import type { Tx } from "../storage/contract.ts";
import { COLUMNS, type RunRow } from "./store.ts";

type Stored = string | number | null;
/** A row, its columns as memory has them or as they are stored. */
type Columns = { [K in keyof RunRow]: RunRow[K] | Stored };

function stored(value: Columns[keyof RunRow]): Stored {
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "object" && value !== null ? JSON.stringify(value) : value;
}

/** A column that is younger than the table: without a value it is not there, so that older digests still hold. */
function younger(value: Stored): Stored | undefined {
  return value === null ? undefined : value;
}

/**
 * The audited part of a run's row, as the ledger digests it: columns that change only together with an entry, in the
 * order of the digest. Written out, because a loop over the names looks each of them up in a row of any shape and puts
 * together a table of hashes, which is then read as slowly: 21 instead of 44 µs for the text of a row (Node 20.20,
 * between other work).
 */
export function auditedRow(columns: Columns): ReturnType<AuditedTable["columnsOf"]> {
  return {
    actor: columns.actor,
    admitted_at: columns.admitted_at,
    approval: younger(columns.approval),
    attempt: columns.attempt,
    authors: younger(stored(columns.authors)),
    blocked: stored(columns.blocked),
    boot: columns.boot,
    cancelled_by: columns.cancelled_by,
    chain_hash: columns.chain_hash,
    code_hash: columns.code_hash,
    cold: stored(columns.cold),
    completion_us: columns.completion_us,
    contract: columns.contract,
    contract_version: columns.contract_version,
    cpu_us: columns.cpu_us,
    created_at: columns.created_at,
    deadline_at: columns.deadline_at,
    depth: younger(columns.depth),
    egress: younger(stored(columns.egress)),
    ended_at: columns.ended_at,
    error: stored(columns.error),
    expires_at: columns.expires_at,
    facts: younger(stored(columns.facts)),
    http: stored(columns.http),
    id: columns.id,
    input_hash: columns.input_hash,
    isolation: columns.isolation,
    jail: columns.jail,
    key_hash: columns.key_hash,
    lane: columns.lane,
    limits: stored(columns.limits),
    log_bytes: columns.log_bytes,
    log_dropped: columns.log_dropped,
    node: columns.node,
    output_bytes: columns.output_bytes,
    override: younger(columns.override),
    parent: younger(columns.parent),
    queued_at: columns.queued_at,
    result_hash: columns.result_hash,
    retry: columns.retry,
    root: younger(columns.root),
    rss_peak_mb: columns.rss_peak_mb,
    runner: columns.runner,
    session: younger(columns.session),
    snapshot: columns.snapshot,
    started_at: columns.started_at,
    startup_us: columns.startup_us,
    state: columns.state,
    target: younger(columns.target),
    tenant: columns.tenant,
    termination: columns.termination,
    vars: stored(columns.vars),
    why: columns.why,
  };
}

/** The room's audited table, as an audit reads it: what the ledger digests are columns as they are stored. */
export const audited_tables: AuditedTable[] = [
  {
    table: "runs",
    id: "id",
    columns: Object.keys(auditedRow({} as Columns)),
    columnsOf: (row) => auditedRow(row as Columns),
  },
];

const INSERT = `INSERT INTO runs (${COLUMNS.join(", ")}) VALUES (${COLUMNS.map(() => "?").join(", ")})`;

export function insertRun(tx: Tx, row: RunRow): void {
  tx.run(
    INSERT,
    COLUMNS.map((name) => stored(row[name])),
    1,
  );
}

/** What the row must be for a change of it to hold; any other state rolls the unit back. */
export type Guard =
  | { state: "waiting_approval" }
  | { state: "queued"; holder: string | null }
  | { state: "starting"; node: string; boot: string };

const CHANGING = COLUMNS.slice(COLUMNS.indexOf("state"));
const UPDATE = `UPDATE runs SET ${CHANGING.map((name) => `${name} = ?`).join(", ")}, lane = ? WHERE id = ?`;
/** Put together once: a text that is new is hashed anew where statements are looked up. */
const UPDATES = {
  parked: `${UPDATE} AND state = 'waiting_approval'`,
  unheld: `${UPDATE} AND state = 'queued' AND holder IS NULL`,
  held: `${UPDATE} AND state = 'queued' AND holder = ?`,
  started: `${UPDATE} AND state = 'starting' AND node = ? AND boot = ?`,
};

/** Replaces what may change of a run: everything after the request. Ended rows match no guard. */
export function updateRun(tx: Tx, row: RunRow, guard: Guard): void {
  const { sql, params } = guarded(guard);
  const values = CHANGING.map((name) => stored(row[name]));
  values.push(row.lane, row.id, ...params);
  tx.run(sql, values, 1);
}

function guarded(guard: Guard): { sql: string; params: Stored[] } {
  switch (guard.state) {
    case "waiting_approval":
      return { sql: UPDATES.parked, params: [] };
    case "queued":
      return guard.holder === null
        ? { sql: UPDATES.unheld, params: [] }
        : { sql: UPDATES.held, params: [guard.holder] };
    case "starting":
      return { sql: UPDATES.started, params: [guard.node, guard.boot] };
  }
}
