import { z } from "zod";
import { assert } from "../../kernel/assert.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Reader, Tx } from "../../storage/contract.ts";

/** Fences, and the mark that takes the place of those that were swept. The tables are `store.ts`'s. */

const absent = z
  .int()
  .nullish()
  .transform((value) => value ?? undefined);
export const standingRow = z.object({ fence: absent, mark: absent });
/**
 * What holds against an attempt: `fence`, the newest epoch of its root, if it ever had a second one; `mark`, the latest
 * time at which an attempt of a swept fence may have begun.
 */
export type Standing = z.output<typeof standingRow>;

/** Never goes back. */
export function upsertFence(
  tx: Tx,
  { tenant, root, epoch, moved_at }: { tenant: TenantId; root: string; epoch: number; moved_at: number },
): void {
  tx.run(
    `INSERT INTO egress_fences (root, tenant_id, epoch, moved_at) VALUES (?, ?, ?, ?)
     ON CONFLICT (root) DO UPDATE SET epoch = excluded.epoch, moved_at = excluded.moved_at
       WHERE excluded.epoch > egress_fences.epoch`,
    [root, tenant, epoch, moved_at],
  );
}

export async function selectStanding(reader: Reader, root: string): Promise<Standing> {
  const row = await reader.get(
    `SELECT fence.epoch AS fence, mark.began_at AS mark FROM (SELECT 1 AS one) AS asked
     LEFT JOIN egress_fences AS fence ON fence.root = ?
     LEFT JOIN egress_fence_mark AS mark ON mark.one = 1`,
    [root],
  );
  return standingRow.parse(row);
}

const agedRow = z.object({ root: z.string(), moved_at: z.int() });
export type AgedFence = z.output<typeof agedRow>;

/** The oldest fences that were not moved since. */
export async function selectAgedFences(reader: Reader, since: number, limit: number): Promise<AgedFence[]> {
  assert(Number.isSafeInteger(limit), "a limit is a number");
  const rows = await reader.all(
    `SELECT root, moved_at FROM egress_fences WHERE moved_at <= ? ORDER BY moved_at LIMIT ${limit}`,
    [since],
  );
  return rows.map((row) => agedRow.parse(row));
}

/** Of fences from before their age was kept: as old as `now`, from now on. */
export function ageFences(tx: Tx, now: number, limit: number): void {
  assert(Number.isSafeInteger(limit), "a limit is a number");
  tx.run(
    `UPDATE egress_fences SET moved_at = ?
     WHERE root IN (SELECT root FROM egress_fences WHERE moved_at IS NULL LIMIT ${limit})`,
    [now],
  );
}

/** Expects that it was not moved meanwhile. */
export function deleteFence(tx: Tx, { root, moved_at }: AgedFence): void {
  tx.run("DELETE FROM egress_fences WHERE root = ? AND moved_at = ?", [root, moved_at], 1);
}

/** Never goes back. */
export function raiseMark(tx: Tx, began_at: number): void {
  tx.run(
    `INSERT INTO egress_fence_mark (one, began_at) VALUES (1, ?)
     ON CONFLICT (one) DO UPDATE SET began_at = excluded.began_at
       WHERE excluded.began_at > egress_fence_mark.began_at`,
    [began_at],
  );
}
