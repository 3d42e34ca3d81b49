import { z } from "zod";
import type { Reader, Tx } from "../storage/contract.ts";

/** Sources by hash. The table is `store.ts`'s. */

export interface CodeRow {
  tenant: string;
  hash: string;
  /** JSON text of the sources; null when it is a blob. */
  sources: string | null;
  sources_blob: string | null;
  bytes: number;
}
const codeRow = z.object({ sources: z.string().nullable(), sources_blob: z.string().nullable() });

export function upsertCode(tx: Tx, code: CodeRow, now: number): void {
  tx.run(
    `INSERT INTO code (tenant, hash, sources, sources_blob, bytes, last_used_at) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (tenant, hash) DO UPDATE SET last_used_at = excluded.last_used_at`,
    [code.tenant, code.hash, code.sources, code.sources_blob, code.bytes, now],
  );
}

export async function findCode(reader: Reader, tenant: string, hash: string) {
  const row = await reader.get("SELECT sources, sources_blob FROM code WHERE tenant = ? AND hash = ?", [tenant, hash]);
  return row === undefined ? undefined : codeRow.parse(row);
}
