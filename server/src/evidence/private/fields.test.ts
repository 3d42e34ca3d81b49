import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hasCode } from "../../kernel/errors.ts";
import { hmacUnder } from "../../kernel/hash.ts";
import type { EntryId, TenantId } from "../../kernel/ids.ts";
import { maskText } from "../../kernel/mask.ts";
import { systemRandom } from "../../kernel/random.ts";
import {
  ENTRY_PRIVATE_MAX,
  type EntryDraft,
  errors,
  PRIVATE_INLINE_BYTES,
  type PrivateField,
  REDACTIONS,
} from "../contract.ts";
import { buildEntry, readBody, type Stamp, viewEntry } from "../entry.ts";
import { commitField, FIELD_KEY_BYTES } from "./commitment.ts";
import { commitmentsOf, sealFields } from "./fields.ts";

const id = "ent_1" as EntryId;
const draft = (fields?: EntryDraft["private"]): EntryDraft => ({
  kind: "note.made",
  tenant: "ten_1" as TenantId,
  actor: [],
  data: {},
  ...(fields === undefined ? {} : { private: fields }),
});
const field = (more: Partial<PrivateField> = {}): PrivateField => ({
  class: "prompts",
  value: "text",
  redaction: "keep",
  ...more,
});
const seal = (fields?: EntryDraft["private"]) => sealFields(draft(fields), id, systemRandom());
const one = (more: Partial<PrivateField>) => seal({ why: field(more) })[0]!;
const read = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString("utf8"));
const SECRET = "mail me@example.com";

function refusal(fields: EntryDraft["private"]): unknown {
  try {
    seal(fields);
  } catch (error) {
    return error;
  }
  throw new Error("the fields were sealed");
}

describe("a private field", () => {
  it("that is kept is stored as it is", () => {
    const sealed = one({ value: SECRET, class: "logs" });
    expect(sealed).toMatchObject({ entry: id, field: "why", class: "logs", state: "kept" });
    expect(read(sealed.value)).toBe(SECRET);
    expect(sealed.commitment).toBe(commitField(sealed.key, id, "why", Buffer.from(SECRET)));
  });

  it("that is masked exists masked only, in the commitment, too", () => {
    const sealed = one({ value: SECRET, redaction: "mask" });
    expect(sealed.state).toBe("masked");
    expect(read(sealed.value)).toBe("mail [masked:email]");
    expect(sealed.commitment).toBe(commitField(sealed.key, id, "why", Buffer.from(maskText(SECRET))));
  });

  it("that is dropped is committed to and not stored", () => {
    const sealed = one({ value: SECRET, redaction: "drop" });
    expect(sealed).toMatchObject({ state: "dropped", value: null });
    expect(sealed.commitment).toBe(commitField(sealed.key, id, "why", Buffer.from(SECRET)));
  });

  it("of bytes is masked as the text that it is, and taken out whole when it is none", () => {
    expect(read(one({ value: Buffer.from(`\ufeff${SECRET}`), redaction: "mask" }).value)).toBe(
      "\ufeffmail [masked:email]",
    );
    expect(read(one({ value: Uint8Array.of(0x61, 0xff), redaction: "mask" }).value)).toBe("[masked:bytes]");
    expect(one({ value: Uint8Array.of(0x61, 0xff) }).value).toEqual(Uint8Array.of(0x61, 0xff));
  });

  it("has a key of its own, also beside an equal value", () => {
    const fields = seal({ a: field(), b: field() });
    expect(fields.map(({ key }) => key.byteLength)).toEqual([FIELD_KEY_BYTES, FIELD_KEY_BYTES]);
    expect(fields[0]!.key).not.toEqual(fields[1]!.key);
    expect(fields[0]!.commitment).not.toBe(fields[1]!.commitment);
  });

  it("holds any value that text or bytes can be", () => {
    const value = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.string({ unit: "binary", maxLength: 100 }));
    fc.assert(
      fc.property(value, fc.constantFrom(...REDACTIONS), (given, redaction) => {
        if (typeof given === "string" && !given.isWellFormed()) return;
        const sealed = one({ value: given, redaction });
        const bytes = redaction === "drop" ? Buffer.from(given as string) : sealed.value!;
        expect(sealed.commitment).toBe(commitField(sealed.key, id, "why", bytes));
        if (redaction === "keep") expect(Buffer.from(sealed.value!)).toEqual(Buffer.from(given as string));
      }),
    );
  });
});

describe("a field that cannot be", () => {
  it.each(["", "_why", "Why", "why1", "why-not", "__proto__", "a".repeat(33)])(
    "is refused for its name: %j",
    (name) => {
      const error = refusal(Object.fromEntries([[name, field()]]));
      expect(hasCode(error, errors.BAD_ENTRY)).toBe(true);
    },
  );

  it.each(["w", "why_not", "a".repeat(32), "constructor"])("%s is a name", (name) => {
    expect(commitmentsOf(seal({ [name]: field() }))).toHaveProperty(name);
  });

  it("is refused for a lone surrogate, which has no UTF-8", () => {
    expect(hasCode(refusal({ why: field({ value: "\ud800" }) }), errors.BAD_ENTRY)).toBe(true);
  });

  it("is refused without a word of its value", () => {
    const error = refusal({ why: field({ value: `hunter2 ${"x".repeat(PRIVATE_INLINE_BYTES)}` }) });
    expect(String((error as Error).message) + JSON.stringify(error)).not.toContain("hunter2");
  });
});

describe("limits of private fields", () => {
  const many = (n: number) =>
    Object.fromEntries(
      Array.from({ length: n }, (_, i) => [String.fromCharCode(97 + (i % 26)).repeat(1 + Math.floor(i / 26)), field()]),
    );

  it("so many of one entry, and not one more", () => {
    expect(seal(many(ENTRY_PRIVATE_MAX))).toHaveLength(ENTRY_PRIVATE_MAX);
    expect(hasCode(refusal(many(ENTRY_PRIVATE_MAX + 1)), errors.BAD_ENTRY)).toBe(true);
  });

  it.each(REDACTIONS)("so many bytes of one value, and not one more, under %s", (redaction) => {
    const ends = { value: `${"ä".repeat(PRIVATE_INLINE_BYTES / 2)}`, redaction };
    expect(() => one(ends)).not.toThrow();
    expect(hasCode(refusal({ why: field({ ...ends, value: `${ends.value}x` }) }), errors.BAD_ENTRY)).toBe(true);
  });

  it("a masked text that has grown past the limit is cut there, between characters", () => {
    const value = "ä@b.co a@b.co ".repeat(5_000).slice(0, 60_000);
    const { value: stored } = one({ value, redaction: "mask" });
    expect(stored!.byteLength).toBeLessThanOrEqual(PRIVATE_INLINE_BYTES);
    expect(stored!.byteLength).toBeGreaterThan(PRIVATE_INLINE_BYTES - 8);
    expect(read(stored)).toMatch(/\[masked:cut\]$/);
    expect(read(stored)).not.toContain("\ufffd");
    // Masking it once more changes nothing.
    expect(maskText(read(stored)!)).toBe(read(stored));
  });
});

describe("the body of an entry with private fields", () => {
  const key = new Uint8Array(32);
  const build = (fields?: EntryDraft["private"]) => {
    const sealed = commitmentsOf(seal(fields));
    const stamp: Stamp = { id, at: 1, salt: new Uint8Array(16), ...(fields === undefined ? {} : { sealed }) };
    return {
      sealed,
      built: buildEntry(draft(fields), stamp, { "note.made": { parse: (data) => data } }, hmacUnder(key)),
    };
  };

  it("has their commitments and nothing else of them", () => {
    const { sealed, built } = build({ why: field({ value: SECRET }), prompt: field({ value: "hunter2" }) });
    expect(built.body.sealed).toEqual(sealed);
    const text = Buffer.from(built.bytes).toString("utf8");
    expect(text).not.toMatch(/example|hunter2|prompts|keep/);
    expect(viewEntry(0, built.bytes).commitments).toEqual(sealed);
    expect(viewEntry(0, built.bytes)).not.toHaveProperty("private");
  });

  it("without any has no member for them", () => {
    const { built } = build();
    expect(readBody(built.bytes)).not.toHaveProperty("sealed");
    expect(viewEntry(0, built.bytes)).not.toHaveProperty("commitments");
  });
});
