import { z } from "zod";
import type { AuditedTable } from "../../evidence/contract.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Migration, Reader, Tx } from "../../storage/contract.ts";
import { SERVICES_PER_TENANT_MAX } from "../contract.ts";

export const migrations: Migration[] = [
  {
    id: "egress/0003",
    sql: `
      CREATE TABLE egress_services (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL REFERENCES tenants (id),
        name {text} NOT NULL,
        entry_json {text} NOT NULL,
        actor {text} NOT NULL,
        changed_at {int} NOT NULL
      );
      CREATE UNIQUE INDEX egress_services_name ON egress_services (tenant_id, name);
    `,
    tables: { egress_services: "audited" },
  },
];

const serviceRow = z.object({
  /** `<tenant>/<name>` */
  id: z.string(),
  tenant_id: z.custom<TenantId>(),
  name: z.string(),
  /** Canonical JSON of a `ServiceEntry`. */
  entry_json: z.string(),
  /** Who set it last. */
  actor: z.string(),
  changed_at: z.int(),
});
export type ServiceRow = z.infer<typeof serviceRow>;

/** As an audit reads it. */
export const audited_tables: AuditedTable[] = [
  { table: "egress_services", id: "id", columns: Object.keys(serviceRow.shape), columnsOf: (row) => row },
];

export async function selectService(reader: Reader, tenant: TenantId, name: string): Promise<ServiceRow | undefined> {
  const row = await reader.get("SELECT * FROM egress_services WHERE tenant_id = ? AND name = ?", [tenant, name]);
  return row === undefined ? undefined : serviceRow.parse(row);
}

/** Of one tenant, by name. */
export async function selectServices(reader: Reader, tenant: TenantId): Promise<ServiceRow[]> {
  const rows = await reader.all("SELECT * FROM egress_services WHERE tenant_id = ? ORDER BY name LIMIT ?", [
    tenant,
    SERVICES_PER_TENANT_MAX,
  ]);
  return rows.map((row) => serviceRow.parse(row));
}

export async function countServices(reader: Reader, tenant: TenantId): Promise<number> {
  const row = await reader.get("SELECT count(*) AS n FROM egress_services WHERE tenant_id = ?", [tenant]);
  return z.int().parse(row?.["n"]);
}

/** Makes the row, or changes the one of its id. */
export function upsertService(tx: Tx, row: ServiceRow): void {
  tx.run(
    `INSERT INTO egress_services (id, tenant_id, name, entry_json, actor, changed_at) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET entry_json = excluded.entry_json, actor = excluded.actor,
       changed_at = excluded.changed_at`,
    [row.id, row.tenant_id, row.name, row.entry_json, row.actor, row.changed_at],
    1,
  );
}

export function deleteService(tx: Tx, id: string): void {
  tx.run("DELETE FROM egress_services WHERE id = ?", [id], 1);
}
