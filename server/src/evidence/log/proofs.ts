import { GantryError } from "../../kernel/errors.ts";
import { errors, type TileReader } from "../contract.ts";
import { type Nodes, openNodes, rangeRoot } from "./tree.ts";

/** Leaves from the first to before the last; the subtrees whose roots make up a proof. */
interface Range {
  from: number;
  to: number;
}

/**
 * Proves that the leaf is in the tree: the roots of its siblings, from its own up to the root's child
 * (RFC 6962, 2.1.1: PATH(index, D[size])). Empty in a tree of one leaf.
 * @param reader  the tiles of a tree of at least `size` leaves. At most two of each level are read.
 * @throws EVIDENCE_BAD_RANGE  the tree has no such leaf.
 * @throws EVIDENCE_FORKED  the stored tree lacks a hash that it must have.
 */
export function inclusionPath(reader: TileReader, index: number, size: number): Promise<Uint8Array[]> {
  return inclusionPathOf(openNodes(reader), index, size);
}

/** As `inclusionPath`; for many leaves of one tree, over nodes that stay open. */
export async function inclusionPathOf(nodes: Nodes, index: number, size: number): Promise<Uint8Array[]> {
  if (!isCount(size) || !isCount(index) || index >= size) {
    throw badRange(`A tree of ${size} leaves has no leaf ${index}; indices start at 0 and end before the size.`);
  }
  const siblings: Range[] = [];
  for (let { from, to }: Range = { from: 0, to: size }; to - from > 1; ) {
    const middle = from + splitOf(to - from);
    if (index < middle) {
      siblings.push({ from: middle, to });
      to = middle;
    } else {
      siblings.push({ from, to: middle });
      from = middle;
    }
  }
  return rootsOf(nodes, siblings.reverse());
}

/**
 * Proves that the tree of `size` begins with the tree of `old` leaves (RFC 6962, 2.1.2: PROOF(old, D[size])). Empty
 * when they are the same.
 * @param reader  the tiles of a tree of at least `size` leaves. Each is read once.
 * @throws EVIDENCE_BAD_RANGE  from no leaves (anything begins with nothing, so that would prove nothing), or backwards.
 * @throws EVIDENCE_FORKED  the stored tree lacks a hash that it must have.
 */
export async function consistencyPath(reader: TileReader, old: number, size: number): Promise<Uint8Array[]> {
  if (!isCount(size) || !isCount(old) || old === 0 || old > size) {
    throw badRange(`No proof leads from ${old} to ${size} leaves; the older size is at least 1 and at most the newer.`);
  }
  const roots: Range[] = [];
  let { from, to }: Range = { from: 0, to: size };
  /** SUBPROOF's flag: so far the old tree was the left edge, so that its root is known to whoever asks. */
  let known = true;
  while (old !== to) {
    const middle = from + splitOf(to - from);
    if (old <= middle) {
      roots.push({ from: middle, to });
      to = middle;
    } else {
      roots.push({ from, to: middle });
      from = middle;
      known = false;
    }
  }
  if (!known) roots.push({ from, to });
  return rootsOf(openNodes(reader), roots.reverse());
}

function rootsOf(nodes: Nodes, ranges: readonly Range[]): Promise<Uint8Array[]> {
  return Promise.all(ranges.map(({ from, to }) => rangeRoot(nodes, from, to)));
}

/** The greatest power of two below `leaves`: where RFC 6962 splits a tree. Without bit operators, which know 32 bits. */
function splitOf(leaves: number): number {
  let split = 1;
  while (split * 2 < leaves) split *= 2;
  return split;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function badRange(detail: string): GantryError {
  return new GantryError(errors.BAD_RANGE, { detail });
}
