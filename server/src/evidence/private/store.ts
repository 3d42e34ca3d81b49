import { z } from "zod";
import { assert } from "../../kernel/assert.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { type Migration, type Reader, ROWS_MAX, type Tx } from "../../storage/contract.ts";
import { PRIVATE_CLASSES, PRIVATE_STATES } from "../contract.ts";
import type { SealedField } from "./fields.ts";

/**
 * What entries only commit to. Erasing a value is to forget `key` and `value`: the commitment in the entry stays, and
 * says nothing any more. `state` is `kept`, `masked`, `dropped` or `erased`.
 */
export const private_migration: Migration = {
  id: "evidence/0003",
  sql: `
    CREATE TABLE evidence_private (
      entry {text} NOT NULL,
      field {text} NOT NULL,
      class {text} NOT NULL,
      state {text} NOT NULL,
      key {blob},
      value {blob},
      PRIMARY KEY (entry, field)
    );
  `,
  tables: { evidence_private: "operational" },
};

/** Buffers the rows of one entry's fields, in its unit. Blind: the unit crosses to the writer as one message. */
export function insertPrivate(tx: Tx, fields: readonly SealedField[]): void {
  for (const each of fields) {
    tx.run(
      "INSERT INTO evidence_private (entry, field, class, state, key, value) VALUES (?, ?, ?, ?, ?, ?)",
      [each.entry, each.field, each.class, each.state, each.key, each.value],
      1,
    );
  }
}

const bytes = z.instanceof(Uint8Array).nullable();
const privateRow = z.object({
  entry: z.string(),
  field: z.string(),
  class: z.enum(PRIVATE_CLASSES),
  state: z.enum(PRIVATE_STATES),
  key: bytes,
  value: bytes,
});
/** A field as it is stored: without a key it was erased, with a key and without a value it was never kept. */
export type PrivateRow = z.infer<typeof privateRow>;

/** What the open of one field needs: the entry's body, and the field's row if there is one. */
export interface FieldRow {
  body: Uint8Array;
  row: PrivateRow | undefined;
}

/** @returns undefined when the tenant has no such entry. */
export async function selectField(
  reader: Reader,
  entry: string,
  field: string,
  tenant: TenantId,
): Promise<FieldRow | undefined> {
  const found = await reader.get("SELECT body FROM evidence_entries WHERE id = ? AND tenant = ?", [entry, tenant]);
  if (found === undefined) return undefined;
  const row = await reader.get(
    "SELECT entry, field, class, state, key, value FROM evidence_private WHERE entry = ? AND field = ?",
    [entry, field],
  );
  const body = z.instanceof(Uint8Array).parse(found["body"]);
  return { body, row: row === undefined ? undefined : privateRow.parse(row) };
}

/**
 * The named fields of several entries of a tenant, of which some may have none; in no order.
 * @param entries  and `fields`: at most `ROWS_MAX` pairs, which is asserted.
 */
export async function selectFields(
  reader: Reader,
  entries: readonly string[],
  fields: readonly string[],
  tenant: TenantId,
): Promise<PrivateRow[]> {
  assert(entries.length * fields.length <= ROWS_MAX, "one statement reads a bounded number of private values");
  if (entries.length === 0 || fields.length === 0) return [];
  const among = (all: readonly string[]): string => all.map(() => "?").join(", ");
  const rows = await reader.all(
    `SELECT p.entry, p.field, p.class, p.state, p.key, p.value FROM evidence_private p
     JOIN evidence_entries e ON e.id = p.entry
     WHERE p.entry IN (${among(entries)}) AND p.field IN (${among(fields)}) AND e.tenant = ?`,
    [...entries, ...fields, tenant],
  );
  return rows.map((row) => privateRow.parse(row));
}
