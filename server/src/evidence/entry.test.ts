import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { canonicalJson } from "../kernel/canonical.ts";
import { hasCode } from "../kernel/errors.ts";
import { hmacUnder } from "../kernel/hash.ts";
import type { EntryId, TenantId } from "../kernel/ids.ts";
import {
  ENTRY_ACTORS_MAX,
  ENTRY_BYTES_MAX,
  ENTRY_REF_CHARS_MAX,
  ENTRY_REFS_MAX,
  ENTRY_SUBJECTS_MAX,
  type EntryDraft,
  errors,
  type KindSchemas,
} from "./contract.ts";
import { buildEntry, readBody, type Stamp, stateDigest, viewEntry } from "./entry.ts";

const key = new Uint8Array(32).fill(7);
const stamp: Stamp = { id: "ent_1" as EntryId, at: 1_000, salt: new Uint8Array(16).fill(1) };
const kinds: KindSchemas = {
  "note.made": z.strictObject({ text: z.string() }),
  "thing.measured": z.looseObject({}),
};
const draft = (more: Partial<EntryDraft> = {}): EntryDraft => ({
  kind: "note.made",
  tenant: "ten_1" as TenantId,
  actor: [{ actor: "act_1", kind: "human" }],
  data: { text: "hello" },
  ...more,
});
const build = (more: Partial<EntryDraft> = {}) => buildEntry(draft(more), stamp, kinds, hmacUnder(key));

function refusal(more: Partial<EntryDraft>): unknown {
  try {
    build(more);
  } catch (error) {
    return error;
  }
  throw new Error("the entry was built");
}

describe("an entry", () => {
  it("is canonical JSON whose leaf is SHA-256(0x00 ‖ body)", () => {
    const { bytes, leaf, body } = build({ refs: ["run_1"], snapshot: "snp_1" });
    expect(Buffer.from(bytes).toString("utf8")).toBe(canonicalJson(body));
    const expected = createHash("sha256")
      .update(Buffer.from([0]))
      .update(bytes)
      .digest();
    expect(Buffer.from(leaf).equals(expected)).toBe(true);
    expect(body).toMatchObject({ v: 1, id: "ent_1", at: 1_000, salt: "01".repeat(16), state: {}, refs: ["run_1"] });
  });

  it("does not depend on the order of the members of a draft", () => {
    const forward = build({ kind: "thing.measured", data: { a: 1, b: { c: 2, d: 3 } } });
    const backward = build({ data: { b: { d: 3, c: 2 }, a: 1 }, kind: "thing.measured" });
    expect(forward.bytes).toEqual(backward.bytes);
  });

  it("differs from the same fact with another salt", () => {
    const other = buildEntry(draft(), { ...stamp, salt: new Uint8Array(16).fill(2) }, kinds, hmacUnder(key));
    expect(other.leaf).not.toEqual(build().leaf);
  });

  it("is read back as it was built, for any data", () => {
    const json = fc.jsonValue({ noUnicodeString: false }).filter((value) => {
      try {
        canonicalJson(value);
        return JSON.stringify(value).length < 4_000;
      } catch {
        return false;
      }
    });
    fc.assert(
      fc.property(json, (value) => {
        const { bytes, body } = build({ kind: "thing.measured", data: { value } });
        expect(canonicalJson(readBody(bytes))).toBe(canonicalJson(body));
      }),
    );
  });

  it("shows a reader neither salt nor state digests", () => {
    const { bytes } = build({ subjects: [{ table: "runs", id: "run_1", row: { id: "run_1" } }] });
    const view = viewEntry(5, bytes);
    expect(Object.keys(view).sort()).toEqual(
      ["actor", "at", "data", "id", "index", "kind", "leaf", "refs", "sealed", "tenant"].sort(),
    );
    expect(view).toMatchObject({ index: 5, sealed: true });
    const waiting = viewEntry(undefined, bytes);
    expect(waiting.sealed).toBe(false);
    expect("index" in waiting).toBe(false);
    expect(view.leaf).toMatch(/^[0-9a-f]{64}$/);
  });

  it("keeps only kind and id of an actor", () => {
    const link = { actor: "act_1", kind: "human" as const, via: "token", ref: "tok_1" };
    expect(build({ actor: [link] }).body.actor).toEqual([{ actor: "act_1", kind: "human" }]);
  });
});

describe("a bad entry is refused", () => {
  const cases: [string, Partial<EntryDraft>][] = [
    ["with a kind that no room registered", { kind: "note.lost" }],
    ["with a kind that every object has a member for", { kind: "constructor" as "a.b" }],
    ["with data that the schema refuses", { data: { text: 1 } }],
    ["with a member that the schema does not know", { data: { text: "a", secret: "b" } }],
    ["with a fraction", { kind: "thing.measured", data: { a: 1.5 } }],
    ["with a lone surrogate", { data: { text: "\ud800" } }],
    ["with an empty ref", { refs: [""] }],
    [
      "that names one row twice",
      {
        subjects: [
          { table: "t", id: "1", row: null },
          { table: "t", id: "1", row: { a: 1 } },
        ],
      },
    ],
  ];
  it.each(cases)("%s", (_name, more) => {
    const error = refusal(more);
    expect(hasCode(error, errors.BAD_ENTRY)).toBe(true);
  });

  it("without telling the caller what the data were", () => {
    const error = refusal({ data: { text: "a", secret: "hunter2" } }) as Error;
    expect(error.message).not.toContain("hunter2");
  });
});

describe("limits of an entry", () => {
  const subjects = (n: number) => Array.from({ length: n }, (_, i) => ({ table: "t", id: String(i), row: null }));
  const cases: [string, Partial<EntryDraft>, Partial<EntryDraft>][] = [
    [
      "actors",
      { actor: Array.from({ length: ENTRY_ACTORS_MAX }, () => ({ actor: "a", kind: "agent" as const })) },
      { actor: Array.from({ length: ENTRY_ACTORS_MAX + 1 }, () => ({ actor: "a", kind: "agent" as const })) },
    ],
    [
      "refs",
      { refs: Array.from({ length: ENTRY_REFS_MAX }, (_, i) => `r${i}`) },
      { refs: Array.from({ length: ENTRY_REFS_MAX + 1 }, (_, i) => `r${i}`) },
    ],
    [
      "characters of a ref",
      { refs: ["r".repeat(ENTRY_REF_CHARS_MAX)] },
      { refs: ["r".repeat(ENTRY_REF_CHARS_MAX + 1)] },
    ],
    ["subjects", { subjects: subjects(ENTRY_SUBJECTS_MAX) }, { subjects: subjects(ENTRY_SUBJECTS_MAX + 1) }],
  ];
  it.each(cases)("%s: the limit fits, one more does not", (_name, fits, over) => {
    expect(() => build(fits)).not.toThrow();
    expect(hasCode(refusal(over), errors.BAD_ENTRY)).toBe(true);
  });

  it("bytes of the body: the limit fits, one more does not", () => {
    const rest = ENTRY_BYTES_MAX - build({ data: { text: "" } }).bytes.byteLength;
    expect(build({ data: { text: "x".repeat(rest) } }).bytes.byteLength).toBe(ENTRY_BYTES_MAX);
    expect(hasCode(refusal({ data: { text: "x".repeat(rest + 1) } }), errors.BAD_ENTRY)).toBe(true);
  });

  it("repeated refs count once", () => {
    expect(build({ refs: Array.from({ length: 20 }, () => "run_1") }).body.refs).toEqual(["run_1"]);
  });
});

describe("a state digest", () => {
  it("is the keyed digest of the row's canonical columns", () => {
    const row = { b: "text", a: 1, c: null, d: Uint8Array.of(0xab, 0x01) };
    const expected = createHmac("sha256", key)
      .update('gantry.state.v1\0runs\0run_1\0{"a":1,"b":"text","c":null,"d":"ab01"}')
      .digest("hex");
    expect(stateDigest(key, "runs", "run_1", row)).toBe(expected);
    expect(build({ subjects: [{ table: "runs", id: "run_1", row }] }).body.state).toEqual({ "runs/run_1": expected });
  });

  it("is null for a row that is gone", () => {
    expect(build({ subjects: [{ table: "runs", id: "r", row: null }] }).body.state).toEqual({ "runs/r": null });
  });

  it("changes with every column, the table, the id and the key", () => {
    const value = fc.oneof(fc.string({ unit: "grapheme-ascii" }), fc.maxSafeInteger(), fc.constant(null));
    const row = fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), value, { minKeys: 1, maxKeys: 6 });
    fc.assert(
      fc.property(row, row, (a, b) => {
        const same = canonicalJson(a) === canonicalJson(b);
        expect(stateDigest(key, "t", "1", a) === stateDigest(key, "t", "1", b)).toBe(same);
        expect(stateDigest(key, "t", "1", a)).not.toBe(stateDigest(key, "u", "1", a));
        expect(stateDigest(key, "t", "1", a)).not.toBe(stateDigest(key, "t", "2", a));
        expect(stateDigest(key, "t", "1", a)).not.toBe(stateDigest(new Uint8Array(32), "t", "1", a));
      }),
    );
  });

  it("keeps the columns themselves out of the entry", () => {
    const { bytes } = build({ subjects: [{ table: "tokens", id: "tok_1", row: { hash: "hunter2" } }] });
    expect(Buffer.from(bytes).toString("utf8")).not.toContain("hunter2");
  });
});
