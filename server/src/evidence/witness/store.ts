import { z } from "zod";
import type { Migration, Reader, Tx } from "../../storage/contract.ts";

/**
 * How far each witness has come: the size of the newest copy that it took, and what was wrong last. `lagged_at` is since
 * when it lacks a checkpoint, once the ledger has been told; null while there is nothing to tell.
 */
export const witness_migration: Migration = {
  id: "evidence/0004",
  sql: `
    CREATE TABLE evidence_sinks (
      sink {text} NOT NULL PRIMARY KEY,
      size {int} NOT NULL,
      ok_at {int},
      error {text},
      lagged_at {int}
    );
  `,
  tables: { evidence_sinks: "operational" },
};

export interface SinkRow {
  size: number;
  ok_at: number | null;
  error: string | null;
  lagged_at: number | null;
}

/** Of a witness that nothing is known of. */
export const NEW_SINK: Readonly<SinkRow> = { size: 0, ok_at: null, error: null, lagged_at: null };

const sinkRow = z.object({
  size: z.int(),
  ok_at: z.int().nullable(),
  error: z.string().nullable(),
  lagged_at: z.int().nullable(),
});

export async function selectSink(reader: Reader, sink: string): Promise<SinkRow> {
  const row = await reader.get("SELECT size, ok_at, error, lagged_at FROM evidence_sinks WHERE sink = ?", [sink]);
  return row === undefined ? NEW_SINK : sinkRow.parse(row);
}

/** Writes the whole row. */
export function putSink(tx: Tx, sink: string, { size, ok_at, error, lagged_at }: SinkRow): void {
  tx.run(
    `INSERT INTO evidence_sinks (sink, size, ok_at, error, lagged_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (sink) DO UPDATE SET size = excluded.size, ok_at = excluded.ok_at, error = excluded.error,
       lagged_at = excluded.lagged_at`,
    [sink, size, ok_at, error, lagged_at],
    1,
  );
}

/** When the first checkpoint past `size` was made, of those that are kept; undefined when none is larger. */
export async function selectFirstPast(reader: Reader, size: number): Promise<number | undefined> {
  const row = await reader.get("SELECT at FROM evidence_checkpoints WHERE size > ? ORDER BY size LIMIT 1", [size]);
  return row === undefined ? undefined : z.int().parse(row["at"]);
}

/** What witnesses have taken was of a log that has ended: of its successor they have nothing. */
export function forgetSinks(tx: Tx): void {
  tx.run("DELETE FROM evidence_sinks", []);
}
