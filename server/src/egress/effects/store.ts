import { z } from "zod";
import { assert } from "../../kernel/assert.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Migration, Reader, Tx } from "../../storage/contract.ts";
import { type Standing, standingRow } from "./fence_store.ts";

/**
 * A fence is one row for each root: an effect is intended only while its epoch is the newest. A root without a row has
 * one epoch, its first. Of effects only those that are open are looked for other than by their scope.
 */
export const migrations: Migration[] = [
  {
    id: "egress/0002",
    sql: `
      CREATE TABLE egress_fences (
        root {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL,
        epoch {int} NOT NULL
      );
      CREATE TABLE egress_effects (
        scope {text} NOT NULL,
        key {text} NOT NULL,
        tenant_id {text} NOT NULL,
        root {text} NOT NULL,
        epoch {int} NOT NULL,
        subject {text} NOT NULL,
        node {text} NOT NULL,
        boot {text} NOT NULL,
        host {text} NOT NULL,
        method {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('intended', 'done', 'rejected', 'failed', 'unknown')),
        status {int},
        response_sealed {blob},
        intended_at {int} NOT NULL,
        ended_at {int},
        PRIMARY KEY (scope, key)
      );
      CREATE INDEX egress_effects_open ON egress_effects (root) WHERE state = 'intended';
      CREATE TABLE egress_blocked (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL,
        subject {text} NOT NULL,
        scope {text} NOT NULL,
        key {text} NOT NULL,
        contract {text} NOT NULL,
        contract_version {int} NOT NULL,
        code {text} NOT NULL,
        method {text} NOT NULL,
        host {text} NOT NULL,
        target_sealed {blob} NOT NULL,
        head_sealed {blob},
        body_sealed {blob},
        body_bytes {int} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('waiting', 'sent', 'failed', 'dropped', 'expired')),
        status {int},
        created_at {int} NOT NULL,
        expires_at {int} NOT NULL
      );
      CREATE UNIQUE INDEX egress_blocked_key ON egress_blocked (scope, key);
      CREATE INDEX egress_blocked_tenant ON egress_blocked (tenant_id, state, id);
    `,
    tables: { egress_fences: "operational", egress_effects: "operational", egress_blocked: "operational" },
  },
  {
    // What takes a fence's place when it is swept: see `fence_sweep.ts`.
    id: "egress/0005",
    sql: `
      ALTER TABLE egress_fences ADD COLUMN moved_at {int};
      CREATE INDEX egress_fences_age ON egress_fences (moved_at);
      CREATE TABLE egress_fence_mark (
        one {int} NOT NULL PRIMARY KEY CHECK (one = 1),
        began_at {int} NOT NULL
      );
    `,
    tables: { egress_fence_mark: "operational" },
  },
];

const effectRow = z.object({
  scope: z.string(),
  key: z.string(),
  tenant_id: z.custom<TenantId>(),
  root: z.string(),
  epoch: z.int(),
  subject: z.string(),
  state: z.enum(["intended", "done", "rejected", "failed", "unknown"]),
  status: z.int().nullable(),
  response_sealed: z.instanceof(Uint8Array).nullable(),
});
export type EffectRow = z.infer<typeof effectRow>;
const COLUMNS = "scope, key, tenant_id, root, epoch, subject, state, status, response_sealed";

/** An effect as it is about to leave. */
export interface IntentRow {
  scope: string;
  key: string;
  tenant_id: TenantId;
  root: string;
  epoch: number;
  subject: string;
  node: string;
  boot: string;
  host: string;
  method: string;
  intended_at: number;
  /** When the attempt began. Not kept: it is held against the mark of swept fences. */
  began_at: number;
}

/** Expects that the root's fence is not newer, that no mark is past the attempt, and that the effect is not known yet. */
export function insertIntent(tx: Tx, row: IntentRow): void {
  tx.run(
    `INSERT INTO egress_effects (scope, key, tenant_id, root, epoch, subject, node, boot, host, method, state,
       intended_at)
     SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'intended', ?
       WHERE NOT EXISTS (SELECT 1 FROM egress_fences WHERE root = ? AND epoch > ?)
         AND NOT EXISTS (SELECT 1 FROM egress_fence_mark WHERE one = 1 AND began_at >= ?)
     ON CONFLICT (scope, key) DO NOTHING`,
    [...placeOf(row), row.host, row.method, row.intended_at, row.root, row.epoch, row.began_at],
    1,
  );
}

function placeOf({ scope, key, tenant_id, root, epoch, subject, node, boot }: IntentRow) {
  return [scope, key, tenant_id, root, epoch, subject, node, boot];
}

/** The same effect once more, by whoever asks now. */
export function reopenIntent(tx: Tx, row: IntentRow): void {
  const { scope, key, root, epoch, subject, node, boot, intended_at } = row;
  tx.run(
    `UPDATE egress_effects SET state = 'intended', status = NULL, response_sealed = NULL, ended_at = NULL, root = ?,
       epoch = ?, subject = ?, node = ?, boot = ?, intended_at = ?
     WHERE scope = ? AND key = ?`,
    [root, epoch, subject, node, boot, intended_at, scope, key],
    1,
  );
}

export interface EndedRow {
  scope: string;
  key: string;
  root: string;
  epoch: number;
  state: "done" | "rejected" | "failed" | "unknown";
  status: number | null;
  response_sealed: Uint8Array | null;
  ended_at: number;
}

/** Expects that it is still this epoch's own, and that its end is not known yet. */
export function updateEnded(tx: Tx, row: EndedRow): void {
  const { state, status, response_sealed, ended_at, scope, key, root, epoch } = row;
  tx.run(
    `UPDATE egress_effects SET state = ?, status = ?, response_sealed = ?, ended_at = ?
     WHERE scope = ? AND key = ? AND root = ? AND epoch = ? AND state IN ('intended', 'unknown')`,
    [state, status, response_sealed, ended_at, scope, key, root, epoch],
    1,
  );
}

export async function selectEffect(reader: Reader, scope: string, key: string): Promise<EffectRow | undefined> {
  const row = await reader.get(`SELECT ${COLUMNS} FROM egress_effects WHERE scope = ? AND key = ?`, [scope, key]);
  return row === undefined ? undefined : effectRow.parse(row);
}

/** The root's fence, the mark and the effect, as far as there are any, in one look. */
export async function selectKnown(
  reader: Reader,
  { root, scope, key }: Pick<IntentRow, "root" | "scope" | "key">,
): Promise<Standing & { known: EffectRow | undefined }> {
  const row = await reader.get(
    `SELECT fence.epoch AS fence, mark.began_at AS mark, scope, key, effect.tenant_id, effect.root, effect.epoch, subject, state, status,
       response_sealed
     FROM (SELECT 1 AS one) AS asked
     LEFT JOIN egress_fences AS fence ON fence.root = ?
     LEFT JOIN egress_fence_mark AS mark ON mark.one = 1
     LEFT JOIN egress_effects AS effect ON effect.scope = ? AND effect.key = ?`,
    [root, scope, key],
  );
  return { ...standingRow.parse(row), known: row?.["key"] == null ? undefined : effectRow.parse(row) };
}

/** Intents without an end that an earlier boot of this node made, or whoever had its name. */
export async function selectOrphans(
  reader: Reader,
  { id, boot }: { id: string; boot: string },
  limit: number,
): Promise<EffectRow[]> {
  assert(Number.isSafeInteger(limit), "a limit is a number");
  const rows = await reader.all(
    `SELECT ${COLUMNS} FROM egress_effects WHERE state = 'intended' AND node = ? AND boot <> ? LIMIT ${limit}`,
    [id, boot],
  );
  return rows.map((row) => effectRow.parse(row));
}

/** Intents without an end under a root, of epochs before this one. */
export async function selectOutdated(reader: Reader, root: string, epoch: number): Promise<EffectRow[]> {
  const rows = await reader.all(
    `SELECT ${COLUMNS} FROM egress_effects WHERE state = 'intended' AND root = ? AND epoch < ?`,
    [root, epoch],
  );
  return rows.map((row) => effectRow.parse(row));
}

/** How many effects of one attempt there are under a root, whatever became of them. */
export async function countAttempt(reader: Reader, root: string, epoch: number): Promise<number> {
  const row = await reader.get(
    `SELECT count(*) AS n FROM egress_effects
     WHERE (scope = ? OR (scope >= ? AND scope < ?)) AND root = ? AND epoch = ?`,
    [root, `${root}/`, `${root}0`, root, epoch],
  );
  return z.int().parse(row?.["n"]);
}

/** How many effects there are under a root, whatever became of them. Its scopes are itself, and all behind `root/`. */
export async function countEffects(reader: Reader, root: string): Promise<number> {
  const row = await reader.get(
    "SELECT count(*) AS n FROM egress_effects WHERE scope = ? OR (scope >= ? AND scope < ?)",
    [root, `${root}/`, `${root}0`],
  );
  return z.int().parse(row?.["n"]);
}

/** What was kept to be replayed under a root. */
export function deleteResponses(tx: Tx, root: string): void {
  tx.run(
    `UPDATE egress_effects SET response_sealed = NULL
     WHERE (scope = ? OR (scope >= ? AND scope < ?)) AND response_sealed IS NOT NULL`,
    [root, `${root}/`, `${root}0`],
  );
}

/** All under a root that ended: nobody repeats its calls any more, and the ledger has what became of them. */
export function deleteEffects(tx: Tx, root: string): void {
  tx.run("DELETE FROM egress_effects WHERE (scope = ? OR (scope >= ? AND scope < ?)) AND state <> 'intended'", [
    root,
    `${root}/`,
    `${root}0`,
  ]);
}
