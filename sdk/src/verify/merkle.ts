import { HASH_BYTES, sha256 } from "./encoding.ts";

/** Hashes of one path: a tree of 2^53 leaves is that high. */
export const PATH_HASHES_MAX = 53;
/** The root of the tree without leaves (RFC 6962, 2.1): SHA-256 of nothing. */
export const EMPTY_ROOT = sha256(new Uint8Array());

/** SHA-256(0x00 ‖ body) (RFC 6962, 2.1). */
export function leafHash(body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(1 + body.byteLength);
  bytes[0] = 0x00;
  bytes.set(body, 1);
  return sha256(bytes);
}

/** SHA-256(0x01 ‖ left ‖ right) (RFC 6962, 2.1). */
function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(1 + 2 * HASH_BYTES);
  bytes[0] = 0x01;
  bytes.set(left, 1);
  bytes.set(right, 1 + HASH_BYTES);
  return sha256(bytes);
}

/** Not `>>`, which would cut an index to 32 bits. */
function half(n: number): number {
  return Math.floor(n / 2);
}

function isOdd(n: number): boolean {
  return n % 2 === 1;
}

function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}

/** A node on the way from a leaf to the root. */
interface Step {
  /** Its index in its level. */
  node: number;
  /** The index of the level's last node; 0 at the root. */
  last: number;
  hash: Buffer;
}

/** One hash of a path taken (RFC 9162, 2.1.3.2, step 4); undefined above the root. */
function rise({ node, last, hash }: Step, sibling: Uint8Array): Step | undefined {
  if (last === 0) return undefined;
  let [above, end] = [node, last];
  const on_right = isOdd(node) || node === last;
  // A node without right sibling rises until it is one.
  while (on_right && !isOdd(above) && above !== 0) {
    above = half(above);
    end = half(end);
  }
  return { node: half(above), last: half(end), hash: on_right ? nodeHash(sibling, hash) : nodeHash(hash, sibling) };
}

/**
 * Judges paths from leaves to the root of one tree: RFC 9162, 2.1.3.2, which is written without the generator's
 * recursion. Neighbours share most of their way, so it remembers the last path that led to the root: where the next
 * one comes to the same node with the same hash and goes on by the same siblings, the rest was computed already.
 */
export class Paths {
  readonly #size: number;
  readonly #root: Buffer;
  /** The last way to the root, and the siblings that it took; `#way[n]` is where it stood after `n + 1` of them. */
  #way: Step[] = [];
  #siblings: readonly Buffer[] = [];

  constructor({ size, root }: Head) {
    this.#size = size;
    this.#root = root;
  }

  /** @param path  from the leaf's sibling up, 32 bytes each. */
  leadsFrom(leaf: Buffer, index: number, path: readonly Buffer[]): boolean {
    if (!isCount(index) || index >= this.#size || path.length > PATH_HASHES_MAX) return false;
    const way: Step[] = [];
    let step: Step | undefined = { node: index, last: this.#size - 1, hash: leaf };
    for (const sibling of path) {
      step = rise(step, sibling);
      if (step === undefined) return false;
      way.push(step);
      const rest = this.#restFrom(step, path.slice(way.length));
      if (rest === undefined) continue;
      this.#remember([...way, ...rest], path);
      return true;
    }
    if (step.last !== 0 || !this.#root.equals(step.hash)) return false;
    this.#remember(way, path);
    return true;
  }

  /** How the last way went on from this node by these siblings; undefined if it did not come by. */
  #restFrom({ node, last, hash }: Step, siblings: readonly Buffer[]): Step[] | undefined {
    const at = this.#way.length - siblings.length - 1;
    const known = this.#way[at];
    if (known?.node !== node || known.last !== last || !known.hash.equals(hash)) return undefined;
    const same = siblings.every((sibling, n) => this.#siblings[at + 1 + n]?.equals(sibling));
    return same ? this.#way.slice(at + 1) : undefined;
  }

  #remember(way: Step[], siblings: readonly Buffer[]): void {
    this.#way = way;
    this.#siblings = siblings;
  }
}

/** A tree by its size and root. */
export interface Head {
  size: number;
  /** 32 bytes. */
  root: Buffer;
}

/**
 * Is `old` a prefix of `now`? RFC 9162, 2.1.4.2. No proof starts from the empty tree: everything is consistent with
 * it, so that it says nothing.
 * @param proof  RFC 6962, 2.1.2, 32 bytes each; empty for equal sizes.
 */
export function extendsTo(old: Head, now: Head, proof: readonly Uint8Array[]): boolean {
  if (!isCount(old.size) || !isCount(now.size) || old.size === 0 || old.size > now.size) return false;
  if (old.size === now.size) return proof.length === 0 && old.root.equals(now.root);
  // Two more than a path: the start, and the node that is not on it.
  if (proof.length === 0 || proof.length > PATH_HASHES_MAX + 2) return false;
  let node = old.size - 1;
  let last = now.size - 1;
  while (isOdd(node)) {
    node = half(node);
    last = half(last);
  }
  // A tree of a power of two leaves is a node of the other: the proof leaves out what is known.
  const [start, ...rest] = node === 0 ? [old.root, ...proof] : proof;
  if (start === undefined) return false;
  let old_hash = start;
  let new_hash = start;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      old_hash = nodeHash(sibling, old_hash);
      new_hash = nodeHash(sibling, new_hash);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      new_hash = nodeHash(new_hash, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 && old.root.equals(old_hash) && now.root.equals(new_hash);
}
