import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { EntryId, TenantId } from "../kernel/ids.ts";
import { ENTRIES_PAGE_MAX, type EntryDraft, type EntryView, FOLLOW_IDLE_MS, FOLLOWERS_MAX } from "./contract.ts";
import { EvidenceLedger } from "./ledger.ts";

const schema = z.strictObject({ n: z.int() });
const kinds = { "note.made": schema, "note.dropped": schema };
let ground: Ground;
let ledger: EvidenceLedger;

beforeAll(async () => {
  ground = await openGround({ kinds });
  ledger = ground.ledger;
});
afterAll(() => ground.remove());

const newTenant = (): TenantId => ground.ids("ten");
const note = (tenant: TenantId, n: number, more: Partial<EntryDraft> = {}): EntryDraft => ({
  kind: "note.made",
  tenant,
  actor: [],
  data: { n },
  ...more,
});
const append = (draft: EntryDraft): Promise<EntryId> => ground.storage.write((tx) => ledger.append(tx, draft));
const numbers = (items: EntryView[]): unknown[] => items.map((item) => item.data["n"]);
const read = async (sql: string, params: string[] = []): Promise<number> =>
  Number((await ground.storage.get(sql, params))?.["n"]);
/** What the sealer does for readers: gives the oldest entries that wait their places in the log. */
const seal = (count = Number.MAX_SAFE_INTEGER): Promise<void> =>
  ground.storage.write((tx) => {
    tx.run(
      `INSERT INTO evidence_leaves (idx, arrival)
       SELECT (SELECT COUNT(*) FROM evidence_leaves) + ROW_NUMBER() OVER (ORDER BY e.arrival) - 1, e.arrival
       FROM evidence_entries e LEFT JOIN evidence_leaves l ON l.arrival = e.arrival
       WHERE l.arrival IS NULL ORDER BY e.arrival LIMIT ?`,
      [count],
    );
  });

describe("appending", () => {
  it("writes the entry, its pending leaf, its refs and its subjects in the caller's unit", async () => {
    const tenant = newTenant();
    const row = { id: tenant, n: 1 };
    const id = await append(note(tenant, 1, { refs: ["ref-a"], subjects: [{ table: "notes", id: tenant, row }] }));
    const view = await ledger.get(id, tenant);
    const pending = await ground.storage.get(
      "SELECT leaf FROM evidence_pending p JOIN evidence_entries e ON e.arrival = p.arrival WHERE e.id = ?",
      [id],
    );
    expect(Buffer.from(pending?.["leaf"] as Uint8Array).toString("hex")).toBe(view.leaf);
    const subject = () =>
      ground.storage.get(
        "SELECT e.id, s.gone FROM evidence_subjects s JOIN evidence_entries e ON e.arrival = s.arrival WHERE subject = ?",
        [`notes/${tenant}`],
      );
    expect(await subject()).toEqual({ id, gone: 0 });

    const later = await append(note(tenant, 2, { subjects: [{ table: "notes", id: tenant, row: null }] }));
    expect(await subject()).toEqual({ id: later, gone: 1 });
  });

  it("leaves nothing behind when the unit rolls back", async () => {
    const tenant = newTenant();
    const broken = ground.storage.write((tx) => {
      ledger.append(tx, note(tenant, 1, { refs: [`ref-${tenant}`] }));
      tx.run("UPDATE evidence_entries SET at = 1 WHERE id = 'none'", [], 1);
    });
    await expect(broken).rejects.toMatchObject({ code: "STORAGE_CONFLICT" });
    expect((await ledger.list({ tenant, limit: 10 })).items).toEqual([]);
    expect(await ground.storage.all("SELECT * FROM evidence_refs WHERE ref = ?", [`ref-${tenant}`])).toEqual([]);
  });

  it("takes the unit with it when the entry is bad", async () => {
    const tenant = newTenant();
    const broken = ground.storage.write((tx) => {
      ledger.append(tx, note(tenant, 1));
      ledger.append(tx, note(tenant, 2, { data: { n: "two" } }));
    });
    await expect(broken).rejects.toMatchObject({ code: "EVIDENCE_BAD_ENTRY" });
    expect((await ledger.list({ tenant, limit: 10 })).items).toEqual([]);
  });

  it("gives concurrent units places of their own, in the order of arrival", async () => {
    const tenant = newTenant();
    await Promise.all(Array.from({ length: 100 }, (_, n) => append(note(tenant, n))));
    const { items } = await ledger.list({ tenant, limit: ENTRIES_PAGE_MAX });
    expect(new Set(numbers(items)).size).toBe(100);
    expect(new Set(items.map((item) => item.leaf)).size).toBe(100);
    await seal();
    const sealed = (await ledger.list({ tenant, limit: ENTRIES_PAGE_MAX })).items;
    expect(sealed.map(({ id }) => id)).toEqual(items.map(({ id }) => id));
    const [first] = sealed;
    expect(sealed.map(({ index }) => index)).toEqual(sealed.map((_, n) => (first?.index ?? 0) + n));
  });
});

describe("reading", () => {
  it("agrees with an array for every filter and page size", async () => {
    const fact = fc.record({
      tenant: fc.constantFrom("a", "b"),
      kind: fc.constantFrom("note.made" as const, "note.dropped" as const),
      refs: fc.uniqueArray(fc.constantFrom("x", "y", "z"), { maxLength: 3 }),
    });
    const query = fc.record(
      {
        tenant: fc.constantFrom("a", "b"),
        kind: fc.constantFrom("note.made", "note.dropped"),
        ref: fc.constantFrom("x", "y", "z"),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fact, { maxLength: 30 }),
        query,
        fc.integer({ min: 1, max: 7 }),
        fc.nat({ max: 6 }),
        async (facts, asked, limit, waiting) => {
          // Refs and tenants of their own, so that earlier examples are not seen.
          const ids: Record<string, TenantId> = { a: newTenant(), b: newTenant() };
          const refOf = (name: string): string => `${name}-${ids["a"]}`;
          const start = (await ledger.list({ limit: 1, tenant: ids["a"]! })).items.length;
          expect(start).toBe(0);
          await ground.storage.write((tx) => {
            facts.forEach((each, n) => {
              const more = { kind: each.kind, refs: each.refs.map(refOf) };
              ledger.append(tx, note(ids[each.tenant]!, n, more));
            });
          });
          // At most as many wait as a page shows, or the last page would leave some out.
          const left = Math.min(waiting, limit - 1);
          const count = await read("SELECT COUNT(*) AS n FROM evidence_pending");
          await seal(Math.max(0, count - left - (await read("SELECT COUNT(*) AS n FROM evidence_leaves"))));
          const tenant = asked.tenant ?? "a";
          const expected = facts.flatMap((each, n) =>
            each.tenant === tenant &&
            (asked.kind === undefined || asked.kind === each.kind) &&
            (asked.ref === undefined || each.refs.includes(asked.ref as "x"))
              ? [n]
              : [],
          );
          const found: unknown[] = [];
          let cursor: string | undefined;
          do {
            const page = await ledger.list({
              tenant: ids[tenant]!,
              limit,
              ...(asked.kind === undefined ? {} : { kind: asked.kind }),
              ...(asked.ref === undefined ? {} : { ref: refOf(asked.ref) }),
              ...(cursor === undefined ? {} : { cursor }),
            });
            expect(page.items.length).toBeLessThanOrEqual(limit);
            found.push(...numbers(page.items));
            cursor = page.next;
          } while (cursor !== undefined);
          expect(found).toEqual(expected);
          found.length = 0;
          do {
            const page = await ledger.list({
              tenant: ids[tenant]!,
              limit,
              order: "newest",
              ...(asked.kind === undefined ? {} : { kind: asked.kind }),
              ...(asked.ref === undefined ? {} : { ref: refOf(asked.ref) }),
              ...(cursor === undefined ? {} : { cursor }),
            });
            expect(page.items.length).toBeLessThanOrEqual(limit);
            found.push(...numbers(page.items));
            cursor = page.next;
          } while (cursor !== undefined);
          expect(found).toEqual(expected.toReversed());
        },
      ),
      { numRuns: 40 },
    );
  });

  it("starts at a time, inclusive", async () => {
    const tenant = newTenant();
    await append(note(tenant, 1));
    const { at } = (await ledger.list({ tenant, limit: 1 })).items[0]!;
    expect((await ledger.list({ tenant, since: at, limit: 10 })).items).toHaveLength(1);
    expect((await ledger.list({ tenant, since: at + 1, limit: 10 })).items).toHaveLength(0);
  });

  it("has a last page without a cursor, also when it is exactly full", async () => {
    const tenant = newTenant();
    for (const n of [1, 2]) await append(note(tenant, n));
    await seal();
    expect((await ledger.list({ tenant, limit: 2 })).next).toBeUndefined();
    expect((await ledger.list({ tenant, limit: 1 })).next).toBeDefined();
  });

  it("shows what waits to be sealed on the last page, and never makes it a cursor", async () => {
    const tenant = newTenant();
    for (const n of [1, 2]) await append(note(tenant, n));
    await seal();
    for (const n of [3, 4, 5]) await append(note(tenant, n));
    const shown = async (query: object) => {
      const { items, next } = await ledger.list({ tenant, limit: 10, ...query });
      return { numbers: numbers(items), sealed: items.map(({ index }) => index !== undefined), next };
    };
    const whole = await ledger.list({ tenant, limit: 10 });
    expect(whole.items.map(({ sealed }) => sealed)).toEqual([true, true, false, false, false]);
    const [, second] = whole.items;
    expect(await shown({ limit: 2 })).toEqual({
      numbers: [1, 2],
      sealed: [true, true],
      next: String(second?.index),
    });
    expect(await shown({ cursor: String(second?.index) })).toMatchObject({ numbers: [3, 4, 5], next: undefined });
    // Not all of what waits has room beside what is sealed: then all of it stands on the next page.
    expect(await shown({ limit: 4 })).toMatchObject({ numbers: [1, 2], next: String(second?.index) });
    expect(await shown({ limit: 3, cursor: String(second?.index) })).toMatchObject({ numbers: [3, 4, 5] });
    // More wait than a page holds: what is left out will be found after the cursor that the reader has.
    expect(await shown({ limit: 2, cursor: String(second?.index) })).toMatchObject({
      numbers: [3, 4],
      next: undefined,
    });
    expect(await shown({ sealed: true })).toMatchObject({ numbers: [1, 2], next: undefined });
  });

  it("shows what waits to be sealed in front of the newest, and never again behind a cursor", async () => {
    const tenant = newTenant();
    for (const n of [1, 2]) await append(note(tenant, n));
    await seal();
    for (const n of [3, 4, 5]) await append(note(tenant, n));
    const newest = { tenant, order: "newest" } as const;
    const whole = await ledger.list({ ...newest, limit: 10 });
    expect([numbers(whole.items), whole.next]).toEqual([[5, 4, 3, 2, 1], undefined]);
    // More wait than a page holds: the next one begins at what is sealed.
    const waiting = await ledger.list({ ...newest, limit: 2 });
    expect(numbers(waiting.items)).toEqual([5, 4]);
    const behind = await ledger.list({ ...newest, limit: 2, cursor: waiting.next ?? "" });
    expect([numbers(behind.items), behind.next]).toEqual([[2, 1], undefined]);
    // What was sealed since then does not slip in between.
    await seal();
    expect(numbers((await ledger.list({ ...newest, limit: 2, cursor: waiting.next ?? "" })).items)).toEqual([2, 1]);
    const past = String(Number(waiting.next) + 100);
    await expect(ledger.list({ ...newest, limit: 2, cursor: past })).rejects.toMatchObject({
      code: "EVIDENCE_BAD_RANGE",
    });
  });

  it("refuses a cursor that this log has not reached", async () => {
    const tenant = newTenant();
    await append(note(tenant, 1));
    await seal();
    const size = await read("SELECT COUNT(*) AS n FROM evidence_leaves");
    expect((await ledger.list({ tenant, limit: 1, cursor: String(size - 1) })).items).toEqual([]);
    const past = ledger.list({ tenant, limit: 1, cursor: String(size) });
    await expect(past).rejects.toMatchObject({ code: "EVIDENCE_BAD_RANGE" });
  });

  it("resumes with no loss and no repeat while entries are appended and sealed", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        async (batches, seals, limit) => {
          const tenant = newTenant();
          let n = 0;
          let done = false;
          const writing = (async () => {
            for (const [i, size] of batches.entries()) {
              await Promise.all(Array.from({ length: size }, () => append(note(tenant, n++))));
              await append(note(newTenant(), -1));
              await seal(seals[i % seals.length]);
            }
            await seal();
            done = true;
          })();
          const found: string[] = [];
          let cursor: string | undefined;
          for (let last = false; !last; ) {
            last = done;
            // Nothing but the index of the last entry is kept, as a client that starts anew would have it.
            const more = cursor === undefined ? {} : { cursor };
            const { items, next } = await ledger.list({ tenant, limit, sealed: true, ...more });
            found.push(...items.map(({ id }) => id));
            cursor = items.at(-1)?.index?.toString() ?? cursor;
            if (next !== undefined) last = false;
          }
          await writing;
          const all = await ledger.list({ tenant, limit: ENTRIES_PAGE_MAX });
          expect(found).toEqual(all.items.map(({ id }) => id));
          expect(found).toHaveLength(n);
        },
      ),
      { numRuns: 25 },
    );
  });

  it("gives at most 200 entries a page", async () => {
    const tenant = newTenant();
    await ground.storage.write((tx) => {
      for (let n = 0; n <= ENTRIES_PAGE_MAX; n++) ledger.append(tx, note(tenant, n));
    });
    expect((await ledger.list({ tenant, limit: ENTRIES_PAGE_MAX })).items).toHaveLength(ENTRIES_PAGE_MAX);
    await expect(ledger.list({ tenant, limit: ENTRIES_PAGE_MAX + 1 })).rejects.toThrow("Invariant");
  });

  it("hides another tenant's entry as if it were absent", async () => {
    const tenant = newTenant();
    const id = await append(note(tenant, 1));
    await expect(ledger.get(id, newTenant())).rejects.toMatchObject({ code: "EVIDENCE_UNKNOWN" });
    await expect(ledger.get("ent_none", tenant)).rejects.toMatchObject({ code: "EVIDENCE_UNKNOWN" });
  });

  it("refuses a row whose columns no longer say what its body says", async () => {
    const [tenant, thief] = [newTenant(), newTenant()];
    const id = await append(note(tenant, 1));
    await ground.storage.write((tx) => tx.run("UPDATE evidence_entries SET tenant = ? WHERE id = ?", [thief, id], 1));
    await expect(ledger.get(id, thief)).rejects.toThrow("Invariant");
    await ground.storage.write((tx) => tx.run("UPDATE evidence_entries SET tenant = ? WHERE id = ?", [tenant, id], 1));
  });
});

describe("following", () => {
  it("gives what is there, then what arrives, and resumes without loss or repeat", async () => {
    const tenant = newTenant();
    await append(note(tenant, 1));
    await seal();
    const first = new AbortController();
    const pages = ledger.follow({ tenant, limit: 10 }, first.signal);
    const old = (await pages.next()).value as EntryView[];
    expect(numbers(old)).toEqual([1]);
    const next = pages.next();
    await append(note(newTenant(), 99));
    await append(note(tenant, 2));
    await seal();
    await append(note(tenant, 3));
    expect(numbers((await next).value as EntryView[])).toEqual([2]);
    first.abort();
    expect((await pages.next()).done).toBe(true);

    await seal();
    const second = new AbortController();
    const resumed = ledger.follow({ tenant, limit: 10, cursor: String(old[0]!.index) }, second.signal);
    expect(numbers((await resumed.next()).value as EntryView[])).toEqual([2, 3]);
    second.abort();
  });

  it("ends a wait when the reader leaves, and when the ledger closes", async () => {
    const tenant = newTenant();
    const own = new EvidenceLedger({ ...ledgerParts() });
    const leaving = new AbortController();
    const left = own.follow({ tenant, limit: 1 }, leaving.signal).next();
    leaving.abort();
    expect((await left).done).toBe(true);
    const closed = own.follow({ tenant, limit: 1 }, new AbortController().signal).next();
    own.close();
    expect((await closed).done).toBe(true);
  });

  it("admits 32 followers, refuses one more, and has room again when one leaves", async () => {
    const own = new EvidenceLedger({ ...ledgerParts() });
    const query = { tenant: newTenant(), limit: 1 };
    const leaving = new AbortController();
    own.follow(query, leaving.signal);
    for (let i = 1; i < FOLLOWERS_MAX; i++) own.follow(query, new AbortController().signal);
    const more = () => own.follow(query, new AbortController().signal);
    expect(more).toThrow("EVIDENCE_FOLLOWERS");
    leaving.abort();
    expect(more).not.toThrow();
    own.close();
  });

  it("gives an empty page as a sign of life when nothing arrives", async () => {
    const clock = new VirtualClock();
    const own = new EvidenceLedger({ ...ledgerParts(), clock });
    const page = own.follow({ tenant: newTenant(), limit: 1 }, new AbortController().signal).next();
    await eventually(() => clock.pending === 1, "the wait to begin");
    clock.advance(FOLLOW_IDLE_MS);
    expect(await page).toEqual({ done: false, value: [] });
    expect(clock.pending).toBe(0);
    own.close();
  });
});

function ledgerParts() {
  const { storage, clock, random, ids } = ground;
  return {
    storage,
    clock,
    random,
    ids,
    metrics: { add() {}, observe() {}, set() {} },
    state_key: new Uint8Array(32),
    kinds,
  };
}
