import { z } from "zod";
import type { EgressRow } from "../egress/contract.ts";
import type { BlockedCall, JailName, Outcome } from "../execution/contract.ts";
import type { ChainLink } from "../identity/contract.ts";
import type { RunId, TenantId } from "../kernel/ids.ts";
import type { LimitTable } from "../kernel/limits.ts";
import { ISOLATIONS, type Isolation, type Requirement } from "../policy/contract.ts";
import type { Migration, Reader, Value } from "../storage/contract.ts";
import { LANES, type Lane, type RunError, type RunQuery, TERMINATIONS, type Termination } from "./contract.ts";

export const migrations: Migration[] = [
  {
    id: "intent/0001",
    sql: `
      CREATE TABLE runs (
        id {text} NOT NULL PRIMARY KEY, tenant {text} NOT NULL, actor {text} NOT NULL, chain {text} NOT NULL,
        chain_hash {text} NOT NULL, contract {text} NOT NULL, contract_version {int} NOT NULL, snapshot {text} NOT NULL,
        code_hash {text} NOT NULL, input {text}, input_blob {text}, input_hash {text} NOT NULL, vars {text} NOT NULL,
        lane {text} NOT NULL, isolation {text} NOT NULL, limits {text} NOT NULL, retry {text} NOT NULL, why {text},
        key_hash {text}, state {text} NOT NULL, termination {text}, attempt {int} NOT NULL, node {text}, boot {text},
        runner {text}, jail {text}, cold {int}, created_at {int} NOT NULL, queued_at {int}, admitted_at {int},
        started_at {int}, ended_at {int}, deadline_at {int}, expires_at {int}, startup_us {int}, completion_us {int},
        cpu_us {int}, rss_peak_mb {int}, result {text}, result_blob {text}, result_hash {text}, http {text},
        error {text}, output_bytes {int}, log_bytes {int}, log_dropped {int}, blocked {text}, cancelled_by {text},
        entries {text} NOT NULL
      );
      CREATE INDEX runs_by_tenant ON runs (tenant, id);
      CREATE INDEX runs_live ON runs (state, id) WHERE state <> 'ended';
      CREATE TABLE run_keys (
        tenant {text} NOT NULL, actor {text} NOT NULL, key {text} NOT NULL, request_hash {text} NOT NULL,
        run {text} NOT NULL, expires_at {int} NOT NULL, PRIMARY KEY (tenant, actor, key)
      );
      CREATE INDEX run_keys_by_expiry ON run_keys (expires_at);
      CREATE TABLE run_logs (
        run {text} NOT NULL, seq {int} NOT NULL, seq_last {int} NOT NULL, lines {text} NOT NULL, PRIMARY KEY (run, seq)
      );
      CREATE TABLE code (
        tenant {text} NOT NULL, hash {text} NOT NULL, sources {text}, sources_blob {text}, bytes {int} NOT NULL,
        last_used_at {int} NOT NULL, PRIMARY KEY (tenant, hash)
      );
      CREATE TABLE nodes (id {text} NOT NULL PRIMARY KEY, boot {text} NOT NULL, heartbeat_at {int} NOT NULL);
    `,
    tables: {
      runs: "audited",
      run_keys: "operational",
      run_logs: "operational",
      code: "operational",
      nodes: "operational",
    },
  },
  {
    id: "intent/0002",
    sql: `
      ALTER TABLE runs ADD COLUMN session {text};
      CREATE INDEX runs_by_session ON runs (tenant, session, id) WHERE session IS NOT NULL;
    `,
    tables: {},
  },
  {
    id: "intent/0003",
    sql: `
      ALTER TABLE runs ADD COLUMN holder {text};
      ALTER TABLE nodes ADD COLUMN silent_ms {int};
      CREATE TABLE run_notices (
        run {text} NOT NULL, actor {text} NOT NULL, at {int} NOT NULL, PRIMARY KEY (run, actor)
      );
    `,
    tables: { run_notices: "operational" },
  },
  {
    id: "intent/0004",
    sql: `
      ALTER TABLE runs ADD COLUMN target {text};
      ALTER TABLE runs ADD COLUMN approval {text};
      ALTER TABLE runs ADD COLUMN facts {text};
      ALTER TABLE runs ADD COLUMN authors {text};
      ALTER TABLE runs ADD COLUMN parent {text};
      ALTER TABLE runs ADD COLUMN root {text};
      ALTER TABLE runs ADD COLUMN depth {int};
      ALTER TABLE runs ADD COLUMN override {text};
      ALTER TABLE run_notices ADD COLUMN override {text};
      CREATE INDEX runs_by_root ON runs (tenant, root, id) WHERE root IS NOT NULL;
      CREATE INDEX runs_approved ON runs (tenant, contract, id) WHERE approval IS NOT NULL;
      CREATE INDEX runs_by_contract ON runs (tenant, contract, contract_version, ended_at) WHERE ended_at IS NOT NULL;
      CREATE TABLE run_trees (
        root {text} NOT NULL PRIMARY KEY, tenant {text} NOT NULL, runs {int} NOT NULL, cpu_ms {int} NOT NULL
      );
      CREATE TABLE run_days (
        tenant {text} NOT NULL, contract {text} NOT NULL, day {text} NOT NULL, runs {int} NOT NULL, run_ms {int} NOT NULL,
        PRIMARY KEY (tenant, contract, day)
      );
    `,
    tables: { run_trees: "operational", run_days: "operational" },
  },
  {
    id: "intent/0005",
    sql: `
      ALTER TABLE runs ADD COLUMN egress {text};
      ALTER TABLE run_days ADD COLUMN effects {int};
    `,
    tables: {},
  },
  {
    // The first has all that figures are counted from: rows of runs are large, and none is touched.
    id: "intent/0006",
    sql: `
      CREATE INDEX runs_by_end ON runs (tenant, ended_at, lane, termination, startup_us, completion_us, created_at,
        queued_at, admitted_at) WHERE ended_at IS NOT NULL;
      CREATE INDEX runs_refused ON runs (tenant, ended_at)
        WHERE ended_at IS NOT NULL AND (termination = 'denied' OR blocked <> '[]' OR egress <> '[]');
    `,
    tables: {},
  },
];

/** Ways in which a human reverses what an agent has begun. */
export const OVERRIDES = ["cancel", "decline"] as const;
export type Override = (typeof OVERRIDES)[number];

/** What a run that waits must still know when it starts. */
export interface RunFacts {
  /** What its request carried of what contracts may require. */
  carries: Requirement[];
  /** Of a run that waits for people, or has waited. */
  gate?: {
    /** The gate's name; several are joined. */
    name: string;
    /** How long after the deciding vote it may start. */
    execute_before_ms: number;
    statement_hash: string;
    /** SHA-256 of what people were shown. */
    preview_hash: string;
  };
}

/** One run. `running` exists in memory only: the row goes from `queued` or nothing to `starting` to `ended`. */
export interface RunRow {
  id: RunId;
  tenant: TenantId;
  actor: string;
  chain: ChainLink[];
  chain_hash: string;
  contract: string;
  contract_version: number;
  snapshot: string;
  code_hash: string;
  /** JSON text; null when it is a blob. */
  input: string | null;
  input_blob: string | null;
  input_hash: string;
  vars: Record<string, string>;
  lane: Lane;
  isolation: Isolation;
  /** Null unless the isolation is `session`. */
  session: string | null;
  limits: LimitTable;
  retry: "never" | "if_lost";
  why: string | null;
  key_hash: string | null;
  /** The environment that it acts on. */
  target: string | null;
  /** What people must approve, or have approved, before it starts. */
  approval: string | null;
  /** What its start needs and no other column says, see `RunFacts`. Not audited: approvals hold hashes of their own. */
  facts: RunFacts | null;
  /** Who signed the code. */
  authors: string[] | null;
  /** The run that started this one, and the first of its tree; null: nobody's. */
  parent: string | null;
  root: string | null;
  /** 0 for a run that nobody's run started. */
  depth: number | null;
  state: "waiting_approval" | "queued" | "starting" | "ended";
  termination: Termination | null;
  attempt: number;
  node: string | null;
  boot: string | null;
  /** While it is queued: in whose memory it waits, `<node>/<boot>`. Not audited: it changes without an entry. */
  holder: string | null;
  runner: string | null;
  jail: JailName | null;
  cold: boolean | null;
  created_at: number;
  queued_at: number | null;
  admitted_at: number | null;
  started_at: number | null;
  ended_at: number | null;
  deadline_at: number | null;
  expires_at: number | null;
  /** Microseconds, as all `_us`. */
  startup_us: number | null;
  completion_us: number | null;
  cpu_us: number | null;
  rss_peak_mb: number | null;
  result: string | null;
  result_blob: string | null;
  result_hash: string | null;
  http: NonNullable<Outcome["http"]> | null;
  error: RunError | null;
  output_bytes: number | null;
  log_bytes: number | null;
  log_dropped: number | null;
  blocked: BlockedCall[] | null;
  /** What its door let out and what it refused; null: it had none. */
  egress: EgressRow[] | null;
  cancelled_by: string | null;
  /** How a human reversed what an agent had begun. */
  override: Override | null;
  /** Ids of the run's ledger entries. */
  entries: string[];
}

const int = z.int().nullable();
const str = z.string().nullable();
const bool = int.transform((value) => (value === null ? null : value === 1));
/** Our own JSON, written by `row_store.ts`. */
const json = <T>() => z.string().transform((text) => JSON.parse(text) as T);
const json_or_null = <T>() => str.transform((text) => (text === null ? null : (JSON.parse(text) as T)));

const runRow = z.object({
  id: z.string().transform((id) => id as RunId),
  tenant: z.string().transform((id) => id as TenantId),
  actor: z.string(),
  chain: json<ChainLink[]>(),
  chain_hash: z.string(),
  contract: z.string(),
  contract_version: z.int(),
  snapshot: z.string(),
  code_hash: z.string(),
  input: str,
  input_blob: str,
  input_hash: z.string(),
  vars: json<Record<string, string>>(),
  lane: z.enum(LANES),
  isolation: z.enum(ISOLATIONS),
  session: str,
  limits: json<LimitTable>(),
  retry: z.enum(["never", "if_lost"]),
  why: str,
  key_hash: str,
  target: str,
  approval: str,
  facts: json_or_null<RunFacts>(),
  authors: json_or_null<string[]>(),
  parent: str,
  root: str,
  depth: int,
  state: z.enum(["waiting_approval", "queued", "starting", "ended"]),
  termination: z.enum(TERMINATIONS).nullable(),
  attempt: z.int(),
  node: str,
  boot: str,
  holder: str,
  runner: str,
  jail: z.enum(["unshare", "bwrap", "none"]).nullable(),
  cold: bool,
  created_at: z.int(),
  queued_at: int,
  admitted_at: int,
  started_at: int,
  ended_at: int,
  deadline_at: int,
  expires_at: int,
  startup_us: int,
  completion_us: int,
  cpu_us: int,
  rss_peak_mb: int,
  result: str,
  result_blob: str,
  result_hash: str,
  http: json_or_null<NonNullable<Outcome["http"]>>(),
  error: json_or_null<RunError>(),
  output_bytes: int,
  log_bytes: int,
  log_dropped: int,
  blocked: json_or_null<BlockedCall[]>(),
  egress: json_or_null<EgressRow[]>(),
  cancelled_by: str,
  override: z.enum(OVERRIDES).nullable(),
  entries: json<string[]>(),
}) satisfies z.ZodType<RunRow>;

/** In the order of the row's definition. */
export const COLUMNS = Object.keys(runRow.shape) as (keyof RunRow)[];
/** What a list reads: everything but the large columns. */
const LIST_COLUMNS = COLUMNS.map((name) => (name === "result" || name === "input" ? `NULL AS ${name}` : name));

export async function findRun(reader: Reader, id: string): Promise<RunRow | undefined> {
  const row = await reader.get(`SELECT ${COLUMNS.join(", ")} FROM runs WHERE id = ?`, [id]);
  return row === undefined ? undefined : runRow.parse(row);
}

/** Newest first; `input` and `result` are null. `limit + 1` rows at most, so that a caller sees whether more follow. */
export async function listRuns(reader: Reader, tenant: string, query: RunQuery, limit: number): Promise<RunRow[]> {
  const where = ["tenant = ?"];
  const params: Value[] = [tenant];
  const also = (condition: string, value: Value | undefined) => {
    if (value === undefined) return;
    where.push(condition);
    params.push(value);
  };
  also("id < ?", query.cursor);
  also("state = ?", query.state === "running" ? "starting" : query.state);
  // For the partial index of runs that have not ended: they are few among all that the tenant ever had.
  if (query.state !== undefined && query.state !== "ended") where.push("state <> 'ended'");
  also("termination = ?", query.termination);
  also("session = ?", query.session);
  also("root = ?", query.root);
  const sql = `SELECT ${LIST_COLUMNS.join(", ")} FROM runs WHERE ${where.join(" AND ")} ORDER BY id DESC LIMIT ?`;
  const rows = await reader.all(sql, [...params, limit + 1]);
  return rows.map((row) => runRow.parse(row));
}

/** Runs that wait in the memory of this holder, oldest first; `input` and `result` are null. */
export async function waitingRuns(reader: Reader, holder: string, after: string, limit: number): Promise<RunRow[]> {
  const sql = `SELECT ${LIST_COLUMNS.join(", ")} FROM runs
    WHERE state <> 'ended' AND state = 'queued' AND holder = ? AND id > ? ORDER BY id LIMIT ?`;
  return (await reader.all(sql, [holder, after, limit])).map((row) => runRow.parse(row));
}
