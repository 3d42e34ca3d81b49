import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openSealedLedger, type SealedLedger } from "../../../../tests/fixtures/sealed_ledger.ts";

/** Enough for an upper tile, a begun one beside it, several checkpoints, and something that waits. */
const SIZE = 300;

let ledger: SealedLedger;
/** Every byte that an audit answers for: where it is kept, and what finds its row again. */
let places: { table: string; column: string; row: string; bytes: Uint8Array; is_text: boolean }[];

beforeAll(async () => {
  ledger = await openSealedLedger();
  await ledger.append(6, { prompt: { class: "prompts", value: "what was asked", redaction: "keep" } });
  await ledger.seal();
  await ledger.append(SIZE - 10);
  await ledger.seal();
  await ledger.append(2);
  places = [];
  const look = async (table: string, columns: readonly string[], key: readonly string[]) => {
    for (const row of await ledger.raw.rows(`SELECT * FROM ${table}`)) {
      const where = key.map((name) => `${name} = ${typeof row[name] === "number" ? row[name] : `'${row[name]}'`}`);
      for (const column of columns) {
        const value = row[column];
        const is_text = typeof value === "string";
        const bytes = is_text ? Buffer.from(value) : new Uint8Array(value as Uint8Array);
        places.push({ table, column, row: where.join(" AND "), bytes, is_text });
      }
    }
  };
  await look("evidence_entries", ["id", "tenant", "kind", "body"], ["arrival"]);
  await look("evidence_pending", ["leaf"], ["arrival"]);
  await look("evidence_refs", ["ref"], ["arrival", "ref"]);
  await look("evidence_tiles", ["bytes"], ["level", "n"]);
  await look("evidence_checkpoints", ["root", "note"], ["size"]);
  await look("evidence_log", ["root", "origin"], ["size"]);
  await look("evidence_keys", ["vkey"], ["from_size"]);
  await look("evidence_private", ["key", "value", "field", "state"], ["entry", "field"]);
  await look("tokens", ["hash", "last4", "scopes_json", "chain_json"], ["id"]);
  await look("actors", ["name", "subject", "ceiling_json"], ["id"]);
  await look("tenants", ["slug", "settings_json"], ["id"]);
});
afterAll(() => ledger.remove());

it("finds any byte that is another, wherever it stands", async () => {
  expect((await ledger.audit()).ok).toBe(true);
  const tables = [...new Set(places.map(({ table, column }) => `${table}.${column}`))];
  const place = fc.constantFrom(...tables).chain((name) => {
    return fc.constantFrom(...places.filter(({ table, column }) => `${table}.${column}` === name));
  });
  await fc.assert(
    fc.asyncProperty(place, fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, offset, change) => {
      const { table, column, row, bytes, is_text } = at;
      const other = Uint8Array.from(bytes);
      const index = offset % bytes.length;
      // Text stays text: another printable character.
      other[index] = is_text
        ? 33 + (((other[index] ?? 0) - 33 + 1 + (change % 93) + 94) % 94)
        : (other[index] ?? 0) ^ change;
      const write = async (value: Uint8Array, from: Uint8Array) => {
        const text = (each: Uint8Array) => (is_text ? Buffer.from(each).toString("utf8") : each);
        await ledger.raw.run(
          `UPDATE ${table} SET ${column} = ? WHERE ${row.replace(quoted(column, bytes), () => quoted(column, from))}`,
          [text(value)],
        );
      };
      await write(other, bytes);
      const report = await ledger.audit();
      await write(bytes, other);
      expect(report).toMatchObject({ ok: false, first_bad: { check: expect.any(String) } });
    }),
    { numRuns: 100 },
  );
  expect((await ledger.audit()).ok).toBe(true);
}, 60_000);

/** A row whose key is changed is found under its new one. */
function quoted(column: string, bytes: Uint8Array): string {
  return `${column} = '${Buffer.from(bytes).toString("utf8").replaceAll("'", "''")}'`;
}
