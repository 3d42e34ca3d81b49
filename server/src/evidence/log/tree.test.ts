import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { leavesOf, MemoryTiles, NaiveTree } from "../../../../tests/fixtures/tree.ts";
import { HASH_BYTES, TILE_WIDTH, tileWidth } from "./tiles.ts";
import { EMPTY_ROOT, growTiles, leafHash, NODES_TILES_MAX, nodeHash, openNodes, readTile, rootOf } from "./tree.ts";

const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("hex");
const leaves = leavesOf(600);
const naive = new NaiveTree(leaves);

/** The leaves and roots with which implementations of RFC 6962 are compared. */
const KNOWN_LEAVES = [
  "",
  "00",
  "10",
  "2021",
  "3031",
  "40414243",
  "5051525354555657",
  "606162636465666768696a6b6c6d6e6f",
];
const KNOWN_ROOTS = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

describe("the tree", () => {
  it("has the known roots of the known leaves", async () => {
    const tiles = new MemoryTiles();
    expect(hex(EMPTY_ROOT)).toBe(KNOWN_ROOTS[0]);
    for (const [i, leaf] of KNOWN_LEAVES.entries()) {
      const { root } = await tiles.grow([leafHash(Buffer.from(leaf, "hex"))]);
      expect(hex(root)).toBe(KNOWN_ROOTS[i + 1]);
    }
  });

  it("separates leaves from nodes", () => {
    const [left, right] = [leaves[0]!, leaves[1]!];
    expect(hex(leafHash(Buffer.concat([left, right])))).not.toBe(hex(nodeHash(left, right)));
    expect(hex(nodeHash(left, right))).toBe(hex(naive.root(0, 2)));
  });

  it("of 0 to 600 leaves has the root of the naive tree, grown one by one", async () => {
    const tiles = new MemoryTiles();
    expect(hex(await rootOf(tiles, 0))).toBe(hex(naive.root(0, 0)));
    for (const [i, leaf] of leaves.entries()) {
      expect(hex((await tiles.grow([leaf])).root)).toBe(hex(naive.root(0, i + 1)));
    }
  });

  it("of 600 leaves still has every root that it had", async () => {
    const tiles = new MemoryTiles();
    await tiles.grow(leaves);
    for (let size = 0; size <= 600; size++) expect(hex(await rootOf(tiles, size))).toBe(hex(naive.root(0, size)));
  });

  it("has the same root and the same tiles however its leaves were batched", async () => {
    const whole = new MemoryTiles();
    const { root } = await whole.grow(leaves);
    const batches = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(batches, async (sizes) => {
        const tiles = new MemoryTiles();
        for (const size of [...sizes, leaves.length]) await tiles.grow(leaves.slice(tiles.size, tiles.size + size));
        expect(hex(await rootOf(tiles, 600))).toBe(hex(root));
        expect([...tiles.held.keys()].sort()).toEqual([...whole.held.keys()].sort());
        for (const [place, bytes] of whole.held) expect(Buffer.compare(tiles.held.get(place)!, bytes)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("spans three levels of tiles", async () => {
    const many = leavesOf(70_000);
    const tiles = new MemoryTiles();
    const { root, tiles: grown } = await tiles.grow(many);
    expect(hex(root)).toBe(hex(new NaiveTree(many).root(0, many.length)));
    // The example of C2SP tlog-tiles.
    const widths = (level: number) => grown.filter((tile) => tile.level === level).map((tile) => tile.width);
    expect(widths(0)).toEqual([...Array.from({ length: 273 }, () => TILE_WIDTH), 112]);
    expect([widths(1), widths(2), widths(3)]).toEqual([[TILE_WIDTH, 17], [1], []]);
  });
});

describe("growing", () => {
  it("by nothing changes nothing", async () => {
    const tiles = new MemoryTiles();
    await tiles.grow(leaves.slice(0, 300));
    const grown = await growTiles(tiles, 300, []);
    expect(grown).toMatchObject({ size: 300, tiles: [] });
    expect(hex(grown.root)).toBe(hex(naive.root(0, 300)));
  });

  it("writes each tile that changed once, as wide as the size says", async () => {
    const tiles = new MemoryTiles();
    await tiles.grow(leaves.slice(0, 250));
    const { tiles: grown } = await tiles.grow(leaves.slice(250, 520));
    expect(grown.map(({ level, n, width }) => [level, n, width])).toEqual([
      [0, 0, TILE_WIDTH],
      [0, 1, TILE_WIDTH],
      [0, 2, 8],
      [1, 0, 2],
    ]);
    for (const { level, n, width, bytes } of grown) {
      expect(width).toBe(tileWidth(520, level, n));
      expect(bytes.byteLength).toBe(width * HASH_BYTES);
    }
  });

  it("reads the right edge alone", async () => {
    const tiles = new MemoryTiles();
    await tiles.grow(leavesOf(70_000));
    tiles.asked.length = 0;
    await tiles.grow(leaves.slice(0, 1));
    expect([...new Set(tiles.asked)].sort()).toEqual(["0/273", "1/1", "2/0"]);
  });

  it("does not trust what is stored past the size", async () => {
    const tiles = new MemoryTiles();
    await tiles.grow(leaves.slice(0, 10));
    const grown = await growTiles(tiles, 5, leaves.slice(5, 8));
    expect(hex(grown.root)).toBe(hex(naive.root(0, 8)));
    expect(grown.tiles.map(({ width }) => width)).toEqual([8]);
  });

  it("refuses an edge that is missing or too narrow", async () => {
    const tiles = new MemoryTiles();
    await tiles.grow(leaves.slice(0, 300));
    tiles.held.set("0/1", tiles.held.get("0/1")!.subarray(0, 43 * HASH_BYTES));
    const forked = { code: "EVIDENCE_FORKED", parts: { detail: expect.stringContaining("Tile 0/1") } };
    await expect(growTiles(tiles, 300, leaves.slice(300))).rejects.toMatchObject(forked);
    await expect(rootOf(tiles, 300)).rejects.toMatchObject(forked);
    tiles.held.delete("0/1");
    await expect(growTiles(tiles, 300, leaves.slice(300))).rejects.toMatchObject(forked);
    await expect(readTile(tiles, { level: 0, n: 1, width: 1 })).rejects.toMatchObject(forked);
  });

  it("refuses a leaf that is not a hash", async () => {
    await expect(growTiles(new MemoryTiles(), 0, [new Uint8Array(31)])).rejects.toThrow("32 bytes");
  });
});

describe("nodes that stay open", () => {
  it(`hold ${NODES_TILES_MAX} tiles, and read again what was used longest ago`, async () => {
    const tiles = new MemoryTiles();
    await tiles.grow(leavesOf((NODES_TILES_MAX + 1) * TILE_WIDTH));
    tiles.asked.length = 0;
    const nodes = openNodes(tiles);
    const touch = (n: number) => nodes.root(n * TILE_WIDTH, 1);
    for (let n = 0; n < NODES_TILES_MAX; n++) await touch(n);
    for (let n = 0; n < NODES_TILES_MAX; n++) await touch(n);
    expect(tiles.asked).toHaveLength(NODES_TILES_MAX);
    await touch(0);
    await touch(NODES_TILES_MAX); // drops tile 1
    await touch(0);
    expect(tiles.asked).toHaveLength(NODES_TILES_MAX + 1);
    await touch(1);
    expect(tiles.asked.slice(NODES_TILES_MAX)).toEqual([`0/${NODES_TILES_MAX}`, "0/1"]);
  });
});
