import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { naiveConsistency, naiveLeaf, naivePath, naiveRoot } from "../../../tests/fixtures/evidence_material.ts";
import { EMPTY_ROOT, extendsTo, leafHash, PATH_HASHES_MAX, Paths } from "./merkle.ts";

const leaves = Array.from({ length: 70 }, (_, n) => naiveLeaf(Buffer.from(`leaf ${n}`)));
const headOf = (size: number) => ({ size, root: naiveRoot(leaves.slice(0, size)) });
const flipped = (hash: Buffer, bit: number): Buffer => {
  const copy = Buffer.from(hash);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
};

describe("inclusion", () => {
  it("hashes leaves as RFC 6962 says, and the empty tree to SHA-256 of nothing", () => {
    expect(leafHash(Buffer.from("leaf 3"))).toEqual(leaves[3]);
    expect(EMPTY_ROOT.toString("hex")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  });

  it("holds for every leaf of every tree up to 70 leaves, one by one and after each other", () => {
    for (let size = 1; size <= leaves.length; size++) {
      const part = leaves.slice(0, size);
      const paths = new Paths(headOf(size));
      for (let index = 0; index < size; index++) {
        const path = naivePath(index, part);
        expect(new Paths(headOf(size)).leadsFrom(leaves[index]!, index, path), `${index} of ${size}`).toBe(true);
        expect(paths.leadsFrom(leaves[index]!, index, path), `${index} of ${size}, after others`).toBe(true);
      }
    }
  });

  it("fails for every change of one bit, one hash more, one less, another index, another size", () => {
    const size = fc.integer({ min: 2, max: leaves.length });
    fc.assert(
      fc.property(size, fc.nat(), fc.nat(), fc.nat(), fc.boolean(), (n, i, j, bit, warm) => {
        const index = i % n;
        const path = naivePath(index, leaves.slice(0, n));
        const paths = new Paths(headOf(n));
        // What is remembered of a right path must not help a wrong one.
        if (warm) expect(paths.leadsFrom(leaves[index]!, index, path)).toBe(true);
        const holds = (leaf: Buffer, at: number, hashes: Buffer[]) => paths.leadsFrom(leaf, at, hashes);
        const changed = path.with(j % path.length, flipped(path[j % path.length]!, bit % 256));
        expect(holds(leaves[index]!, index, changed)).toBe(false);
        expect(holds(flipped(leaves[index]!, bit % 256), index, path)).toBe(false);
        expect(holds(leaves[index]!, index, path.slice(1))).toBe(false);
        expect(holds(leaves[index]!, index, path.slice(0, -1))).toBe(false);
        expect(holds(leaves[index]!, index, [...path, path[0]!])).toBe(false);
        expect(holds(leaves[index]!, index, [path[0]!, ...path])).toBe(false);
        expect(holds(leaves[index]!, (index + 1) % n, path)).toBe(false);
        expect(new Paths({ ...headOf(n), size: 2 * n + 1 }).leadsFrom(leaves[index]!, index, path)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  it("is judged in any order as if each path were the first", () => {
    const order = fc.array(fc.nat({ max: 69 }), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(order, fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }), fc.nat(), (indices, spoilt, bit) => {
        const paths = new Paths(headOf(70));
        for (const [n, index] of indices.entries()) {
          const path = naivePath(index, leaves);
          const given = spoilt[n] ? path.with(bit % path.length, flipped(path[bit % path.length]!, bit % 256)) : path;
          expect(paths.leadsFrom(leaves[index]!, index, given)).toBe(!spoilt[n]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("never holds outside of the tree", () => {
    const only = headOf(1);
    expect(new Paths(only).leadsFrom(leaves[0]!, 0, [])).toBe(true);
    for (const index of [1, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(new Paths(only).leadsFrom(leaves[0]!, index, []), String(index)).toBe(false);
    }
    expect(new Paths({ size: 0, root: EMPTY_ROOT }).leadsFrom(leaves[0]!, 0, [])).toBe(false);
    expect(new Paths({ size: 0, root: leaves[0]! }).leadsFrom(leaves[0]!, 0, [])).toBe(false);
  });

  it(`takes paths of PATH_HASHES_MAX (${PATH_HASHES_MAX}) hashes and not of one more`, () => {
    // The rightmost leaf but one of the largest tree: its root is whatever its path leads to.
    const path = Array.from({ length: PATH_HASHES_MAX }, (_, n) => naiveLeaf(Buffer.from(String(n))));
    let root = leaves[0]!;
    for (const sibling of path) root = naiveNode(root, sibling);
    const size = 2 ** 53 - 1;
    expect(new Paths({ size, root }).leadsFrom(leaves[0]!, 0, path)).toBe(true);
    expect(new Paths({ size, root }).leadsFrom(leaves[0]!, 0, [...path, leaves[0]!])).toBe(false);
  });
});

/** The root of two leaves is a node over them. */
function naiveNode(left: Buffer, right: Buffer): Buffer {
  return naiveRoot([left, right]);
}

describe("consistency", () => {
  it("holds from every size to every larger one up to 70, and between no others", () => {
    for (let to = 1; to <= leaves.length; to++) {
      for (let from = 1; from <= to; from++) {
        const proof = naiveConsistency(from, leaves.slice(0, to));
        expect(extendsTo(headOf(from), headOf(to), proof), `${from} to ${to}`).toBe(true);
        if (from < to) expect(extendsTo(headOf(to), headOf(from), proof), `${to} to ${from}`).toBe(false);
      }
    }
  });

  it("fails for every change of one bit, one hash more, one less, another root", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 2, max: 70 }), fc.nat(), (i, to, bit) => {
        const from = 1 + (i % (to - 1));
        const proof = naiveConsistency(from, leaves.slice(0, to));
        const at = bit % proof.length;
        const [old, now] = [headOf(from), headOf(to)];
        expect(extendsTo(old, now, proof.with(at, flipped(proof[at]!, bit % 256)))).toBe(false);
        expect(extendsTo(old, now, proof.slice(1))).toBe(false);
        expect(extendsTo(old, now, proof.slice(0, -1))).toBe(false);
        expect(extendsTo(old, now, [...proof, proof[0]!])).toBe(false);
        expect(extendsTo({ ...old, root: flipped(old.root, bit % 256) }, now, proof)).toBe(false);
        expect(extendsTo(old, { ...now, root: flipped(now.root, bit % 256) }, proof)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  it("from the empty tree, backwards, or without a proof says nothing", () => {
    const empty = { size: 0, root: EMPTY_ROOT };
    expect(extendsTo(empty, headOf(3), [])).toBe(false);
    expect(extendsTo(empty, empty, [])).toBe(false);
    expect(extendsTo(headOf(3), headOf(4), [])).toBe(false);
    expect(extendsTo(headOf(4), headOf(4), [])).toBe(true);
    expect(extendsTo(headOf(4), headOf(4), [leaves[0]!])).toBe(false);
    expect(extendsTo(headOf(4), { ...headOf(4), root: leaves[0]! }, [])).toBe(false);
    expect(extendsTo({ ...headOf(3), size: Number.NaN }, headOf(4), [leaves[0]!])).toBe(false);
    expect(extendsTo({ ...headOf(3), size: 1.5 }, headOf(4), [leaves[0]!])).toBe(false);
  });
});
