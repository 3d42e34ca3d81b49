import { z } from "zod";
import type { TenantId } from "../kernel/ids.ts";
import type { Reader, Value } from "../storage/contract.ts";
import { type ActorRow, actorRow, type TenantRow, type TokenRow, tenantRow, tokenRow } from "./store.ts";

/** A page: what comes after an id, so many. */
export interface After {
  after: string;
  limit: number;
}

/** By id. Members that are undefined do not narrow. */
export async function listActors(
  reader: Reader,
  tenant: TenantId,
  o: After & { kind: string | undefined; state: string | undefined },
): Promise<ActorRow[]> {
  const { text, params } = narrowed({ kind: o.kind, state: o.state });
  const rows = await reader.all(`SELECT * FROM actors WHERE tenant_id = ? AND id > ?${text} ORDER BY id LIMIT ?`, [
    tenant,
    o.after,
    ...params,
    o.limit,
  ]);
  return rows.map((row) => actorRow.parse(row));
}

/** By id, ended ones too. */
export async function listTokens(
  reader: Reader,
  tenant: TenantId,
  o: After & { actor: string | undefined },
): Promise<TokenRow[]> {
  const { text, params } = narrowed({ actor_id: o.actor });
  const rows = await reader.all(`SELECT * FROM tokens WHERE tenant_id = ? AND id > ?${text} ORDER BY id LIMIT ?`, [
    tenant,
    o.after,
    ...params,
    o.limit,
  ]);
  return rows.map((row) => tokenRow.parse(row));
}

export async function listTenants(reader: Reader, o: After): Promise<TenantRow[]> {
  const rows = await reader.all("SELECT * FROM tenants WHERE id > ? ORDER BY id LIMIT ?", [o.after, o.limit]);
  return rows.map((row) => tenantRow.parse(row));
}

const nameRow = z.tuple([z.string(), z.string()]);

/** Names of the actors, by id: those of a chain, so there are few. */
export async function namesOf(reader: Reader, tenant: TenantId, actors: string[]): Promise<Map<string, string>> {
  if (actors.length === 0) return new Map();
  const marks = actors.map(() => "?").join(", ");
  const rows = await reader.all(`SELECT id, name FROM actors WHERE tenant_id = ? AND id IN (${marks})`, [
    tenant,
    ...actors,
  ]);
  return new Map(rows.map((row) => nameRow.parse([row["id"], row["name"]])));
}

function narrowed(by: Record<string, string | undefined>): { text: string; params: Value[] } {
  const given = Object.entries(by).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return { text: given.map(([column]) => ` AND ${column} = ?`).join(""), params: given.map(([, value]) => value) };
}
