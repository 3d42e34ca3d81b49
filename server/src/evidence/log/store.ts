import { z } from "zod";
import { assert } from "../../kernel/assert.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { type Migration, type Reader, ROWS_MAX, type Storage, type Tx } from "../../storage/contract.ts";
import type { LogKey, TileReader } from "../contract.ts";
import { KEY_ROTATED } from "../kinds.ts";

/**
 * The sealed log. An index is a leaf's place in the tree, gapless and in the order of arrival. Of a tile that grows only
 * the widest form is kept: every narrower one is its prefix (C2SP tlog-tiles). `epoch` is that of the sealer's lock.
 */
export const log_migration: Migration = {
  id: "evidence/0002",
  sql: `
    CREATE TABLE evidence_leaves (
      idx {int} NOT NULL PRIMARY KEY,
      arrival {int} NOT NULL UNIQUE
    );
    CREATE TABLE evidence_tiles (
      level {int} NOT NULL,
      n {int} NOT NULL,
      width {int} NOT NULL,
      bytes {blob} NOT NULL,
      PRIMARY KEY (level, n)
    );
    CREATE TABLE evidence_log (
      origin {text} NOT NULL PRIMARY KEY,
      size {int} NOT NULL,
      root {blob} NOT NULL,
      epoch {int} NOT NULL
    );
    CREATE TABLE evidence_checkpoints (
      size {int} NOT NULL PRIMARY KEY,
      root {blob} NOT NULL,
      note {text} NOT NULL,
      at {int} NOT NULL
    );
    CREATE TABLE evidence_keys (
      vkey {text} NOT NULL PRIMARY KEY,
      from_size {int} NOT NULL,
      to_size {int}
    );
  `,
  tables: {
    evidence_leaves: "operational",
    evidence_tiles: "operational",
    evidence_log: "operational",
    evidence_checkpoints: "operational",
    evidence_keys: "operational",
  },
};

/** `from_size` of a key that is announced and has signed nothing: the checkpoint that covers its entry has no size yet. */
const ANNOUNCED = -1;

const bytes: z.ZodType<Uint8Array> = z.instanceof(Uint8Array);
const logRow = z.object({ origin: z.string(), size: z.int(), root: bytes, epoch: z.int() });
/** The log as its last sealing left it; `root` is that of the empty tree before the first. */
export type LogRow = z.infer<typeof logRow>;

export async function selectLog(reader: Reader): Promise<LogRow | undefined> {
  const rows = await reader.all("SELECT origin, size, root, epoch FROM evidence_log ORDER BY origin LIMIT 2", []);
  assert(rows.length <= 1, "a database holds one log");
  return rows[0] === undefined ? undefined : logRow.parse(rows[0]);
}

/** Begins a log of no entries, signed by `vkey`. */
export function insertLog(tx: Tx, origin: string, root: Uint8Array, vkey: string): void {
  tx.run("INSERT INTO evidence_log (origin, size, root, epoch) VALUES (?, 0, ?, 0)", [origin, root], 1);
  tx.run("INSERT INTO evidence_keys (vkey, from_size, to_size) VALUES (?, 0, NULL)", [vkey], 1);
}

/** Whoever sealed before under another epoch of the lock seals no more. */
export function claimLog(tx: Tx, origin: string, epoch: number): void {
  tx.run("UPDATE evidence_log SET epoch = ? WHERE origin = ?", [epoch, origin], 1);
}

/** What a look that finds nothing to do costs: one read. */
export async function glance(storage: Storage): Promise<{ size: number; is_waiting: boolean }> {
  const row = await storage.get(
    "SELECT l.size, (SELECT MIN(arrival) FROM evidence_pending) AS first FROM evidence_log l LIMIT 1",
    [],
  );
  return { size: z.int().parse(row?.["size"] ?? 0), is_waiting: (row?.["first"] ?? null) !== null };
}

const pendingRow = z.object({ arrival: z.int(), leaf: bytes });
export type PendingRow = z.infer<typeof pendingRow>;

/** The first pending leaves, in the order of arrival. @param most  at most so many */
export async function selectPending(reader: Reader, most: number): Promise<PendingRow[]> {
  const pending: PendingRow[] = [];
  for (let wanted = most; wanted > 0; wanted = most - pending.length) {
    const rows = Math.min(wanted, ROWS_MAX);
    const page = await reader.all(
      "SELECT arrival, leaf FROM evidence_pending WHERE arrival > ? ORDER BY arrival LIMIT ?",
      [pending.at(-1)?.arrival ?? 0, rows],
    );
    for (const row of page) pending.push(pendingRow.parse(row));
    if (page.length < rows) break;
  }
  return pending;
}

export async function countPending(reader: Reader): Promise<number> {
  const row = await reader.get("SELECT COUNT(*) AS n FROM evidence_pending", []);
  return z.int().parse(row?.["n"]);
}

/** When an entry was appended, milliseconds UTC. */
export async function selectAt(reader: Reader, arrival: number): Promise<number | undefined> {
  const row = await reader.get("SELECT at FROM evidence_entries WHERE arrival = ?", [arrival]);
  return row === undefined ? undefined : z.int().parse(row["at"]);
}

/** The tiles of one state of the store. */
export function storedTiles(reader: Reader): TileReader {
  return {
    async tile(level, n) {
      const row = await reader.get("SELECT bytes FROM evidence_tiles WHERE level = ? AND n = ?", [level, n]);
      return row === undefined ? undefined : bytes.parse(row["bytes"]);
    },
  };
}

const checkpointRow = z.object({ size: z.int(), root: bytes, note: z.string(), at: z.int() });
export type CheckpointRow = z.infer<typeof checkpointRow>;

export async function selectNewestCheckpoint(reader: Reader): Promise<CheckpointRow | undefined> {
  const row = await reader.get("SELECT size, root, note, at FROM evidence_checkpoints ORDER BY size DESC LIMIT 1", []);
  return row === undefined ? undefined : checkpointRow.parse(row);
}

export async function selectCheckpoint(reader: Reader, size: number): Promise<CheckpointRow | undefined> {
  const row = await reader.get("SELECT size, root, note, at FROM evidence_checkpoints WHERE size = ?", [size]);
  return row === undefined ? undefined : checkpointRow.parse(row);
}

/** What one sealing writes. */
export interface SealedRows {
  origin: string;
  /** Of the lock. */
  epoch: number;
  old_size: number;
  /** Of the last leaf. */
  last_arrival: number;
  tiles: readonly { level: number; n: number; width: number; bytes: Uint8Array }[];
  checkpoint: CheckpointRow;
  /** The verifier keys of a rotation that this checkpoint covers. */
  rotated: { old: string; new: string } | undefined;
}

/**
 * Buffers one sealing: a handful of statements whatever its entries. Each says how many rows it must change, so that a
 * state other than the one that was read takes all of it back.
 */
export function sealRows(tx: Tx, sealed: SealedRows): void {
  const { origin, epoch, old_size, last_arrival, tiles, checkpoint, rotated } = sealed;
  const count = checkpoint.size - old_size;
  tx.run(
    `INSERT INTO evidence_leaves (idx, arrival)
     SELECT ? + row_number() OVER (ORDER BY arrival), arrival FROM evidence_pending WHERE arrival <= ?`,
    [old_size - 1, last_arrival],
    count,
  );
  tx.run("DELETE FROM evidence_pending WHERE arrival <= ?", [last_arrival], count);
  for (const { level, n, width, bytes } of tiles) {
    tx.run(
      `INSERT INTO evidence_tiles (level, n, width, bytes) VALUES (?, ?, ?, ?)
       ON CONFLICT (level, n) DO UPDATE SET width = excluded.width, bytes = excluded.bytes`,
      [level, n, width, bytes],
      1,
    );
  }
  const { size, root, note, at } = checkpoint;
  tx.run("INSERT INTO evidence_checkpoints (size, root, note, at) VALUES (?, ?, ?, ?)", [size, root, note, at], 1);
  if (rotated !== undefined) {
    tx.run("UPDATE evidence_keys SET to_size = ? WHERE vkey = ? AND to_size IS NULL", [size, rotated.old], 1);
    tx.run(
      "UPDATE evidence_keys SET from_size = ? WHERE vkey = ? AND from_size = ?",
      [size, rotated.new, ANNOUNCED],
      1,
    );
  }
  tx.run(
    "UPDATE evidence_log SET size = ?, root = ? WHERE origin = ? AND size = ? AND epoch = ?",
    [size, root, origin, old_size, epoch],
    1,
  );
}

const keyRow = z.object({ vkey: z.string(), from_size: z.int(), to_size: z.int().nullable() });

export interface KeyRows {
  /** Those that have signed or may sign now, the newest last. */
  keys: LogKey[];
  /** Signs new checkpoints. */
  active: string;
  /** Will sign from the checkpoint on that covers its `key.rotated`. */
  announced: string | undefined;
}

/** Those that have signed or may sign now, the newest last; none before the log is begun. */
export async function selectSigningKeys(reader: Reader): Promise<LogKey[]> {
  return (await selectKeyRows(reader)).filter(({ from_size }) => from_size !== ANNOUNCED);
}

async function selectKeyRows(reader: Reader): Promise<LogKey[]> {
  const rows = await reader.all("SELECT vkey, from_size, to_size FROM evidence_keys ORDER BY from_size, vkey", []);
  return rows.map((row) => keyRow.parse(row));
}

/** Of a log that has begun. */
export async function selectKeys(reader: Reader): Promise<KeyRows> {
  const rows = await selectKeyRows(reader);
  const keys = rows.filter(({ from_size }) => from_size !== ANNOUNCED);
  const active = keys.filter(({ to_size }) => to_size === null);
  assert(active.length === 1 && active[0] !== undefined, "a log has one key that signs");
  return { keys, active: active[0].vkey, announced: rows.find(({ from_size }) => from_size === ANNOUNCED)?.vkey };
}

/** Says which key is next. Rolls the unit back, `STORAGE_CONFLICT`, unless `active` signs and nothing is announced. */
export function announceKey(tx: Tx, active: string, next: string): void {
  tx.run(
    `INSERT INTO evidence_keys (vkey, from_size, to_size)
     SELECT ?, ${ANNOUNCED}, NULL FROM evidence_keys k WHERE k.vkey = ? AND k.to_size IS NULL
       AND NOT EXISTS (SELECT 1 FROM evidence_keys WHERE from_size = ${ANNOUNCED})`,
    [next, active],
    1,
  );
}

/** Where the entry of the announced key waits. */
export async function selectRotation(reader: Reader): Promise<number | undefined> {
  const row = await reader.get(
    `SELECT p.arrival FROM evidence_pending p JOIN evidence_entries e ON e.arrival = p.arrival
     WHERE e.kind = ? ORDER BY p.arrival LIMIT 1`,
    [KEY_ROTATED],
  );
  return row === undefined ? undefined : z.int().parse(row["arrival"]);
}

/** Checkpoints from `from` on that were made before `before`, the smallest first. */
export async function selectOldCheckpoints(reader: Reader, from: number, before: number, rows: number) {
  const page = await reader.all(
    "SELECT size, at FROM evidence_checkpoints WHERE size >= ? AND at < ? ORDER BY size LIMIT ?",
    [from, before, rows],
  );
  return page.map((row) => checkpointRow.pick({ size: true, at: true }).parse(row));
}

/** Forgets the checkpoints of `from` to `to`, exclusive; those with which a key ended are kept. */
export function deleteCheckpoints(tx: Tx, from: number, to: number): void {
  tx.run(
    `DELETE FROM evidence_checkpoints WHERE size >= ? AND size < ?
       AND size NOT IN (SELECT to_size FROM evidence_keys WHERE to_size IS NOT NULL)`,
    [from, to],
  );
}

/** Bodies by index, away from the event loop. */
export async function selectBodies(storage: Storage, from: number, to: number): Promise<Uint8Array[]> {
  const bodies: Uint8Array[] = [];
  const sql = `SELECT e.body FROM evidence_leaves l JOIN evidence_entries e ON e.arrival = l.arrival
    WHERE l.idx >= ? AND l.idx < ? ORDER BY l.idx`;
  for await (const page of storage.scan(sql, [from, to])) for (const row of page) bodies.push(bytes.parse(row["body"]));
  return bodies;
}

/** @returns undefined: there is no such entry; null: it waits. */
export async function selectIndex(reader: Reader, id: string, tenant: TenantId): Promise<number | null | undefined> {
  const row = await reader.get(
    `SELECT l.idx FROM evidence_entries e LEFT JOIN evidence_leaves l ON l.arrival = e.arrival
     WHERE e.id = ? AND e.tenant = ?`,
    [id, tenant],
  );
  return row === undefined ? undefined : z.int().nullable().parse(row["idx"]);
}
