import { describe, expect, it } from "vitest";
import { systemRandom } from "./random.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("chance", () => {
  it("has as many bytes as were asked, cut from the pool or not", () => {
    const random = systemRandom();
    for (const n of [0, 1, 8, 63, 64, 65, 5_000]) expect(random.bytes(n)).toHaveLength(n);
  });

  it("never comes twice, over many pools and from two sources", () => {
    const sources = [systemRandom(), systemRandom()];
    const seen = sources.flatMap((random) => Array.from({ length: 3_000 }, () => hex(random.bytes(16))));
    expect(new Set(seen).size).toBe(6_000);
  });

  it("stays what it is while more is drawn, and is changed by nobody else", () => {
    const random = systemRandom();
    const first = random.bytes(16);
    const before = hex(first);
    const others = Array.from({ length: 1_000 }, () => random.bytes(16));
    expect(hex(first)).toBe(before);
    const next = hex(others[0]!);
    first.fill(0);
    expect(hex(others[0]!)).toBe(next);
    expect(first.buffer.byteLength).toBe(16); // a view of the pool would show what others were given
  });

  it("has all values of a byte about equally often", () => {
    const random = systemRandom();
    const counts = new Array<number>(256).fill(0);
    for (let i = 0; i < 8_000; i++) for (const byte of random.bytes(64)) counts[byte]! += 1;
    // 2,000 are expected of each, with a deviation of 45.
    expect(Math.min(...counts)).toBeGreaterThan(1_600);
    expect(Math.max(...counts)).toBeLessThan(2_400);
  });
});
