import { z } from "zod";
import type { AuditedTable } from "../evidence/contract.ts";
import type { ActorId, TenantId, TokenId } from "../kernel/ids.ts";
import type { Migration, Reader, Row, Tx } from "../storage/contract.ts";
import { ACTOR_KINDS, type ChainLink, SCOPES } from "./contract.ts";
import { keyRow } from "./key_store.ts";

/**
 * `origin` tells the owner token of a tenant, which Gantry makes, from tokens that other tokens made.
 * Sets and lists are JSON text that is never queried inside.
 */
export const migrations: Migration[] = [
  {
    id: "identity/0001",
    sql: `
      CREATE TABLE tenants (
        id {text} NOT NULL PRIMARY KEY,
        slug {text} NOT NULL UNIQUE,
        state {text} NOT NULL CHECK (state IN ('active', 'suspended', 'closed')),
        settings_json {text} NOT NULL,
        settings_rev {int} NOT NULL,
        created_at {int} NOT NULL
      );
      CREATE TABLE actors (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL REFERENCES tenants (id),
        kind {text} NOT NULL CHECK (kind IN ('human', 'agent', 'service')),
        name {text} NOT NULL,
        subject {text} NOT NULL,
        owner_actor_id {text} REFERENCES actors (id),
        parent_actor_id {text} REFERENCES actors (id),
        state {text} NOT NULL CHECK (state IN ('active', 'suspended', 'gone')),
        ceiling_json {text} NOT NULL,
        created_at {int} NOT NULL,
        UNIQUE (tenant_id, kind, subject)
      );
      CREATE TABLE tokens (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL REFERENCES tenants (id),
        actor_id {text} NOT NULL REFERENCES actors (id),
        kind {text} NOT NULL CHECK (kind IN ('hum', 'agt', 'svc')),
        origin {text} NOT NULL CHECK (origin IN ('owner', 'minted')),
        hash {text} NOT NULL UNIQUE,
        last4 {text} NOT NULL,
        scopes_json {text} NOT NULL,
        parent_token_id {text} REFERENCES tokens (id),
        chain_json {text} NOT NULL,
        expires_at {int} NOT NULL,
        revoked_at {int},
        revoked_by {text},
        created_at {int} NOT NULL
      );
      CREATE INDEX tokens_actor ON tokens (actor_id);
      CREATE INDEX tokens_parent ON tokens (parent_token_id);
    `,
    tables: { tenants: "audited", actors: "audited", tokens: "audited" },
  },
  {
    id: "identity/0002",
    sql: "CREATE TABLE owner_tokens (token {text} NOT NULL PRIMARY KEY REFERENCES tokens (id), node {text} NOT NULL)",
    tables: { owner_tokens: "operational" },
  },
  {
    id: "identity/0003",
    sql: `
      ALTER TABLE actors ADD COLUMN team {text};
      CREATE TABLE actor_keys (
        kid {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL REFERENCES tenants (id),
        actor_id {text} NOT NULL REFERENCES actors (id),
        public_x {text} NOT NULL,
        uses_json {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('active', 'revoked')),
        created_at {int} NOT NULL,
        revoked_at {int},
        revoked_by {text},
        UNIQUE (actor_id, public_x)
      );
      CREATE INDEX actor_keys_tenant ON actor_keys (tenant_id, kid);
      CREATE TABLE task_jtis (
        tenant_id {text} NOT NULL, jti {text} NOT NULL, run_id {text} NOT NULL, expires_at {int} NOT NULL,
        PRIMARY KEY (tenant_id, jti)
      );
      CREATE INDEX task_jtis_expiry ON task_jtis (expires_at);
      CREATE TABLE login_links (
        hash {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL REFERENCES tenants (id),
        actor_id {text} NOT NULL REFERENCES actors (id),
        scopes_json {text} NOT NULL,
        created_at {int} NOT NULL,
        expires_at {int} NOT NULL,
        used_at {int}
      );
      CREATE INDEX login_links_actor ON login_links (actor_id);
      CREATE TABLE setting_proposals (
        approval {text} NOT NULL PRIMARY KEY, tenant_id {text} NOT NULL, base_rev {int} NOT NULL, settings_json {text} NOT NULL
      );
      CREATE TABLE latest_times (name {text} NOT NULL PRIMARY KEY, at {int} NOT NULL);
    `,
    tables: {
      actor_keys: "audited",
      task_jtis: "operational",
      login_links: "operational",
      setting_proposals: "operational",
      latest_times: "operational",
    },
  },
];

export const tenantRow = z.object({
  id: z.custom<TenantId>(),
  slug: z.string(),
  state: z.enum(["active", "suspended", "closed"]),
  settings_json: z.string(),
  settings_rev: z.int(),
  created_at: z.int(),
});
export type TenantRow = z.infer<typeof tenantRow>;

export const actorRow = z.object({
  id: z.custom<ActorId>(),
  tenant_id: z.custom<TenantId>(),
  kind: z.enum(ACTOR_KINDS),
  name: z.string(),
  subject: z.string(),
  owner_actor_id: z.custom<ActorId>().nullable(),
  parent_actor_id: z.custom<ActorId>().nullable(),
  state: z.enum(["active", "suspended", "gone"]),
  ceiling_json: z.string(),
  created_at: z.int(),
  team: z.string().nullable(),
});
export type ActorRow = z.infer<typeof actorRow>;

export const tokenRow = z.object({
  id: z.custom<TokenId>(),
  tenant_id: z.custom<TenantId>(),
  actor_id: z.custom<ActorId>(),
  kind: z.enum(["hum", "agt", "svc"]),
  origin: z.enum(["owner", "minted"]),
  hash: z.string(),
  last4: z.string(),
  scopes_json: z.string(),
  parent_token_id: z.custom<TokenId>().nullable(),
  chain_json: z.string(),
  expires_at: z.int(),
  revoked_at: z.int().nullable(),
  revoked_by: z.string().nullable(),
  created_at: z.int(),
});
export type TokenRow = z.infer<typeof tokenRow>;

/** Entries of this room digest whole rows. */
export function wholeTable(table: string, shape: object, id = "id"): AuditedTable {
  const columns = Object.keys(shape);
  return { table, id, columns, columnsOf: (row: Row) => row };
}

/** An actor's row as entries digest it: one without a team looks as it did before there were any. */
export function digestedActor(row: Row): Row {
  const { team, ...rest } = row;
  return team === undefined || team === null ? rest : row;
}

/** The room's audited tables, as an audit reads them. */
export const audited_tables: AuditedTable[] = [
  wholeTable("tenants", tenantRow.shape),
  { ...wholeTable("actors", actorRow.shape), columnsOf: digestedActor },
  wholeTable("tokens", tokenRow.shape),
  wholeTable("actor_keys", keyRow.shape, "kid"),
];

/** Scopes as they stand in a row. One that this version does not know grants nothing. */
export function readScopes(json: string): (typeof SCOPES)[number][] {
  const known = new Set<string>(SCOPES);
  return z
    .array(z.string())
    .parse(JSON.parse(json))
    .filter((scope): scope is (typeof SCOPES)[number] => known.has(scope));
}

/** An actor's ceiling as it stands in its row; null: none. */
export function readCeiling(json: string): (typeof SCOPES)[number][] | null {
  return json === "null" ? null : readScopes(json);
}

const chainSchema = z.array(
  z.object({
    actor: z.custom<ActorId>(),
    kind: z.enum(ACTOR_KINDS),
    via: z.enum(["token", "key", "spawn", "schedule"]),
    ref: z.string(),
  }),
);

export function readChain(json: string): ChainLink[] {
  return chainSchema.parse(JSON.parse(json));
}

export function insertTenant(tx: Tx, row: TenantRow): void {
  tx.run(
    "INSERT INTO tenants (id, slug, state, settings_json, settings_rev, created_at) VALUES (?, ?, ?, ?, ?, ?)",
    [row.id, row.slug, row.state, row.settings_json, row.settings_rev, row.created_at],
    1,
  );
}

export function insertActor(tx: Tx, row: ActorRow): void {
  tx.run(
    `INSERT INTO actors (id, tenant_id, kind, name, subject, owner_actor_id, parent_actor_id, state, ceiling_json,
       created_at, team)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.id,
      row.tenant_id,
      row.kind,
      row.name,
      row.subject,
      row.owner_actor_id,
      row.parent_actor_id,
      row.state,
      row.ceiling_json,
      row.created_at,
      row.team,
    ],
    1,
  );
}

export function insertToken(tx: Tx, row: TokenRow): void {
  tx.run(
    `INSERT INTO tokens (id, tenant_id, actor_id, kind, origin, hash, last4, scopes_json, parent_token_id, chain_json,
       expires_at, revoked_at, revoked_by, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.id,
      row.tenant_id,
      row.actor_id,
      row.kind,
      row.origin,
      row.hash,
      row.last4,
      row.scopes_json,
      row.parent_token_id,
      row.chain_json,
      row.expires_at,
      row.revoked_at,
      row.revoked_by,
      row.created_at,
    ],
    1,
  );
}

/** Expects the state that the row was read in. */
export function updateTenantState(tx: Tx, before: TenantRow, state: TenantRow["state"]): TenantRow {
  tx.run("UPDATE tenants SET state = ? WHERE id = ? AND state = ?", [state, before.id, before.state], 1);
  return { ...before, state };
}

/** Expects the state that the row was read in. */
export function updateActorState(tx: Tx, before: ActorRow, state: ActorRow["state"]): ActorRow {
  tx.run("UPDATE actors SET state = ? WHERE id = ? AND state = ?", [state, before.id, before.state], 1);
  return { ...before, state };
}

/** Expects that nobody has revoked it yet. */
export function updateTokenRevoked(tx: Tx, before: TokenRow, at: number, by: string): TokenRow {
  tx.run(
    "UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL",
    [at, by, before.id],
    1,
  );
  return { ...before, revoked_at: at, revoked_by: by };
}

export async function selectTenant(reader: Reader, id: string): Promise<TenantRow | undefined> {
  const row = await reader.get("SELECT * FROM tenants WHERE id = ?", [id]);
  return row === undefined ? undefined : tenantRow.parse(row);
}

export async function selectTenantBySlug(reader: Reader, slug: string): Promise<TenantRow | undefined> {
  const row = await reader.get("SELECT * FROM tenants WHERE slug = ?", [slug]);
  return row === undefined ? undefined : tenantRow.parse(row);
}

export async function selectActor(reader: Reader, tenant: TenantId, id: string): Promise<ActorRow | undefined> {
  const row = await reader.get("SELECT * FROM actors WHERE tenant_id = ? AND id = ?", [tenant, id]);
  return row === undefined ? undefined : actorRow.parse(row);
}

export async function selectActorBySubject(
  reader: Reader,
  tenant: TenantId,
  kind: ActorRow["kind"],
  subject: string,
): Promise<ActorRow | undefined> {
  const row = await reader.get("SELECT * FROM actors WHERE tenant_id = ? AND kind = ? AND subject = ?", [
    tenant,
    kind,
    subject,
  ]);
  return row === undefined ? undefined : actorRow.parse(row);
}

export async function countActors(reader: Reader, tenant: TenantId): Promise<number> {
  const row = await reader.get("SELECT count(*) AS n FROM actors WHERE tenant_id = ?", [tenant]);
  return z.int().parse(row?.["n"]);
}

/** Tokens of the actor that are neither revoked nor expired. */
export async function countLiveTokens(reader: Reader, actor: ActorId, now: number): Promise<number> {
  const row = await reader.get(
    "SELECT count(*) AS n FROM tokens WHERE actor_id = ? AND revoked_at IS NULL AND expires_at > ?",
    [actor, now],
  );
  return z.int().parse(row?.["n"]);
}

export async function selectToken(reader: Reader, tenant: TenantId, id: string): Promise<TokenRow | undefined> {
  const row = await reader.get("SELECT * FROM tokens WHERE tenant_id = ? AND id = ?", [tenant, id]);
  return row === undefined ? undefined : tokenRow.parse(row);
}

export async function selectTokenByHash(reader: Reader, hash: string): Promise<TokenRow | undefined> {
  const row = await reader.get("SELECT * FROM tokens WHERE hash = ?", [hash]);
  return row === undefined ? undefined : tokenRow.parse(row);
}

/** Every owner token that the tenant ever had, the revoked ones too, oldest first. */
export async function selectOwnerTokens(reader: Reader, tenant: TenantId): Promise<TokenId[]> {
  const rows = await reader.all("SELECT id FROM tokens WHERE tenant_id = ? AND origin = 'owner' ORDER BY id", [tenant]);
  return rows.map((row) => tokenRow.pick({ id: true }).parse(row).id);
}

/** As `selectOwnerTokens`, of those that were made for one node. */
export async function selectNodeTokens(reader: Reader, tenant: TenantId, node: string): Promise<TokenId[]> {
  const rows = await reader.all(
    `SELECT t.id FROM owner_tokens o JOIN tokens t ON t.id = o.token
     WHERE o.node = ? AND t.tenant_id = ? ORDER BY t.id`,
    [node, tenant],
  );
  return rows.map((row) => tokenRow.pick({ id: true }).parse(row).id);
}

export function insertNodeToken(tx: Tx, token: TokenId, node: string): void {
  tx.run("INSERT INTO owner_tokens (token, node) VALUES (?, ?)", [token, node], 1);
}

/** Up to `rows` tokens that are not revoked: the named one and all that were minted below it, by it or by its heirs. */
export async function selectTokensBelow(reader: Reader, id: TokenId, rows: number): Promise<TokenRow[]> {
  const found = await reader.all(
    `WITH RECURSIVE below (id) AS (
       SELECT id FROM tokens WHERE id = ?
       UNION SELECT t.id FROM tokens t JOIN below b ON t.parent_token_id = b.id
     )
     SELECT t.* FROM tokens t JOIN below b ON b.id = t.id WHERE t.revoked_at IS NULL ORDER BY t.id LIMIT ?`,
    [id, rows],
  );
  return found.map((row) => tokenRow.parse(row));
}

const statesRow = z.object({ tenant: z.string().nullable(), active: z.int() });

/** The states that a token's life depends on: its tenant's, and those of every actor in its chain. */
export async function selectStates(
  reader: Reader,
  tenant: TenantId,
  actors: ActorId[],
): Promise<{ tenant: string | undefined; active: number }> {
  const marks = actors.map(() => "?").join(", ");
  const row = await reader.get(
    `SELECT (SELECT state FROM tenants WHERE id = ?) AS tenant,
       (SELECT count(*) FROM actors WHERE tenant_id = ? AND state = 'active' AND id IN (${marks})) AS active`,
    [tenant, tenant, ...actors],
  );
  const { tenant: state, active } = statesRow.parse(row);
  return { tenant: state ?? undefined, active };
}
