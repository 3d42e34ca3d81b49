import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { commitField, FIELD_KEY_BYTES } from "./commitment.ts";

const key = new Uint8Array(FIELD_KEY_BYTES).fill(7);
const text = (value: string) => new TextEncoder().encode(value);

/** A copy in which one bit is the other one. */
function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

describe("a commitment", () => {
  it("is the HMAC over domain, entry, field and value", () => {
    const expected = createHmac("sha256", key).update("gantry.field.v1\0ent_1\0why\0because").digest("hex");
    expect(commitField(key, "ent_1", "why", text("because"))).toBe(expected);
  });

  it("covers a value of any bytes, U+0000 and the empty one among them", () => {
    const all = [text(""), text("\0"), text("a\0b"), Uint8Array.of(0xff, 0x00, 0xfe), text("why\0because")];
    const made = all.map((value) => commitField(key, "ent_1", "why", value));
    expect(new Set(made).size).toBe(all.length);
  });

  it("changes with every bit of value, key, field and entry", () => {
    const value = fc.uint8Array({ minLength: 1, maxLength: 64 });
    fc.assert(
      fc.property(value, fc.nat(), fc.stringMatching(/^[a-z]{1,32}$/), (bytes, at, field) => {
        const made = commitField(key, "ent_1", field, bytes);
        expect(commitField(key, "ent_1", field, flipped(bytes, at % (bytes.length * 8)))).not.toBe(made);
        expect(commitField(flipped(key, at % (FIELD_KEY_BYTES * 8)), "ent_1", field, bytes)).not.toBe(made);
        expect(commitField(key, "ent_2", field, bytes)).not.toBe(made);
        expect(commitField(key, "ent_1", `${field}_`, bytes)).not.toBe(made);
        expect(commitField(key, "ent_1", field.slice(1), bytes)).not.toBe(made);
      }),
    );
  });

  it.each([0, FIELD_KEY_BYTES - 1, FIELD_KEY_BYTES + 1, 64])("takes no key of %i bytes", (bytes) => {
    expect(() => commitField(new Uint8Array(bytes), "ent_1", "why", text(""))).toThrow(RangeError);
  });

  it("would not tell a key from itself and a zero byte: hence the exact length", () => {
    const hmac = (k: Uint8Array) => createHmac("sha256", k).update("x").digest("hex");
    expect(hmac(key)).toBe(hmac(Uint8Array.of(...key, 0)));
  });
});
