import type { ActorRef } from "../evidence/contract.ts";
import type { TokenId } from "../kernel/ids.ts";
import type { Storage, Tx } from "../storage/contract.ts";
import { type RecordParts, recordRevocation } from "./records.ts";
import { selectTokensBelow, type TokenRow } from "./store.ts";

/** Tokens revoked in one unit; a larger tree takes several, from the root down. */
const REVOKED_PER_UNIT_MAX = 200;

export interface Revoking {
  /** Called in each unit before anything is changed; throws when the caller may not. */
  allow(tx: Tx): Promise<void>;
  /** Does the end of this token reverse what an agent does? Default: no. */
  overrides?(row: TokenRow): boolean;
}

/**
 * Revokes the token and all that were minted below it. A crash in the middle leaves the root revoked, and no token
 * mints under a revoked one: asking again ends the work.
 * @returns how many were revoked now.
 */
export async function revokeTree(
  parts: RecordParts & { storage: Storage },
  root: TokenId,
  cause: "asked" | "replaced",
  by: ActorRef[],
  { allow, overrides = () => false }: Revoking,
): Promise<number> {
  let revoked = 0;
  for (;;) {
    const batch = await parts.storage.write(async (tx) => {
      await allow(tx);
      // Ids rise with time, so parents come before what they minted.
      const rows = await selectTokensBelow(tx, root, REVOKED_PER_UNIT_MAX);
      for (const row of rows) {
        recordRevocation(parts, tx, row, row.id === root ? cause : "parent", by, overrides(row));
      }
      return rows.length;
    });
    revoked += batch;
    if (batch < REVOKED_PER_UNIT_MAX) return revoked;
  }
}
