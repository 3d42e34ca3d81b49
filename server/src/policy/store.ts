import { z } from "zod";
import type { AuditedTable } from "../evidence/contract.ts";
import type { SnapshotId, TenantId } from "../kernel/ids.ts";
import { LIMIT_NAMES, type LimitTable } from "../kernel/limits.ts";
import type { Migration, Reader, Row, Tx } from "../storage/contract.ts";
import { ceilings, nothingGranted } from "./builtin.ts";
import { CONTRACTS_PER_TENANT_MAX, type Contract, PHASE_METRICS, type Suspension } from "./contract.ts";

/**
 * One row for each version of a contract; a version never changes but in its state, and one of a name is active.
 * Snapshots are only ever inserted. They are kept per tenant, so that knowing an id does not open another tenant's.
 */
export const migrations: Migration[] = [
  {
    id: "policy/0001",
    sql: `
      CREATE TABLE contracts (
        tenant_id {text} NOT NULL,
        name {text} NOT NULL,
        version {int} NOT NULL,
        hash {text} NOT NULL,
        doc_json {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('pending', 'active', 'retired')),
        created_by {text} NOT NULL,
        approval_id {text},
        created_at {int} NOT NULL,
        PRIMARY KEY (tenant_id, name, version)
      );
      CREATE UNIQUE INDEX contracts_active ON contracts (tenant_id, name) WHERE state = 'active';
      CREATE TABLE policy_snapshots (
        id {text} NOT NULL,
        tenant_id {text} NOT NULL,
        body_json {text} NOT NULL,
        PRIMARY KEY (id, tenant_id)
      );
    `,
    tables: { contracts: "audited", policy_snapshots: "derived" },
  },
  {
    id: "policy/0002",
    sql: `
      ALTER TABLE contracts ADD COLUMN source_text {text};
      ALTER TABLE contracts ADD COLUMN base_json {text};
      ALTER TABLE contracts ADD COLUMN statement_hash {text};
      ALTER TABLE contracts ADD COLUMN suspension_json {text};
      CREATE UNIQUE INDEX contracts_pending ON contracts (tenant_id, name) WHERE state = 'pending';
      CREATE TABLE contract_changes (id {int} NOT NULL PRIMARY KEY, rev {int} NOT NULL);
    `,
    tables: { contract_changes: "operational" },
  },
];

const contractRow = z.object({
  tenant_id: z.custom<TenantId>(),
  name: z.string(),
  version: z.int(),
  hash: z.string(),
  doc_json: z.string(),
  state: z.enum(["pending", "active", "retired"]),
  created_by: z.string(),
  approval_id: z.string().nullable(),
  created_at: z.int(),
  /** The document as it was applied. */
  source_text: z.string().nullable(),
  /** Of a proposed version, a `Base`: what it was judged against. */
  base_json: z.string().nullable(),
  /** Of the approval that it waits for. */
  statement_hash: z.string().nullable(),
  /** A `Suspension`; only active versions have one. */
  suspension_json: z.string().nullable(),
});
export type ContractRow = z.infer<typeof contractRow>;

/** The id of a contract's row in the ledger's subjects. */
export function subjectOf(row: Pick<ContractRow, "tenant_id" | "name" | "version">): string {
  return `${row.tenant_id}/${row.name}/${row.version}`;
}

/** Columns that are younger than the table: without a value they are not there, so that older digests still hold. */
const YOUNGER: ReadonlySet<string> = new Set(["source_text", "base_json", "statement_hash", "suspension_json"]);

/** A row as the ledger digests it. */
export function auditedRow(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([name, value]) => value !== null || !YOUNGER.has(name)));
}

/** The room's audited table, as an audit reads it: entries digest whole rows, under the names that `subjectOf` gives. */
export const audited_tables: AuditedTable[] = [
  {
    table: "contracts",
    id: "tenant_id || '/' || name || '/' || version",
    columns: Object.keys(contractRow.shape),
    columnsOf: auditedRow,
  },
];

const suspensionSchema = z.object({
  metric: z.enum(PHASE_METRICS),
  counted: z.int(),
  runs: z.int(),
  entry: z.string(),
  at: z.int(),
});

/** Why the version is suspended; null: it is not. */
export function readSuspension({ suspension_json }: Pick<ContractRow, "suspension_json">): Suspension | null {
  return suspension_json === null ? null : suspensionSchema.parse(JSON.parse(suspension_json));
}

/** A contract as it was stored: our own canonical JSON, whose members are younger than some rows. */
const contractSchema = z.looseObject({
  name: z.string(),
  limits: z.record(z.string(), z.int()),
});

/** A contract as it was stored, frozen. What is younger than the row grants nothing; a younger limit has its hard ceiling. */
export function readContract(json: string): Contract {
  const parsed = contractSchema.parse(JSON.parse(json));
  const limits: LimitTable = ceilings();
  for (const name of LIMIT_NAMES) limits[name] = parsed.limits[name] ?? limits[name];
  return freezeContract({ ...nothingGranted(parsed.name), ...(parsed as Partial<Contract>), limits });
}

/** Frozen all the way down: a view hands the same object to every run. */
export function freezeContract(contract: Contract): Contract {
  return deepFreeze(structuredClone(contract));
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}

const COLUMNS = Object.keys(contractRow.shape) as (keyof ContractRow)[];
const INSERT = `INSERT INTO contracts (${COLUMNS.join(", ")}) VALUES (${COLUMNS.map(() => "?").join(", ")})`;

export function insertContract(tx: Tx, row: ContractRow): void {
  tx.run(
    INSERT,
    COLUMNS.map((name) => row[name]),
    1,
  );
}

/** Changes the state of a version, and expects that it is still in the one it was in. @returns the row as it is then. */
export function updateState(
  tx: Tx,
  before: ContractRow,
  change: Partial<Pick<ContractRow, "state" | "suspension_json">>,
): ContractRow {
  const after = { ...before, ...change };
  const key = [before.tenant_id, before.name, before.version, before.state];
  tx.run(
    "UPDATE contracts SET state = ?, suspension_json = ? WHERE tenant_id = ? AND name = ? AND version = ? AND state = ?",
    [after.state, after.suspension_json, ...key],
    1,
  );
  return after;
}

export async function selectActive(reader: Reader, tenant: TenantId, name: string): Promise<ContractRow | undefined> {
  return parsed(
    await reader.get("SELECT * FROM contracts WHERE tenant_id = ? AND name = ? AND state = 'active'", [tenant, name]),
  );
}

/** The version that waits for people, if one does. */
export async function selectPending(reader: Reader, tenant: TenantId, name: string): Promise<ContractRow | undefined> {
  return parsed(
    await reader.get("SELECT * FROM contracts WHERE tenant_id = ? AND name = ? AND state = 'pending'", [tenant, name]),
  );
}

export async function selectVersion(
  reader: Reader,
  tenant: TenantId,
  name: string,
  version: number,
): Promise<ContractRow | undefined> {
  return parsed(
    await reader.get("SELECT * FROM contracts WHERE tenant_id = ? AND name = ? AND version = ?", [
      tenant,
      name,
      version,
    ]),
  );
}

/** What there is of a contract. */
export interface Live {
  active: ContractRow | undefined;
  /** The version that waits for people. */
  pending: ContractRow | undefined;
  /** The highest version that there ever was; 0: none. */
  newest: number;
}

/** In one read: each costs the unit that holds the store a round trip. */
export async function selectLive(reader: Reader, tenant: TenantId, name: string): Promise<Live> {
  const rows = await reader.all(
    `SELECT * FROM contracts WHERE tenant_id = ? AND name = ? AND (state <> 'retired' OR version =
      (SELECT max(version) FROM contracts WHERE tenant_id = ? AND name = ?))`,
    [tenant, name, tenant, name],
  );
  const read = rows.map((row) => contractRow.parse(row));
  return {
    active: read.find(({ state }) => state === "active"),
    pending: read.find(({ state }) => state === "pending"),
    newest: Math.max(0, ...read.map(({ version }) => version)),
  };
}

/** All active or pending versions of the tenant, by name. */
export async function selectAll(reader: Reader, tenant: TenantId, state: "active" | "pending"): Promise<ContractRow[]> {
  const rows = await reader.all("SELECT * FROM contracts WHERE tenant_id = ? AND state = ? ORDER BY name LIMIT ?", [
    tenant,
    state,
    CONTRACTS_PER_TENANT_MAX,
  ]);
  return rows.map((row) => contractRow.parse(row));
}

/** Contracts of the tenant that are active, or would be if people agreed. */
export async function countNames(reader: Reader, tenant: TenantId): Promise<number> {
  const row = await reader.get(
    "SELECT count(DISTINCT name) AS n FROM contracts WHERE tenant_id = ? AND state IN ('active', 'pending')",
    [tenant],
  );
  return z.int().parse(row?.["n"]);
}

function parsed(row: Row | undefined): ContractRow | undefined {
  return row === undefined ? undefined : contractRow.parse(row);
}

/** Says to all processes over the database that what is active has changed. */
export function bumpChanges(tx: Tx): void {
  tx.run(
    "INSERT INTO contract_changes (id, rev) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET rev = contract_changes.rev + 1",
    [],
  );
}

export async function selectChanges(reader: Reader): Promise<number> {
  const row = await reader.get("SELECT rev FROM contract_changes WHERE id = 1", []);
  return z.int().parse(row?.["rev"] ?? 0);
}

/** A snapshot that is there stays as it is: its id names its body. */
export function insertSnapshot(tx: Tx, tenant: TenantId, id: SnapshotId, body: string): void {
  tx.run(
    "INSERT INTO policy_snapshots (id, tenant_id, body_json) VALUES (?, ?, ?) ON CONFLICT (id, tenant_id) DO NOTHING",
    [id, tenant, body],
  );
}

/** Canonical JSON of the snapshot's body. */
export async function selectSnapshot(reader: Reader, tenant: TenantId, id: string): Promise<string | undefined> {
  const row = await reader.get("SELECT body_json FROM policy_snapshots WHERE id = ? AND tenant_id = ?", [id, tenant]);
  return row === undefined ? undefined : z.string().parse(row["body_json"]);
}
