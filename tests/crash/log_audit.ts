import { hash } from "node:crypto";
import { DatabaseSync } from "@photostructure/sqlite";
import { NaiveTree } from "../fixtures/tree.ts";

/** The ledger and its sealed log as their tables say, whatever the engine. Nothing of the server's code takes part. */
export interface StoredLog {
  /** By arrival. */
  entries: { arrival: number; id: string; body: Uint8Array }[];
  pending: { arrival: number; leaf: Uint8Array }[];
  /** By index. */
  leaves: { idx: number; arrival: number }[];
  checkpoints: { size: number; root: Uint8Array; note: string }[];
  size: number;
}

/** What is asked of the tables, in the order of `StoredLog`. */
export const LOG_QUERIES = [
  "SELECT arrival, id, body FROM evidence_entries ORDER BY arrival",
  "SELECT arrival, leaf FROM evidence_pending ORDER BY arrival",
  "SELECT idx, arrival FROM evidence_leaves ORDER BY idx",
  "SELECT size, root, note FROM evidence_checkpoints ORDER BY size",
  "SELECT size FROM evidence_log",
] as const;

/** Rows as either engine's driver gives them. */
export function storedLog(answers: Record<string, unknown>[][]): StoredLog {
  const whole = (row: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => [name, /^\d+$/.test(String(value)) ? Number(value) : value]),
    );
  const [entries, pending, leaves, checkpoints, log] = answers.map((rows) => rows.map(whole));
  return { entries, pending, leaves, checkpoints, size: log?.[0]?.["size"] ?? 0 } as StoredLog;
}

export function readLog(path: string): StoredLog {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    return storedLog(LOG_QUERIES.map((sql) => db.prepare(sql).all() as Record<string, unknown>[]));
  } finally {
    db.close();
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** SHA-256(0x00 ‖ body) (RFC 6962, 2.1). */
function leafOf(body: Uint8Array): Uint8Array {
  return Buffer.from(hash("sha256", Buffer.concat([Uint8Array.of(0), body]), "hex"), "hex");
}

/** What a checkpoint says, read by hand. */
export function saidBy(note: string): { size: number; root: string } {
  const [, size, root] = note.split("\n");
  return { size: Number(size), root: hex(Buffer.from(root ?? "", "base64")) };
}

/**
 * What is wrong with a log; empty when every entry is in exactly one of pending and leaves, the indices are gapless and
 * in the order of arrival, and every checkpoint, stored or released, is of this very log.
 * @param released  notes that were shown to anybody.
 */
export function logFaults(log: StoredLog, released: readonly string[] = []): string[] {
  const faults: string[] = [];
  const bodies = new Map(log.entries.map(({ arrival, body }) => [arrival, body]));
  const sealed = new Set(log.leaves.map(({ arrival }) => arrival));
  const pending = new Map(log.pending.map(({ arrival, leaf }) => [arrival, hex(leaf)]));
  for (const [arrival, body] of bodies) {
    if (sealed.has(arrival) === pending.has(arrival)) faults.push(`entry ${arrival} is in both or in none`);
    if (pending.has(arrival) && pending.get(arrival) !== hex(leafOf(body))) faults.push(`leaf of ${arrival}`);
  }
  for (const arrival of [...sealed, ...pending.keys()]) if (!bodies.has(arrival)) faults.push(`no entry ${arrival}`);
  for (const [place, { idx, arrival }] of log.leaves.entries()) {
    if (idx !== place) faults.push(`index ${idx} at place ${place}`);
    if (arrival <= (log.leaves[place - 1]?.arrival ?? 0)) faults.push(`index ${idx} before its time`);
  }
  if (log.size !== log.leaves.length) faults.push(`size ${log.size} of ${log.leaves.length} leaves`);
  const tree = new NaiveTree(log.leaves.map(({ arrival }) => leafOf(bodies.get(arrival) ?? new Uint8Array())));
  for (const note of [...released, ...log.checkpoints.map((stored) => stored.note)]) {
    const { size, root } = saidBy(note);
    if (size > log.leaves.length) faults.push(`a checkpoint of ${size} entries is not in the log`);
    else if (hex(tree.root(0, size)) !== root) faults.push(`the checkpoint of ${size} entries is of another log`);
  }
  return faults;
}
