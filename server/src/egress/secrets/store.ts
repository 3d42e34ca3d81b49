import { z } from "zod";
import type { AuditedTable } from "../../evidence/contract.ts";
import type { LeaseId, TenantId } from "../../kernel/ids.ts";
import type { Migration, Reader, Tx } from "../../storage/contract.ts";

/** A secret's value opens only with a key that is not in the database; of a lease only the hash is kept. */
export const migrations: Migration[] = [
  {
    id: "egress/0001",
    sql: `
      CREATE TABLE egress_secrets (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL REFERENCES tenants (id),
        name {text} NOT NULL,
        version {int} NOT NULL,
        key_id {text} NOT NULL,
        wrapped_key {text} NOT NULL,
        nonce {text} NOT NULL,
        ciphertext {text} NOT NULL,
        actor {text} NOT NULL,
        created_at {int} NOT NULL
      );
      CREATE UNIQUE INDEX egress_secrets_name ON egress_secrets (tenant_id, name);
      CREATE TABLE egress_leases (
        id {text} NOT NULL PRIMARY KEY,
        hash {text} NOT NULL,
        tenant_id {text} NOT NULL,
        subject {text} NOT NULL,
        secret {text} NOT NULL,
        secret_version {int} NOT NULL,
        hosts_json {text} NOT NULL,
        methods_json {text} NOT NULL,
        slot {text} NOT NULL,
        approval {text},
        not_after_at {int} NOT NULL,
        revoked_at {int}
      );
      CREATE UNIQUE INDEX egress_leases_hash ON egress_leases (hash);
      CREATE INDEX egress_leases_subject ON egress_leases (tenant_id, subject);
      CREATE INDEX egress_leases_secret ON egress_leases (tenant_id, secret);
      CREATE INDEX egress_leases_age ON egress_leases (tenant_id, not_after_at);
    `,
    tables: { egress_secrets: "audited", egress_leases: "operational" },
  },
];

const secretRow = z.object({
  id: z.string(),
  tenant_id: z.custom<TenantId>(),
  name: z.string(),
  version: z.int(),
  key_id: z.string(),
  wrapped_key: z.string(),
  nonce: z.string(),
  ciphertext: z.string(),
  actor: z.string(),
  created_at: z.int(),
});
export type SecretRow = z.infer<typeof secretRow>;

const leaseRow = z.object({
  id: z.custom<LeaseId>(),
  hash: z.string(),
  tenant_id: z.custom<TenantId>(),
  subject: z.string(),
  secret: z.string(),
  secret_version: z.int(),
  hosts_json: z.string(),
  methods_json: z.string(),
  slot: z.string(),
  approval: z.string().nullable(),
  not_after_at: z.int(),
  revoked_at: z.int().nullable(),
});
export type LeaseRow = z.infer<typeof leaseRow>;

/** As an audit reads them. */
export const audited_tables: AuditedTable[] = [
  { table: "egress_secrets", id: "id", columns: Object.keys(secretRow.shape), columnsOf: (row) => row },
];

/** The first version makes the row, each later one takes the place of the one before. */
export function insertSecret(tx: Tx, row: SecretRow): void {
  tx.run(
    `INSERT INTO egress_secrets (id, tenant_id, name, version, key_id, wrapped_key, nonce, ciphertext, actor, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.id,
      row.tenant_id,
      row.name,
      row.version,
      row.key_id,
      row.wrapped_key,
      row.nonce,
      row.ciphertext,
      row.actor,
      row.created_at,
    ],
    1,
  );
}

export function updateSecret(tx: Tx, row: SecretRow): void {
  tx.run(
    `UPDATE egress_secrets SET version = ?, key_id = ?, wrapped_key = ?, nonce = ?, ciphertext = ?, actor = ?, created_at = ?
     WHERE id = ? AND version = ?`,
    [
      row.version,
      row.key_id,
      row.wrapped_key,
      row.nonce,
      row.ciphertext,
      row.actor,
      row.created_at,
      row.id,
      row.version - 1,
    ],
    1,
  );
}

export function deleteSecret(tx: Tx, id: string): void {
  tx.run("DELETE FROM egress_secrets WHERE id = ?", [id], 1);
}

export async function selectSecret(reader: Reader, tenant: TenantId, name: string): Promise<SecretRow | undefined> {
  const row = await reader.get("SELECT * FROM egress_secrets WHERE tenant_id = ? AND name = ?", [tenant, name]);
  return row === undefined ? undefined : secretRow.parse(row);
}

const secretHead = secretRow.pick({ name: true, version: true, actor: true, created_at: true });
export type SecretHead = z.infer<typeof secretHead>;

/** By name; at most `SECRETS_PER_TENANT_MAX`. */
export async function selectSecretHeads(reader: Reader, tenant: TenantId): Promise<SecretHead[]> {
  const rows = await reader.all(
    "SELECT name, version, actor, created_at FROM egress_secrets WHERE tenant_id = ? ORDER BY name",
    [tenant],
  );
  return rows.map((row) => secretHead.parse(row));
}

export async function countSecrets(reader: Reader, tenant: TenantId): Promise<number> {
  const row = await reader.get("SELECT count(*) AS n FROM egress_secrets WHERE tenant_id = ?", [tenant]);
  return z.int().parse(row?.["n"]);
}

const keyCount = z.object({ key_id: z.string(), secrets: z.int() });

/** With which keys secrets are wrapped, and how many with each. */
export async function countByKey(reader: Reader): Promise<z.infer<typeof keyCount>[]> {
  const rows = await reader.all(
    "SELECT key_id, count(*) AS secrets FROM egress_secrets GROUP BY key_id ORDER BY key_id LIMIT 100",
    [],
  );
  return rows.map((row) => keyCount.parse(row));
}

/** Some that are wrapped with another key than this one, by tenant. */
export async function selectUnwrapped(reader: Reader, key_id: string, limit: number): Promise<SecretRow[]> {
  const rows = await reader.all(
    `SELECT * FROM egress_secrets WHERE key_id <> ? ORDER BY tenant_id, id LIMIT ${limit}`,
    [key_id],
  );
  return rows.map((row) => secretRow.parse(row));
}

/** Expects that the row is as it was. */
export function updateWrapping(tx: Tx, before: SecretRow, { key_id, wrapped_key }: SecretRow): void {
  tx.run(
    "UPDATE egress_secrets SET key_id = ?, wrapped_key = ? WHERE id = ? AND version = ? AND wrapped_key = ?",
    [key_id, wrapped_key, before.id, before.version, before.wrapped_key],
    1,
  );
}

export function insertLease(tx: Tx, row: LeaseRow): void {
  tx.run(
    `INSERT INTO egress_leases (id, hash, tenant_id, subject, secret, secret_version, hosts_json, methods_json, slot,
       approval, not_after_at, revoked_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.id,
      row.hash,
      row.tenant_id,
      row.subject,
      row.secret,
      row.secret_version,
      row.hosts_json,
      row.methods_json,
      row.slot,
      row.approval,
      row.not_after_at,
      row.revoked_at,
    ],
    1,
  );
}

export function revokeLease(tx: Tx, id: LeaseId, at: number): void {
  tx.run("UPDATE egress_leases SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", [at, id], 1);
}

export function revokeSubjectLeases(tx: Tx, tenant: TenantId, subject: string, at: number): void {
  tx.run("UPDATE egress_leases SET revoked_at = ? WHERE tenant_id = ? AND subject = ? AND revoked_at IS NULL", [
    at,
    tenant,
    subject,
  ]);
}

/** What expired before `at`. */
export function deleteExpiredLeases(tx: Tx, tenant: TenantId, at: number): void {
  tx.run("DELETE FROM egress_leases WHERE tenant_id = ? AND not_after_at < ?", [tenant, at]);
}

export async function selectLeaseByHash(reader: Reader, hash: string): Promise<LeaseRow | undefined> {
  const row = await reader.get("SELECT * FROM egress_leases WHERE hash = ?", [hash]);
  return row === undefined ? undefined : leaseRow.parse(row);
}

export async function selectLease(reader: Reader, tenant: TenantId, id: string): Promise<LeaseRow | undefined> {
  const row = await reader.get("SELECT * FROM egress_leases WHERE tenant_id = ? AND id = ?", [tenant, id]);
  return row === undefined ? undefined : leaseRow.parse(row);
}

/** Newest first, those that have not expired at `at`. */
export async function selectLeases(reader: Reader, tenant: TenantId, at: number, limit: number): Promise<LeaseRow[]> {
  const rows = await reader.all(
    `SELECT * FROM egress_leases WHERE tenant_id = ? AND not_after_at > ? ORDER BY id DESC LIMIT ${limit}`,
    [tenant, at],
  );
  return rows.map((row) => leaseRow.parse(row));
}

/** Some that are good at `at`; the same again once those are revoked. */
export async function selectLeasesOfSecret(
  reader: Reader,
  of: { tenant: TenantId; secret: string; at: number },
  limit: number,
): Promise<LeaseRow[]> {
  const rows = await reader.all(
    `SELECT * FROM egress_leases WHERE tenant_id = ? AND secret = ? AND not_after_at > ? AND revoked_at IS NULL
     ORDER BY id LIMIT ${limit}`,
    [of.tenant, of.secret, of.at],
  );
  return rows.map((row) => leaseRow.parse(row));
}
