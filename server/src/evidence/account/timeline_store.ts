import { z } from "zod";
import type { Reader } from "../../storage/contract.ts";
import { PRIVATE_STATES, type PrivateState } from "../contract.ts";

const fieldRow = z.object({ entry: z.string(), field: z.string(), state: z.enum(PRIVATE_STATES) });

/**
 * What became of the private fields of some entries; never their values. In the order of entry and field.
 * @param entries  so many that their fields fit `ROWS_MAX` rows.
 */
export async function selectFieldStates(
  reader: Reader,
  entries: readonly string[],
): Promise<{ entry: string; field: string; state: PrivateState }[]> {
  if (entries.length === 0) return [];
  const rows = await reader.all(
    `SELECT entry, field, state FROM evidence_private WHERE entry IN (${entries.map(() => "?").join(", ")})
     ORDER BY entry, field`,
    [...entries],
  );
  return rows.map((row) => fieldRow.parse(row));
}
