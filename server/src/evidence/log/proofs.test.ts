import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import {
  leavesOf,
  MemoryTiles,
  NaiveTree,
  provesConsistency,
  provesInclusion,
} from "../../../../tests/fixtures/tree.ts";
import { consistencyPath, inclusionPath, inclusionPathOf } from "./proofs.ts";
import { tlogProof } from "./tlog_proof.ts";
import { leafHash, openNodes } from "./tree.ts";

const leaves = leavesOf(600);
const naive = new NaiveTree(leaves);
const tiles = new MemoryTiles();
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const BAD_RANGE = { code: "EVIDENCE_BAD_RANGE" };

beforeAll(async () => {
  await tiles.grow(leaves);
});

function flipped(path: readonly Uint8Array[], bit: number): Uint8Array[] {
  const copies = path.map((hash) => Uint8Array.from(hash));
  const at = bit % (copies.length * 256);
  copies[Math.floor(at / 256)]![Math.floor((at % 256) / 8)]! ^= 1 << (at % 8);
  return copies;
}

describe("an inclusion path", () => {
  it("leads every leaf to the root, in trees of 0 to 140 and around tiles, and the outer ones in all to 600", async () => {
    const nodes = openNodes(tiles);
    for (let size = 0; size <= 600; size++) {
      const root = naive.root(0, size);
      const whole = size <= 140 || Math.abs(256 - size) <= 2 || Math.abs(512 - size) <= 2 || size === 600;
      const some = [0, 1, size >> 1, size - 2, size - 1].filter((index) => index >= 0 && index < size);
      for (const index of whole ? Array.from({ length: size }, (_, i) => i) : some) {
        const path = await inclusionPathOf(nodes, index, size);
        if (!provesInclusion(leaves[index]!, index, size, path, root)) expect.fail(`leaf ${index} of ${size}`);
      }
    }
  });

  it("is the known one of the known tree", async () => {
    const known = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const eight = new MemoryTiles();
    await eight.grow(known.map((leaf) => leafHash(Buffer.from(leaf, "hex"))));
    expect((await inclusionPath(eight, 0, 8)).map(hex)).toEqual([
      "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]);
    expect(await inclusionPath(eight, 0, 1)).toEqual([]);
  });

  it("proves nothing once a bit of it has changed, or for another leaf, index or size", async () => {
    const places = fc.record({ size: fc.integer({ min: 2, max: 600 }), at: fc.nat(), bit: fc.nat() });
    await fc.assert(
      fc.asyncProperty(places, async ({ size, at, bit }) => {
        const index = at % size;
        const leaf = leaves[index]!;
        const root = naive.root(0, size);
        const path = await inclusionPath(tiles, index, size);
        expect(provesInclusion(leaf, index, size, path, root)).toBe(true);
        expect(provesInclusion(leaf, index, size, flipped(path, bit), root)).toBe(false);
        expect(provesInclusion(leaves[(index + 1) % size]!, index, size, path, root)).toBe(false);
        expect(provesInclusion(leaf, (index + 1) % size, size, path, root)).toBe(false);
        expect(provesInclusion(leaf, index, size, path.slice(1), root)).toBe(false);
        expect(provesInclusion(leaf, index, size, path, naive.root(0, size - 1))).toBe(false);
      }),
    );
  });

  it.each([
    [0, 0],
    [1, 1],
    [600, 600],
    [-1, 5],
    [1.5, 5],
    [Number.NaN, 5],
    [0, Number.NaN],
    [0, 2 ** 53],
  ])("of leaf %d in a tree of %d does not exist", async (index, size) => {
    await expect(inclusionPath(tiles, index, size)).rejects.toMatchObject(BAD_RANGE);
  });
});

describe("a consistency path", () => {
  it("leads from every size to every later one, up to 40 and around tiles", async () => {
    const around = [127, 128, 129, 254, 255, 256, 257, 258, 383, 384, 385, 510, 511, 512, 513, 514, 599, 600];
    const sizes = [...Array.from({ length: 40 }, (_, i) => i + 1), ...around];
    for (const second of sizes) {
      for (const first of sizes.filter((each) => each <= second)) {
        const path = await consistencyPath(tiles, first, second);
        const roots: [Uint8Array, Uint8Array] = [naive.root(0, first), naive.root(0, second)];
        if (!provesConsistency(first, second, path, roots)) expect.fail(`${first} to ${second}`);
        if (first === second) expect(path).toEqual([]);
      }
    }
  });

  it("proves nothing once a bit of it has changed, or between other sizes", async () => {
    const places = fc.record({ second: fc.integer({ min: 3, max: 600 }), at: fc.nat(), bit: fc.nat() });
    await fc.assert(
      fc.asyncProperty(places, async ({ second, at, bit }) => {
        const first = 1 + (at % (second - 1));
        const path = await consistencyPath(tiles, first, second);
        const roots: [Uint8Array, Uint8Array] = [naive.root(0, first), naive.root(0, second)];
        expect(provesConsistency(first, second, path, roots)).toBe(true);
        expect(provesConsistency(first, second, flipped(path, bit), roots)).toBe(false);
        expect(provesConsistency(first, second, path.slice(1), roots)).toBe(false);
        expect(provesConsistency(first, second, path, [naive.root(0, first + 1), roots[1]])).toBe(false);
        expect(provesConsistency(first, second, path, [roots[0], naive.root(0, second - 1)])).toBe(false);
      }),
    );
  });

  it.each([
    [0, 5],
    [0, 0],
    [6, 5],
    [-1, 5],
    [1.5, 5],
    [1, 5.5],
    [Number.NaN, 5],
    [1, Number.NaN],
    [1, 2 ** 53],
  ])("from %d to %d does not exist", async (first, second) => {
    await expect(consistencyPath(tiles, first, second)).rejects.toMatchObject(BAD_RANGE);
  });
});

it("a proof reads each tile once, and two of a level at most", async () => {
  const many = leavesOf(70_000);
  const large = new MemoryTiles();
  await large.grow(many);
  const tree = new NaiveTree(many);
  const root = tree.root(0, 70_000);
  for (const index of [0, 255, 256, 65_535, 65_536, 69_887, 69_999]) {
    large.asked.length = 0;
    const path = await inclusionPath(large, index, 70_000);
    expect(provesInclusion(many[index]!, index, 70_000, path, root)).toBe(true);
    expect(new Set(large.asked).size).toBe(large.asked.length);
    expect(large.asked.length).toBeLessThanOrEqual(5);
  }
  for (const old of [1, 256, 65_536, 69_999]) {
    const path = await consistencyPath(large, old, 70_000);
    expect(provesConsistency(old, 70_000, path, [tree.root(0, old), root])).toBe(true);
  }
});

it("a proof beyond what is stored is refused as a fork, not answered", async () => {
  const short = new MemoryTiles();
  await short.grow(leaves.slice(0, 300));
  await expect(inclusionPath(short, 0, 301)).rejects.toMatchObject({ code: "EVIDENCE_FORKED" });
  await expect(consistencyPath(short, 300, 600)).rejects.toMatchObject({ code: "EVIDENCE_FORKED" });
});

describe("the text of a proof", () => {
  const note = "example.org/log\n2\nroot\n\n— example.org/log AAAA\n";
  const extra = Buffer.from('{"v":1}');

  it("is c2sp.org/tlog-proof@v1, the checkpoint to the letter", () => {
    const path = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(255)];
    expect(tlogProof({ index: 1, extra, path, note })).toBe(
      [
        "c2sp.org/tlog-proof@v1",
        "extra eyJ2IjoxfQ==",
        "index 1",
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "//////////////////////////////////////////8=",
        "",
        note,
      ].join("\n"),
    );
  });

  it("of a tree of one leaf has no hashes", () => {
    expect(tlogProof({ index: 0, extra, path: [], note })).toBe(
      `c2sp.org/tlog-proof@v1\nextra eyJ2IjoxfQ==\nindex 0\n\n${note}`,
    );
  });
});
