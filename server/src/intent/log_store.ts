import { z } from "zod";
import type { Reader, Tx } from "../storage/contract.ts";
import type { LogLine } from "./contract.ts";

/** The logs of runs. The table is `store.ts`'s. */

/** Consecutive lines of one run's log; `lines` is NDJSON, as it is served and hashed. */
export interface LogChunk {
  seq: number;
  seq_last: number;
  lines: string;
}
const logChunk = z.object({ seq: z.int(), seq_last: z.int(), lines: z.string() });

/** Writing a chunk twice keeps the first: a flush whose answer was lost may be repeated. */
export function insertLog(tx: Tx, run: string, chunk: LogChunk): void {
  tx.run("INSERT INTO run_logs (run, seq, seq_last, lines) VALUES (?, ?, ?, ?) ON CONFLICT (run, seq) DO NOTHING", [
    run,
    chunk.seq,
    chunk.seq_last,
    chunk.lines,
  ]);
}

/** The next chunk's lines with `seq > after`; empty at the end. */
export async function readLog(reader: Reader, run: string, after: number): Promise<LogLine[]> {
  const sql = "SELECT seq, seq_last, lines FROM run_logs WHERE run = ? AND seq_last > ? ORDER BY seq LIMIT 1";
  const row = await reader.get(sql, [run, after]);
  if (row === undefined) return [];
  const lines = logChunk.parse(row).lines.split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as LogLine).filter((line) => line.seq > after);
}

/** The last `seq` that is stored, 0 for none. */
export async function lastLogSeq(reader: Reader, run: string): Promise<number> {
  const row = await reader.get("SELECT MAX(seq_last) AS seq FROM run_logs WHERE run = ?", [run]);
  return z.object({ seq: z.int().nullable() }).parse(row ?? { seq: null }).seq ?? 0;
}
