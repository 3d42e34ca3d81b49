import { z } from "zod";
import type { TenantId } from "../../kernel/ids.ts";
import type { Storage, Value } from "../../storage/contract.ts";
import { readStored, type StoredEntry } from "../store.ts";

/** What a bundle is made of. A range is of every tenant. */
export type Selection =
  | { by: "refs" | "ids"; names: readonly string[]; tenant: TenantId }
  | { by: "since"; since: number; tenant: TenantId }
  | { by: "range"; from: number; to: number };

interface Condition {
  sql: string;
  params: Value[];
}

function among(values: readonly unknown[]): string {
  return values.map(() => "?").join(", ");
}

/** Over `evidence_entries e` and `evidence_leaves l`. */
function conditionOf(selection: Selection): Condition {
  switch (selection.by) {
    case "refs":
      return {
        sql: `e.arrival IN (SELECT arrival FROM evidence_refs WHERE ref IN (${among(selection.names)})) AND e.tenant = ?`,
        params: [...selection.names, selection.tenant],
      };
    case "ids":
      return {
        sql: `e.id IN (${among(selection.names)}) AND e.tenant = ?`,
        params: [...selection.names, selection.tenant],
      };
    case "since":
      return { sql: "e.tenant = ? AND e.at >= ?", params: [selection.tenant, selection.since] };
    case "range":
      return { sql: "l.idx >= ? AND l.idx < ?", params: [selection.from, selection.to] };
  }
}

const numbers = z.object({ n: z.int() });

/** The arrival of the newest entry of a selection, sealed or not; undefined when there is none. */
export async function selectNewestArrival(storage: Storage, selection: Selection): Promise<number | undefined> {
  const { sql, params } = conditionOf(selection);
  const rows = storage.scan(
    `SELECT e.arrival AS n FROM evidence_entries e LEFT JOIN evidence_leaves l ON l.arrival = e.arrival
     WHERE ${sql} ORDER BY e.arrival DESC LIMIT 1`,
    params,
  );
  for await (const [row] of rows) return row === undefined ? undefined : numbers.parse(row).n;
  return undefined;
}

/** The index of what arrived so, undefined while it waits to be sealed. */
export async function selectIndexOf(storage: Storage, arrival: number): Promise<number | undefined> {
  const row = await storage.get("SELECT idx AS n FROM evidence_leaves WHERE arrival = ?", [arrival]);
  return row === undefined ? undefined : numbers.parse(row).n;
}

/**
 * The indices of a selection below `size`, rising. They never change: entries are only inserted, and behind.
 * @param rows  at most so many.
 */
export async function selectIndices(
  storage: Storage,
  selection: Selection,
  size: number,
  rows: number,
): Promise<number[]> {
  const { sql, params } = conditionOf(selection);
  const found: number[] = [];
  const pages = storage.scan(
    `SELECT l.idx AS n FROM evidence_entries e JOIN evidence_leaves l ON l.arrival = e.arrival
     WHERE ${sql} AND l.idx < ? ORDER BY l.idx LIMIT ?`,
    [...params, size, rows],
  );
  for await (const page of pages) for (const row of page) found.push(numbers.parse(row).n);
  return found;
}

/** True when a range has an entry that is not of the tenant. */
export async function hasForeign(storage: Storage, from: number, to: number, tenant: TenantId): Promise<boolean> {
  const rows = storage.scan(
    `SELECT l.idx AS n FROM evidence_leaves l JOIN evidence_entries e ON e.arrival = l.arrival
     WHERE l.idx >= ? AND l.idx < ? AND e.tenant <> ? LIMIT 1`,
    [from, to, tenant],
  );
  for await (const page of rows) if (page.length > 0) return true;
  return false;
}

/** The entries at these indices, in the same order; through `scan`, so that large bodies are read off the event loop. */
export async function selectSealed(storage: Storage, indices: readonly number[]): Promise<StoredEntry[]> {
  const found: StoredEntry[] = [];
  const pages = storage.scan(
    `SELECT l.idx, e.id, e.tenant, e.kind, e.body FROM evidence_leaves l
     JOIN evidence_entries e ON e.arrival = l.arrival WHERE l.idx IN (${among(indices)}) ORDER BY l.idx`,
    [...indices],
  );
  for await (const page of pages) found.push(...page.map(readStored));
  return found;
}
