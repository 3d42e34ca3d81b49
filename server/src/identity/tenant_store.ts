import { z } from "zod";
import type { ActorId, TenantId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";
import { CHAIN_LINKS_MAX } from "./contract.ts";
import { type ActorRow, actorRow, type TenantRow } from "./store.ts";

/** Rows of one read; a list of all is read page by page, because a tenant may have more than one read gives. */
const PAGE_ROWS = 500;

/** Expects the revision that the row was read in. */
export function updateTenantSettings(tx: Tx, before: TenantRow, settings_json: string): TenantRow {
  const settings_rev = before.settings_rev + 1;
  tx.run(
    "UPDATE tenants SET settings_json = ?, settings_rev = ? WHERE id = ? AND settings_rev = ?",
    [settings_json, settings_rev, before.id, before.settings_rev],
    1,
  );
  return { ...before, settings_json, settings_rev };
}

/** Settings that wait for people, by their approval. */
const proposalRow = z.object({
  approval: z.string(),
  tenant_id: z.custom<TenantId>(),
  base_rev: z.int(),
  settings_json: z.string(),
});
export type ProposalRow = z.infer<typeof proposalRow>;

export function insertProposal(tx: Tx, row: ProposalRow): void {
  tx.run(
    "INSERT INTO setting_proposals (approval, tenant_id, base_rev, settings_json) VALUES (?, ?, ?, ?)",
    [row.approval, row.tenant_id, row.base_rev, row.settings_json],
    1,
  );
}

export async function selectProposal(
  reader: Reader,
  tenant: TenantId,
  approval: string,
): Promise<ProposalRow | undefined> {
  const row = await reader.get("SELECT * FROM setting_proposals WHERE tenant_id = ? AND approval = ?", [
    tenant,
    approval,
  ]);
  return row === undefined ? undefined : proposalRow.parse(row);
}

export function deleteProposal(tx: Tx, approval: string): void {
  tx.run("DELETE FROM setting_proposals WHERE approval = ?", [approval]);
}

const ownedRow = z.object({ id: z.custom<ActorId>() });
const humanRow = z.object({ id: z.custom<ActorId>(), name: z.string(), ceiling_json: z.string() });

/** Active humans of the tenant, by id. */
export async function selectActiveHumans(reader: Reader, tenant: TenantId): Promise<z.infer<typeof humanRow>[]> {
  const found: z.infer<typeof humanRow>[] = [];
  for (;;) {
    const rows = await reader.all(
      `SELECT id, name, ceiling_json FROM actors
       WHERE tenant_id = ? AND kind = 'human' AND state = 'active' AND id > ? ORDER BY id LIMIT ?`,
      [tenant, found.at(-1)?.id ?? "", PAGE_ROWS],
    );
    found.push(...rows.map((row) => humanRow.parse(row)));
    if (rows.length < PAGE_ROWS) return found;
  }
}

/** The actor and who answers for it, principal first; one more than a chain may have says that it is too long. */
export async function selectAccountable(reader: Reader, tenant: TenantId, actor: ActorId): Promise<ActorRow[]> {
  const rows = await reader.all(
    `WITH RECURSIVE above (id, owner, height) AS (
       SELECT id, owner_actor_id, 0 FROM actors WHERE tenant_id = ? AND id = ?
       UNION ALL SELECT a.id, a.owner_actor_id, b.height + 1 FROM actors a JOIN above b ON a.id = b.owner
         WHERE b.height < ?
     )
     SELECT a.* FROM above b JOIN actors a ON a.id = b.id ORDER BY b.height DESC`,
    [tenant, actor, CHAIN_LINKS_MAX],
  );
  return rows.map((row) => actorRow.parse(row));
}

/** The actor and all that it owns, at any depth, by id. */
export async function selectOwned(reader: Reader, tenant: TenantId, actor: ActorId): Promise<ActorId[]> {
  const found: ActorId[] = [];
  for (;;) {
    const rows = await reader.all(
      `WITH RECURSIVE owned (id) AS (
         SELECT id FROM actors WHERE tenant_id = ? AND id = ?
         UNION SELECT a.id FROM actors a JOIN owned o ON a.owner_actor_id = o.id
       )
       SELECT id FROM owned WHERE id > ? ORDER BY id LIMIT ?`,
      [tenant, actor, found.at(-1) ?? "", PAGE_ROWS],
    );
    found.push(...rows.map((row) => ownedRow.parse(row).id));
    if (rows.length < PAGE_ROWS) return found;
  }
}
