import { z } from "zod";
import type { TenantId } from "../../kernel/ids.ts";
import type { Migration, Reader, Tx } from "../../storage/contract.ts";

/** What a subject called, one by one: private, and kept for a while only. Parts are pieces of one NDJSON text, in order. */
export const migrations: Migration[] = [
  {
    id: "egress/0004",
    sql: `
      CREATE TABLE egress_summaries (
        tenant_id {text} NOT NULL,
        subject {text} NOT NULL,
        epoch {int} NOT NULL,
        part {int} NOT NULL,
        log {text} NOT NULL,
        created_at {int} NOT NULL,
        PRIMARY KEY (subject, epoch, part)
      );
    `,
    tables: { egress_summaries: "operational" },
  },
];

export interface LogOf {
  tenant: TenantId;
  subject: string;
  epoch: number;
}

/** Parts of one log, in order, the first of them being the `first`. Writing a part twice keeps what was there. */
export function insertLogParts(
  tx: Tx,
  { tenant, subject, epoch }: LogOf,
  parts: readonly string[],
  first: number,
  now: number,
): void {
  const sql = `INSERT INTO egress_summaries (tenant_id, subject, epoch, part, log, created_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (subject, epoch, part) DO NOTHING`;
  parts.forEach((log, at) => {
    tx.run(sql, [tenant, subject, epoch, first + at, log, now]);
  });
}

/** Where a reader stands: behind this part of this epoch. */
export interface LogPlace {
  epoch: number;
  part: number;
}
const partRow = z.object({ epoch: z.int(), part: z.int(), log: z.string() });

/** The next parts of a subject's logs, oldest first. */
export async function selectLogParts(
  reader: Reader,
  { tenant, subject }: Pick<LogOf, "tenant" | "subject">,
  after: LogPlace,
  limit: number,
): Promise<z.output<typeof partRow>[]> {
  const sql = `SELECT epoch, part, log FROM egress_summaries WHERE tenant_id = ? AND subject = ?
    AND (epoch > ? OR (epoch = ? AND part > ?)) ORDER BY epoch, part LIMIT ?`;
  const rows = await reader.all(sql, [tenant, subject, after.epoch, after.epoch, after.part, limit]);
  return rows.map((row) => partRow.parse(row));
}

export function deleteLog(tx: Tx, { subject, epoch }: Pick<LogOf, "subject" | "epoch">): void {
  tx.run("DELETE FROM egress_summaries WHERE subject = ? AND epoch = ?", [subject, epoch]);
}
