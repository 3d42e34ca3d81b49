import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BUNDLED_ENTRY_BYTES_MAX,
  bundleEntries,
  bundlePath,
  hashesOf,
  parseBundlePath,
  parseTilePath,
  TILE_LEVEL_MAX,
  TILE_WIDTH,
  tilePath,
  tileWidth,
} from "./tiles.ts";

const BIG = Number.MAX_SAFE_INTEGER;

describe("tile paths", () => {
  it.each([
    [0, "000"],
    [67, "067"],
    [999, "999"],
    [1_000, "x001/000"],
    [1_234_067, "x001/x234/067"],
    [BIG, "x009/x007/x199/x254/x740/991"],
  ])("index %i is %s", (n, path) => {
    expect(bundlePath({ n, width: TILE_WIDTH })).toBe(path);
    expect(parseBundlePath(path)).toEqual({ n, width: TILE_WIDTH });
    expect(tilePath({ level: TILE_LEVEL_MAX, n, width: 8 })).toBe(`63/${path}.p/8`);
    expect(parseTilePath(`63/${path}.p/8`)).toEqual({ level: TILE_LEVEL_MAX, n, width: 8 });
  });

  it("of every tile are read as that tile", () => {
    const tile = fc.record({
      level: fc.integer({ min: 0, max: TILE_LEVEL_MAX }),
      n: fc.oneof(fc.maxSafeNat(), fc.nat(2_000_000)),
      width: fc.integer({ min: 1, max: TILE_WIDTH }),
    });
    fc.assert(
      fc.property(tile, (each) => {
        expect(parseTilePath(tilePath(each))).toEqual(each);
        expect(parseBundlePath(bundlePath(each))).toEqual({ n: each.n, width: each.width });
      }),
    );
  });

  it.each([
    "",
    "0",
    "0/",
    "/000",
    "00/000",
    "01/000",
    "-1/000",
    "0x1/000",
    `${TILE_LEVEL_MAX + 1}/000`,
    "0/0",
    "0/1234",
    "0/x001",
    "0/001/000",
    "0/x000/067",
    "0/x000/x000/000",
    "0/x1/000",
    "0/X001/000",
    "0/001/x000",
    "0/000/",
    "0/000.p",
    "0/000.p/",
    "0/000.p/0",
    "0/000.p/08",
    "0/000.p/256",
    "0/000.p/1000",
    "0/000.p/-1",
    "0/000.p/1/",
    "0/000.p/1.p/1",
    "0/000 ",
    "0/000\n",
    " 0/000",
    "0/٠٠٠",
    "NaN/NaN.p/NaN",
    "0/x009/x007/x199/x254/x740/992",
    "0/x999/x999/x999/x999/x999/999",
    "0/x001/x000/x000/x000/x000/x000/000",
    `0/${"x001/".repeat(10_000)}000`,
  ])("%j is no tile", (path) => {
    expect(() => parseTilePath(path)).toThrow(expect.objectContaining({ code: "EVIDENCE_BAD_RANGE" }));
    const [, ...rest] = path.split("/");
    if (path.startsWith("0/")) {
      expect(() => parseBundlePath(rest.join("/"))).toThrow(expect.objectContaining({ code: "EVIDENCE_BAD_RANGE" }));
    }
  });

  it("have one spelling each: what is read is written as it was", () => {
    const digits = fc.stringMatching(/^[0-9x/.p]{1,24}$/);
    fc.assert(
      fc.property(digits, (path) => {
        try {
          expect(tilePath(parseTilePath(path))).toBe(path);
        } catch (error) {
          expect(error).toMatchObject({ code: "EVIDENCE_BAD_RANGE" });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("the width of a tile", () => {
  it("is that of the example of C2SP tlog-tiles", () => {
    const widths = (level: number, from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => tileWidth(70_000, level, from + i));
    expect(widths(0, 272, 275)).toEqual([256, 112, 0]);
    expect(widths(1, 0, 3)).toEqual([256, 17, 0]);
    expect(widths(2, 0, 2)).toEqual([1, 0]);
    expect(widths(3, 0, 1)).toEqual([0]);
    expect([tileWidth(256, 0, 0), tileWidth(256, 0, 1), tileWidth(256, 1, 0)]).toEqual([256, 0, 1]);
  });

  it("stays true at the ends of what can be counted", () => {
    expect(tileWidth(0, 0, 0)).toBe(0);
    expect(tileWidth(BIG, 0, Math.floor(BIG / 256))).toBe(255);
    expect(tileWidth(BIG, 6, 0)).toBe(31);
    expect(tileWidth(BIG, 7, 0)).toBe(0);
    expect(tileWidth(BIG, TILE_LEVEL_MAX, 0)).toBe(0);
    expect(tileWidth(BIG, TILE_LEVEL_MAX, BIG)).toBe(0);
  });
});

it("a subtree stands in the lowest tile that does not hold it whole", () => {
  expect(hashesOf(0, 1)).toEqual({ level: 0, n: 0, from: 0, count: 1 });
  expect(hashesOf(384, 128)).toEqual({ level: 0, n: 1, from: 128, count: 128 });
  expect(hashesOf(512, 256)).toEqual({ level: 1, n: 0, from: 2, count: 1 });
  expect(hashesOf(2 ** 40, 2 ** 39)).toEqual({ level: 4, n: 1, from: 0, count: 128 });
});

describe("an entry bundle", () => {
  it("has each entry behind its length", () => {
    const bundle = bundleEntries([Buffer.from("ab"), new Uint8Array(0), new Uint8Array(258).fill(7)]);
    expect(Buffer.from(bundle).toString("hex")).toBe(`00026162${"0000"}0102${"07".repeat(258)}`);
    expect(bundleEntries([])).toEqual(new Uint8Array(0));
  });

  it("takes the largest entry that a length can tell, and none above", () => {
    expect(bundleEntries([new Uint8Array(BUNDLED_ENTRY_BYTES_MAX)])).toHaveLength(2 + BUNDLED_ENTRY_BYTES_MAX);
    expect(() => bundleEntries([new Uint8Array(BUNDLED_ENTRY_BYTES_MAX + 1)])).toThrow("does not fit");
  });
});
