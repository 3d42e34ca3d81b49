import { z } from "zod";
import { type AuditedTable, REDACTIONS } from "../evidence/contract.ts";
import type { SnapshotId, TenantId } from "../kernel/ids.ts";
import { LIMIT_NAMES, type LimitTable } from "../kernel/limits.ts";
import type { Migration, Reader, Tx } from "../storage/contract.ts";
import { ceilings } from "./builtin.ts";
import { CONTRACTS_PER_TENANT_MAX, type Contract, ISOLATIONS, REDACTED_CLASSES } from "./contract.ts";

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
});
export type ContractRow = z.infer<typeof contractRow>;

/** The id of a contract's row in the ledger's subjects. */
export function subjectOf(row: Pick<ContractRow, "tenant_id" | "name" | "version">): string {
  return `${row.tenant_id}/${row.name}/${row.version}`;
}

/** The room's audited table, as an audit reads it: entries digest whole rows, under the names that `subjectOf` gives. */
export const audited_tables: AuditedTable[] = [
  {
    table: "contracts",
    id: "tenant_id || '/' || name || '/' || version",
    columns: Object.keys(contractRow.shape),
    columnsOf: (row) => row,
  },
];

const contractSchema = z.object({
  kind: z.literal("Contract"),
  name: z.string(),
  extends: z.string().nullable(),
  class: z.literal("read-only"),
  isolation: z.enum(ISOLATIONS),
  isolation_floor: z.enum(ISOLATIONS),
  jail: z.enum(["required", "optional"]),
  idempotent: z.boolean(),
  limits: z.record(z.string(), z.int()),
  redaction: z.record(z.enum(REDACTED_CLASSES), z.enum(REDACTIONS)).optional(),
});

/** A contract as it was stored, frozen. A limit that is younger than the row has its hard ceiling. */
export function readContract(json: string): Contract {
  const { redaction, ...parsed } = contractSchema.parse(JSON.parse(json));
  const limits: LimitTable = ceilings();
  for (const name of LIMIT_NAMES) limits[name] = parsed.limits[name] ?? limits[name];
  return freezeContract({ ...parsed, limits, ...(redaction === undefined ? {} : { redaction }) });
}

export function freezeContract({ redaction, ...contract }: Contract): Contract {
  const limits = Object.freeze({ ...contract.limits });
  if (redaction === undefined) return Object.freeze({ ...contract, limits });
  return Object.freeze({ ...contract, limits, redaction: Object.freeze({ ...redaction }) });
}

export function insertContract(tx: Tx, row: ContractRow): void {
  tx.run(
    `INSERT INTO contracts (tenant_id, name, version, hash, doc_json, state, created_by, approval_id, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.tenant_id,
      row.name,
      row.version,
      row.hash,
      row.doc_json,
      row.state,
      row.created_by,
      row.approval_id,
      row.created_at,
    ],
    1,
  );
}

/** Expects that the version is still the active one. */
export function updateRetired(tx: Tx, before: ContractRow): ContractRow {
  tx.run(
    "UPDATE contracts SET state = 'retired' WHERE tenant_id = ? AND name = ? AND version = ? AND state = 'active'",
    [before.tenant_id, before.name, before.version],
    1,
  );
  return { ...before, state: "retired" };
}

export async function selectActive(reader: Reader, tenant: TenantId, name: string): Promise<ContractRow | undefined> {
  const row = await reader.get("SELECT * FROM contracts WHERE tenant_id = ? AND name = ? AND state = 'active'", [
    tenant,
    name,
  ]);
  return row === undefined ? undefined : contractRow.parse(row);
}

/** All active contracts of the tenant, by name. */
export async function selectAllActive(reader: Reader, tenant: TenantId): Promise<ContractRow[]> {
  const rows = await reader.all(
    "SELECT * FROM contracts WHERE tenant_id = ? AND state = 'active' ORDER BY name LIMIT ?",
    [tenant, CONTRACTS_PER_TENANT_MAX],
  );
  return rows.map((row) => contractRow.parse(row));
}

export async function countActive(reader: Reader, tenant: TenantId): Promise<number> {
  const row = await reader.get("SELECT count(*) AS n FROM contracts WHERE tenant_id = ? AND state = 'active'", [
    tenant,
  ]);
  return z.int().parse(row?.["n"]);
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
