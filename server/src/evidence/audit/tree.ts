import type { Reader } from "../../storage/contract.ts";
import { HASH_BYTES, TILE_WIDTH } from "../log/tiles.ts";
import { EMPTY_ROOT, nodeHash } from "../log/tree.ts";
import { storedTile, type TileRow } from "./store.ts";

/** Log2 of a tile's width: a subtree of this height is one hash of the level above. */
const TILE_HEIGHT = 8;

/** A stored tile that is not what the leaves make it. */
export interface TileFault {
  level: number;
  n: number;
  /** The first leaf that the wrong hash stands for. */
  from: number;
  problem: string;
}

interface Edge {
  n: number;
  width: number;
  stored: TileRow | undefined;
}

/**
 * The tree made anew from its leaves, one by one, while each stored tile is read once and compared (RFC 6962, 2.1;
 * C2SP tlog-tiles). Holds one tile of each level and the right edge, whatever the size.
 */
export class AuditTree {
  readonly #reader: Reader;
  /** Complete subtrees from the left, the largest first. */
  readonly #stack: { height: number; hash: Uint8Array }[] = [];
  readonly #edges: Edge[] = [];
  #size = 0;
  #tiles = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  get size(): number {
    return this.#size;
  }

  /** Tiles that were compared. */
  get tiles(): number {
    return this.#tiles;
  }

  /** Adds a leaf's hash, unless the stored tiles disagree with it, or with what it completes. */
  async append(leaf: Uint8Array): Promise<TileFault | undefined> {
    const from = this.#size;
    let fault = await this.#compare(0, from, leaf, from);
    let node = { height: 0, hash: leaf };
    for (let left = this.#stack.at(-1); left?.height === node.height; left = this.#stack.at(-1)) {
      this.#stack.pop();
      node = { height: node.height + 1, hash: nodeHash(left.hash, node.hash) };
      if (fault === undefined && node.height % TILE_HEIGHT === 0) {
        const leaves = 2 ** node.height;
        const place = (from + 1) / leaves - 1;
        fault = await this.#compare(node.height / TILE_HEIGHT, place, node.hash, place * leaves);
      }
    }
    this.#stack.push(node);
    this.#size = from + 1;
    return fault;
  }

  root(): Uint8Array {
    const [last, ...others] = this.#stack.toReversed();
    if (last === undefined) return EMPTY_ROOT;
    return others.reduce((right, { hash }) => nodeHash(hash, right), last.hash);
  }

  /** After the last leaf: no stored tile may be wider than the tree makes it. */
  end(): TileFault | undefined {
    for (const [level, { n, width, stored }] of this.#edges.entries()) {
      if (stored?.width === width) continue;
      const problem = `has ${stored?.width ?? 0} hashes, and the log makes ${width}`;
      return { level, n, from: this.#size, problem };
    }
    return undefined;
  }

  /** @param place  of the hash among those of its level. @param from  the first leaf under it. */
  async #compare(level: number, place: number, hash: Uint8Array, from: number): Promise<TileFault | undefined> {
    const n = Math.floor(place / TILE_WIDTH);
    const offset = place % TILE_WIDTH;
    let edge = this.#edges[level];
    if (edge?.n !== n) {
      edge = { n, width: 0, stored: await storedTile(this.#reader, level, n) };
      this.#edges[level] = edge;
      this.#tiles += 1;
    }
    edge.width = offset + 1;
    const problem = problemOf(edge.stored, offset, hash);
    return problem === undefined ? undefined : { level, n, from, problem };
  }
}

function problemOf(stored: TileRow | undefined, offset: number, hash: Uint8Array): string | undefined {
  if (stored === undefined) return "is gone";
  const { width, bytes } = stored;
  if (bytes.byteLength !== width * HASH_BYTES) return `has ${bytes.byteLength} bytes for ${width} hashes`;
  if (width > TILE_WIDTH) return `has ${width} hashes, and a tile has ${TILE_WIDTH}`;
  if (width <= offset) return `has ${width} hashes, and the log makes more`;
  const at = bytes.subarray(offset * HASH_BYTES, (offset + 1) * HASH_BYTES);
  return Buffer.compare(at, hash) === 0 ? undefined : `has another hash at ${offset}`;
}
