import type { Tx } from "../../storage/contract.ts";
import { type SealedRows, sealRows } from "./store.ts";

/** What a succession writes: the first sealing under the new name, and the end of the old one. */
export interface SucceededRows extends SealedRows {
  old_origin: string;
  /** The verifier key that signed the old log last. */
  old_key: string;
  new_key: string;
}

/**
 * The log goes on under another name and key. Its leaves and tiles stay what they are: the old log's entries are the
 * first of the new one. A key that was announced for the old name has signed nothing, and never will.
 */
export function succeedRows(tx: Tx, rows: SucceededRows): void {
  const { origin, old_origin, old_size, old_key, new_key, epoch, checkpoint } = rows;
  tx.run("UPDATE evidence_keys SET to_size = ? WHERE vkey = ? AND to_size IS NULL", [old_size, old_key], 1);
  tx.run("DELETE FROM evidence_keys WHERE from_size < 0", []);
  tx.run("INSERT INTO evidence_keys (vkey, from_size, to_size) VALUES (?, ?, NULL)", [new_key, checkpoint.size], 1);
  tx.run(
    "UPDATE evidence_log SET origin = ? WHERE origin = ? AND size = ? AND epoch = ?",
    [origin, old_origin, old_size, epoch],
    1,
  );
  sealRows(tx, rows);
}
