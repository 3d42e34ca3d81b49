import { describe, expect, it } from "vitest";
import { ROWS_MAX, SCAN_PAGE_ROWS, type Storage } from "../../server/src/storage/contract.ts";
import { INSERT, insertMany, KEYS, keys, pages, SELECT } from "./storage_notes.ts";

export function valueTests(storage: () => Storage): void {
  describe("a value", () => {
    it.each([Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0, -1, 2 ** 31, -(2 ** 31) - 1, null])(
      "%s comes back as it was",
      async (n) => {
        await storage().write((tx) => tx.run(INSERT, ["a", n]));
        expect(await storage().get(SELECT, ["a"])).toEqual({ n });
      },
    );

    it("that an engine computes beyond the safe range is an error and never rounded", async () => {
      await storage().write((tx) => tx.run(INSERT, ["a", Number.MAX_SAFE_INTEGER]));
      const sql = "SELECT n + 1 AS n FROM notes";
      await expect(storage().get(sql, [])).rejects.toMatchObject({ code: "STORAGE_VALUE" });
      await expect(storage().write((tx) => tx.get(sql, []))).rejects.toMatchObject({ code: "STORAGE_VALUE" });
      await expect(storage().snapshot((r) => r.get(sql, []))).rejects.toMatchObject({ code: "STORAGE_VALUE" });
      await expect(pages(storage().scan(sql, []))).rejects.toMatchObject({ code: "STORAGE_VALUE" });
      expect(await storage().get(SELECT, ["a"])).toEqual({ n: Number.MAX_SAFE_INTEGER });
    });

    it.each([
      ["a fraction", 0.5],
      ["not a number", Number.NaN],
      ["infinite", Number.POSITIVE_INFINITY],
      ["an integer beyond the safe range", 2 ** 53],
      ["text with U+0000", "a\0b"],
      ["text with a lone surrogate", "\ud800"],
      ["undefined", undefined],
      ["a boolean", true],
      ["a BigInt", 1n],
      ["an object", {}],
    ])("that is %s is refused", async (_, value) => {
      const unit = storage().write((tx) => tx.run(INSERT, [value as string, 1]));
      await expect(unit).rejects.toMatchObject({ code: "STORAGE_VALUE" });
      await expect(storage().get(SELECT, [value as string])).rejects.toMatchObject({ code: "STORAGE_VALUE" });
    });

    it("divides as an integer", async () => {
      expect(await storage().get("SELECT CAST(? AS {int}) / CAST(? AS {int}) AS n", [7, 2])).toEqual({ n: 3 });
    });

    it("of bytes comes back as bytes, also none", async () => {
      for (const body of [new Uint8Array(0), new Uint8Array([0, 255, 0])]) {
        await storage().write((tx) => {
          tx.run("DELETE FROM notes", []);
          tx.run("INSERT INTO notes (key, body) VALUES (?, ?)", ["a", body]);
        });
        const row = await storage().get("SELECT body FROM notes", []);
        expect(Array.from(row?.["body"] as Uint8Array)).toEqual(Array.from(body));
      }
    });

    it("of text is ordered by code points, not by a locale", async () => {
      const texts = ["a", "B", "Z", "b", "ä", "é", "_", "a b", "ab", "😀", "\uffff", "~"];
      await storage().write((tx) => {
        for (const text of texts) tx.run(INSERT, [text, 0]);
      });
      const bytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
      expect(await keys(storage())).toEqual([...texts].sort(bytes));
    });

    it("of another type than its column is refused", async () => {
      const unit = storage().write((tx) => tx.run(INSERT, ["a", "not a number"]));
      await expect(unit).rejects.toHaveProperty("code", expect.stringMatching(/^STORAGE_(CONSTRAINT|STATEMENT)$/));
    });
  });
}

export function scanTests(storage: () => Storage): void {
  describe("a long read", () => {
    it(`of ${ROWS_MAX} rows is the most that \`all\` gives; a scan goes on`, async () => {
      await insertMany(storage(), ROWS_MAX);
      expect(await storage().all(KEYS, [])).toHaveLength(ROWS_MAX);
      await insertMany(storage(), 1, ROWS_MAX);
      await expect(storage().all(KEYS, [])).rejects.toMatchObject({ code: "STORAGE_ROWS" });
      await expect(storage().snapshot((r) => r.all(KEYS, []))).rejects.toMatchObject({ code: "STORAGE_ROWS" });
      await expect(storage().write((tx) => tx.all(KEYS, []))).rejects.toMatchObject({ code: "STORAGE_ROWS" });
      expect(await storage().get(KEYS, [])).toEqual({ key: "k000000" });
      const scanned = await pages(storage().scan(KEYS, []));
      expect(scanned.map((page) => page.length)).toEqual([SCAN_PAGE_ROWS, SCAN_PAGE_ROWS, 1]);
      expect(scanned.flat().at(-1)).toEqual({ key: `k${String(ROWS_MAX).padStart(6, "0")}` });
    });

    it("scans one state although rows come and go meanwhile", async () => {
      await insertMany(storage(), SCAN_PAGE_ROWS + 10);
      let seen = 0;
      for await (const page of storage().scan(KEYS, [])) {
        seen += page.length;
        await storage().write((tx) => tx.run("DELETE FROM notes", []));
      }
      expect(seen).toBe(SCAN_PAGE_ROWS + 10);
      expect(await pages(storage().scan(KEYS, []))).toEqual([]);
    });

    it("sees one state in all reads of a snapshot, that of its begin", async () => {
      await insertMany(storage(), 3);
      await storage().snapshot(async (reader) => {
        await storage().write((tx) => tx.run("DELETE FROM notes WHERE key = ?", ["k000000"], 1));
        expect(await reader.all(KEYS, [])).toHaveLength(3);
        await storage().write((tx) => tx.run("DELETE FROM notes WHERE key = ?", ["k000001"], 1));
        expect(await reader.get("SELECT COUNT(*) AS n FROM notes", [])).toEqual({ n: 3 });
        expect(await reader.get("SELECT MIN(n) AS n FROM notes", [])).toEqual({ n: 0 });
      });
      expect(await keys(storage())).toEqual(["k000002"]);
    });

    it("that is left early, or fails, gives its place back", async () => {
      await insertMany(storage(), SCAN_PAGE_ROWS * 2);
      for (let i = 0; i < 40; i++) {
        for await (const page of storage().scan(KEYS, [])) {
          expect(page).toHaveLength(SCAN_PAGE_ROWS);
          break;
        }
        await expect(storage().snapshot((r) => r.all("SELECT x FROM nowhere", []))).rejects.toMatchObject({
          code: "STORAGE_STATEMENT",
        });
      }
      expect(await pages(storage().scan(KEYS, []))).toHaveLength(2);
    });

    it("waits when many are held", async () => {
      await insertMany(storage(), 1);
      const counts = await Promise.all(
        Array.from({ length: 40 }, () => storage().snapshot((r) => r.get("SELECT COUNT(*) AS n FROM notes", []))),
      );
      expect(counts).toEqual(counts.map(() => ({ n: 1 })));
    });

    it("cannot write", async () => {
      const sql = `${INSERT} RETURNING id`;
      await expect(storage().get(sql, ["a", 1])).rejects.toMatchObject({ code: "STORAGE_STATEMENT" });
      await expect(storage().snapshot((r) => r.get(sql, ["a", 1]))).rejects.toMatchObject({
        code: "STORAGE_STATEMENT",
      });
      expect(await keys(storage())).toEqual([]);
    });
  });
}
