import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { StallingStorage } from "../../../../tests/fixtures/stalling_storage.ts";
import type { Principal } from "../../identity/contract.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { EntryId } from "../../kernel/ids.ts";
import { errors as storage_errors } from "../../storage/contract.ts";
import {
  ENTRY_PRIVATE_MAX,
  ENTRY_REFS_MAX,
  type EntryDraft,
  type Ledger,
  type PrivateField,
  REDACTIONS,
} from "../contract.ts";
import { readBody } from "../entry.ts";
import { leafHash } from "../log/tree.ts";
import { commitField } from "./commitment.ts";
import { RecordedOpening } from "./values.ts";

let ground: Ground;
let stalling: StallingStorage;
let values: RecordedOpening;
let who: Principal;
let other: Principal;

beforeAll(async () => {
  ground = await openGround({
    kinds: { "note.made": z.strictObject({}) },
    wrap: (inner) => {
      stalling = new StallingStorage(inner);
      return stalling;
    },
  });
  values = new RecordedOpening(ground);
  who = ground.owner;
  const made = await ground.identity.createTenant(who, "other");
  other = await ground.identity.authenticate(made.token.secret);
});
afterAll(() => ground.remove());

const field = (value: string | Uint8Array, redaction: PrivateField["redaction"] = "keep"): PrivateField => ({
  class: "prompts",
  value,
  redaction,
});
const note = (fields: EntryDraft["private"], refs: string[] = [], by: Principal = who): Promise<EntryId> =>
  ground.storage.write((tx) =>
    ground.ledger.append(tx, {
      kind: "note.made",
      tenant: by.tenant,
      actor: [],
      refs,
      data: {},
      ...(fields === undefined ? {} : { private: fields }),
    }),
  );
const erase = (entry: string, name: string): Promise<void> =>
  ground.storage.write((tx) =>
    tx.run("UPDATE evidence_private SET key = NULL, value = NULL WHERE entry = ? AND field = ?", [entry, name], 1),
  );
const openings = async (by: Principal = who) =>
  (await ground.ledger.list({ tenant: by.tenant, kind: "evidence.opened", limit: 200 })).items;
const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("utf8");

async function refusal(work: Promise<unknown>): Promise<GantryError> {
  const got = await work.then(
    (value) => value,
    (error: unknown) => error,
  );
  if (got instanceof GantryError) return got;
  throw new Error(`expected a refusal, got ${String(got)}`);
}

describe("opening a value", () => {
  it("gives the value and its key, and leaves an entry that names both and who asked", async () => {
    const id = await note({ why: field("because\0of"), raw: field(Uint8Array.of(0, 255, 0)) }, ["run_1", "run_2"]);
    const before = (await openings()).length;
    const opened = await values.open(id, "why", who);
    expect(text(opened.value)).toBe("because\0of");
    const { commitments } = await ground.ledger.get(id, who.tenant);
    expect(commitField(opened.key, id, "why", opened.value)).toBe(commitments?.["why"]);
    expect((await values.open(id, "raw", who)).value).toEqual(Uint8Array.of(0, 255, 0));
    const [told, again] = (await openings()).slice(before);
    expect(told).toMatchObject({
      data: { entry: id, field: "why" },
      refs: [id, "run_1", "run_2"],
      actor: who.chain.map(({ actor, kind }) => ({ actor, kind })),
      tenant: who.tenant,
    });
    expect(again?.data).toEqual({ entry: id, field: "raw" });
    expect(told).not.toHaveProperty("commitments");
  });

  it("of an entry with as many refs as may be names the entry and all but its last", async () => {
    const refs = Array.from({ length: ENTRY_REFS_MAX }, (_, i) => `ref_${i}`);
    const id = await note({ why: field("x") }, refs);
    await values.open(id, "why", who);
    expect((await openings()).at(-1)?.refs).toEqual([id, ...refs.slice(0, -1)]);
  });

  it("that was masked gives the masked text alone", async () => {
    const id = await note({ why: field("mail me@example.com", "mask") });
    expect(text((await values.open(id, "why", who)).value)).toBe("mail [masked:email]");
    const rows = await ground.storage.all("SELECT state, value FROM evidence_private WHERE entry = ?", [id]);
    expect(rows).toMatchObject([{ state: "masked" }]);
  });
});

describe("nothing is shown, and no opening recorded,", () => {
  const cases: [string, () => Promise<string>, string, string][] = [
    ["of an entry that is not there", async () => "ent_none", "why", "EVIDENCE_UNKNOWN"],
    ["of another tenant's entry", () => note({ why: field("x") }, [], other), "why", "EVIDENCE_UNKNOWN"],
    ["of a field that the entry does not have", () => note({ why: field("x") }), "prompt", "EVIDENCE_UNKNOWN"],
    ["of a member that every object has", () => note({ why: field("x") }), "constructor", "EVIDENCE_UNKNOWN"],
    ["of an entry without private fields", () => note(undefined), "why", "EVIDENCE_UNKNOWN"],
    ["of a value that was dropped", () => note({ why: field("x", "drop") }), "why", "EVIDENCE_NOT_KEPT"],
  ];
  it.each(cases)("%s", async (_name, made, name, code) => {
    const id = await made();
    const before = [(await openings()).length, (await openings(other)).length];
    expect((await refusal(values.open(id, name, who))).code).toBe(code);
    expect([(await openings()).length, (await openings(other)).length]).toEqual(before);
  });

  it("of a value that was erased", async () => {
    const id = await note({ why: field("x"), prompt: field("y") });
    await erase(id, "why");
    const error = await refusal(values.open(id, "why", who));
    expect([error.code, error.kind.status]).toEqual(["EVIDENCE_ERASED", 410]);
    expect(text((await values.open(id, "prompt", who)).value)).toBe("y");
  });

  it("when the opening cannot be recorded", async () => {
    const id = await note({ why: field("x") });
    const before = (await openings()).length;
    stalling.failNext(new GantryError(storage_errors.FULL, { detail: "" }));
    const error = await refusal(values.open(id, "why", who));
    expect(error.code).toBe("EVIDENCE_UNAVAILABLE");
    expect(error.parts.reasons).toEqual([expect.objectContaining({ code: "STORAGE_FULL" })]);
    expect(await openings()).toHaveLength(before);
  });

  it("when the ledger takes no entries", async () => {
    const id = await note({ why: field("x") });
    const ledger: Ledger = {
      append() {
        throw new GantryError(storage_errors.BUSY, { detail: "" });
      },
    };
    const shut = new RecordedOpening({ storage: ground.storage, ledger });
    expect((await refusal(shut.open(id, "why", who))).code).toBe("EVIDENCE_UNAVAILABLE");
    const bundle = { fields: ["why"], entries: 1, refs: [] };
    expect((await refusal(shut.openBundle(bundle, who))).code).toBe("EVIDENCE_UNAVAILABLE");
  });

  it("of a value that is not the one that was committed to", async () => {
    const id = await note({ why: field("x") });
    const before = (await openings()).length;
    const edit = "UPDATE evidence_private SET value = ? WHERE entry = ?";
    await ground.storage.write((tx) => tx.run(edit, [Buffer.from("y"), id], 1));
    await expect(values.open(id, "why", who)).rejects.toThrow(/is the one that it commits to/);
    expect(await openings()).toHaveLength(before);
  });
});

describe("a bundle that opens fields", () => {
  let ids: EntryId[];
  beforeEach(async () => {
    ids = [
      await note({ why: field("one"), prompt: field("p") }),
      await note(undefined),
      await note({ why: field("two", "drop") }),
      await note({ why: field("three") }, [], other),
      await note({ why: field("four"), raw: field("r") }),
    ];
  });

  it("is recorded once, with what it was asked by, and then reads its pages", async () => {
    const before = (await openings()).length;
    const range = { from: 3, to: 9 };
    const read = await values.openBundle({ fields: ["why", "raw", "why"], entries: 5, refs: ["run_1"], range }, who);
    const told = (await openings()).slice(before);
    expect(told).toMatchObject([{ refs: ["run_1"], data: { fields: ["why", "raw"], entries: 5, range } }]);
    const opened = new Map([...(await read(ids.slice(0, 3))), ...(await read(ids.slice(3)))]);
    expect(Object.fromEntries([...opened].map(([id, all]) => [id, Object.keys(all).sort()]))).toEqual({
      [ids[0]!]: ["why"],
      [ids[4]!]: ["raw", "why"],
    });
    for (const [id, all] of opened) {
      const { commitments } = await ground.ledger.get(id, who.tenant);
      for (const [name, { key, value }] of Object.entries(all)) {
        expect(commitField(key, id, name, value)).toBe(commitments?.[name]);
      }
    }
    expect(await openings()).toHaveLength(before + 1);
  });

  it("leaves out what was erased meanwhile", async () => {
    const read = await values.openBundle({ fields: ["why"], entries: 1, refs: [] }, who);
    await erase(ids[0]!, "why");
    expect([...(await read([ids[0]!])).keys()]).toEqual([]);
  });

  it("names as many refs as an entry may have", async () => {
    const refs = Array.from({ length: ENTRY_REFS_MAX + 1 }, (_, i) => `ref_${i}`);
    await values.openBundle({ fields: ["why"], entries: 1, refs }, who);
    expect((await openings()).at(-1)?.refs).toEqual(refs.slice(0, ENTRY_REFS_MAX));
  });

  it("of more values than one statement may read has all of them", async () => {
    const names = Array.from({ length: ENTRY_PRIVATE_MAX }, (_, i) => `f${"_".repeat(i)}`.slice(0, 32));
    names[ENTRY_PRIVATE_MAX - 1] = "last";
    const all = Object.fromEntries(names.map((name) => [name, field(name)]));
    const many: EntryId[] = [];
    for (let i = 0; i < 40; i += 1) many.push(await note(all));
    const read = await values.openBundle({ fields: names, entries: 40, refs: [] }, who);
    const opened = await read(many);
    expect(opened.size).toBe(40);
    for (const id of many) expect(Object.keys(opened.get(id)!)).toHaveLength(ENTRY_PRIVATE_MAX);
  });
});

describe("erasing", () => {
  it("any of the values leaves every leaf as it was, and the other commitments hold", async () => {
    const name = fc.constantFrom("why", "prompt", "log", "note", "result");
    const fields = fc.dictionary(name, fc.tuple(fc.string({ maxLength: 40 }), fc.constantFrom(...REDACTIONS)));
    await fc.assert(
      fc.asyncProperty(fields, fc.array(name), async (given, erased) => {
        const wanted = Object.entries(given).filter(([, [value]]) => value.isWellFormed());
        const id = await note(Object.fromEntries(wanted.map(([key, [value, how]]) => [key, field(value, how)])));
        const leaf = async () => {
          const row = await ground.storage.get("SELECT body FROM evidence_entries WHERE id = ?", [id]);
          const bytes = row?.["body"] as Uint8Array;
          return { leaf: Buffer.from(leafHash(bytes)).toString("hex"), body: readBody(bytes) };
        };
        const before = await leaf();
        for (const each of new Set(erased)) if (Object.hasOwn(before.body.sealed ?? {}, each)) await erase(id, each);
        const after = await leaf();
        expect(after.leaf).toBe(before.leaf);
        expect((await ground.ledger.get(id, who.tenant)).leaf).toBe(before.leaf);
        const rows = await ground.storage.all("SELECT field, key, value, state FROM evidence_private WHERE entry = ?", [
          id,
        ]);
        expect(rows.map((row) => row["field"]).sort()).toEqual(Object.keys(after.body.sealed ?? {}).sort());
        for (const { field: which, key, value, state } of rows) {
          if (key === null) {
            expect([value, erased.includes(which as "why")]).toEqual([null, true]);
            continue;
          }
          const [raw] = given[which as string]!;
          const committed = state === "dropped" ? Buffer.from(raw) : (value as Uint8Array);
          expect(commitField(key as Uint8Array, id, which as string, committed)).toBe(
            after.body.sealed?.[which as string],
          );
        }
      }),
      { numRuns: 40 },
    );
  });
});
