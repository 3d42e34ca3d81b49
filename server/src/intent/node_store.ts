import { z } from "zod";
import type { Reader, Tx } from "../storage/contract.ts";
import { NODE_SILENT_MS } from "./contract.ts";
import type { LogChunk } from "./log_store.ts";
import { OVERRIDES, type Override } from "./store.ts";

/** Nodes, what they tell each other about runs, and the runs that no living node has. The tables are `store.ts`'s. */

export interface NodeRow {
  id: string;
  boot: string;
  heartbeat_at: number;
  /** How long it may be silent, as the node itself keeps to it. */
  silent_ms: number;
}
const nodeRow = z.object({
  id: z.string(),
  boot: z.string(),
  heartbeat_at: z.int(),
  /** Null in rows that are older than the column. */
  silent_ms: z
    .int()
    .nullable()
    .transform((ms) => ms ?? NODE_SILENT_MS),
});

/** Nodes that one database is prepared for. */
const NODES_MAX = 1_000;
/** Queued runs taken over in one unit. */
const TAKEN_PER_UNIT_MAX = 200;

type Name = Pick<NodeRow, "id" | "boot">;

/** Puts the node in the place of its earlier boots. @param alone  every other node is gone for good, too. */
export function replaceNode(tx: Tx, node: NodeRow, alone: boolean): void {
  if (alone) tx.run("DELETE FROM nodes", []);
  else tx.run("DELETE FROM nodes WHERE id = ?", [node.id]);
  const { id, boot, heartbeat_at, silent_ms } = node;
  const sql = "INSERT INTO nodes (id, boot, heartbeat_at, silent_ms) VALUES (?, ?, ?, ?)";
  tx.run(sql, [id, boot, heartbeat_at, silent_ms], 1);
}

/** The mark always changes, whatever the clock says. Expects that nobody has declared the node lost. */
export function touchNode(tx: Tx, node: Name, now: number): void {
  const later = "CASE WHEN heartbeat_at < ? THEN ? ELSE heartbeat_at + 1 END";
  tx.run(`UPDATE nodes SET heartbeat_at = ${later} WHERE id = ? AND boot = ?`, [now, now, node.id, node.boot], 1);
}

export function deleteNode(tx: Tx, node: Name): void {
  tx.run("DELETE FROM nodes WHERE id = ? AND boot = ?", [node.id, node.boot]);
}

/** Declares a node lost, unless it has been heard since. */
export function deleteSilent(tx: Tx, node: NodeRow): void {
  tx.run(
    "DELETE FROM nodes WHERE id = ? AND boot = ? AND heartbeat_at = ?",
    [node.id, node.boot, node.heartbeat_at],
    1,
  );
}

export async function readNodes(reader: Reader): Promise<NodeRow[]> {
  const rows = await reader.all("SELECT id, boot, heartbeat_at, silent_ms FROM nodes ORDER BY id LIMIT ?", [NODES_MAX]);
  return rows.map((row) => nodeRow.parse(row));
}

/** The first term is for the partial index of runs that have not ended. */
const ORPHANED = `state <> 'ended' AND state = 'queued' AND (holder IS NULL OR NOT EXISTS (
  SELECT 1 FROM nodes WHERE nodes.id || '/' || nodes.boot = runs.holder))`;

/** Does a run wait in the memory of a node that is gone? */
export async function anyWaitsForNobody(reader: Reader): Promise<boolean> {
  return (await reader.get(`SELECT 1 AS found FROM runs WHERE ${ORPHANED} LIMIT 1`, [])) !== undefined;
}

/** Takes queued runs of nodes that are gone, oldest first. @returns how many; ask again until it is none. */
export async function takeWaiting(tx: Tx, holder: string): Promise<number> {
  const sql = `UPDATE runs SET holder = ? WHERE id IN (
    SELECT id FROM runs WHERE ${ORPHANED} ORDER BY id LIMIT ?) RETURNING id`;
  return (await tx.all(sql, [holder, TAKEN_PER_UNIT_MAX])).length;
}

/** Ids of runs that a node had started which is gone, oldest first. */
export async function lostRuns(reader: Reader, after: string, limit: number): Promise<string[]> {
  const sql = `SELECT id FROM runs WHERE state <> 'ended' AND state = 'starting' AND id > ? AND NOT EXISTS (
    SELECT 1 FROM nodes WHERE nodes.id = runs.node AND nodes.boot = runs.boot) ORDER BY id LIMIT ?`;
  return (await reader.all(sql, [after, limit])).map((row) => z.string().parse(row["id"]));
}

/** What a node is to be told about a run that it has. */
export interface Notice {
  run: string;
  /** Who asks for its end; null: the row has changed under the node. */
  actor: string | null;
  /** A human ends what an agent has begun. */
  override: Override | null;
  /** Milliseconds UTC. */
  at: number;
}
const noticeRow = z.object({
  run: z.string(),
  actor: z.string(),
  override: z.enum(OVERRIDES).nullable(),
  at: z.int(),
});

/** Told twice is told once. */
export function insertNotice(tx: Tx, { run, actor, override, at }: Notice): void {
  const sql = `INSERT INTO run_notices (run, actor, override, at) VALUES (?, ?, ?, ?)
    ON CONFLICT (run, actor) DO NOTHING`;
  tx.run(sql, [run, actor ?? "", override, at]);
}

/** The newest notices. */
export async function readNotices(reader: Reader, limit: number): Promise<Notice[]> {
  const rows = await reader.all("SELECT run, actor, override, at FROM run_notices ORDER BY at DESC, run LIMIT ?", [
    limit,
  ]);
  return rows.map((row) => {
    const { actor, ...rest } = noticeRow.parse(row);
    return { ...rest, actor: actor === "" ? null : actor };
  });
}

/** Forgets old notices, except about runs that go on. */
export function deleteNotices(tx: Tx, until: number): void {
  tx.run(
    `DELETE FROM run_notices WHERE at <= ? AND NOT EXISTS (
       SELECT 1 FROM runs WHERE runs.id = run_notices.run AND runs.state <> 'ended')`,
    [until],
  );
}

/** As `insertLog`, but only while the attempt is still this boot's: a later attempt numbers its lines anew. */
export function insertLiveLog(tx: Tx, run: { id: string; node: string; boot: string }, chunk: LogChunk): void {
  tx.run(
    `INSERT INTO run_logs (run, seq, seq_last, lines) SELECT id, ?, ?, ? FROM runs
       WHERE id = ? AND state = 'starting' AND node = ? AND boot = ? ON CONFLICT (run, seq) DO NOTHING`,
    [chunk.seq, chunk.seq_last, chunk.lines, run.id, run.node, run.boot],
  );
}
