import { GantryError } from "../../kernel/errors.ts";
import { errors, type TileReader } from "../contract.ts";

/** Hashes of a full tile: a subtree of height 8 (C2SP tlog-tiles, "Merkle Tree"). */
export const TILE_WIDTH = 256;
/** SHA-256. */
export const HASH_BYTES = 32;
/** The greatest level that a path may name (C2SP tlog-tiles); a safe integer's worth of leaves fills 7. */
export const TILE_LEVEL_MAX = 63;
/** What the length of an entry in a bundle can say: a big-endian uint16 (C2SP tlog-tiles, "Log entries"). */
export const BUNDLED_ENTRY_BYTES_MAX = 65_535;

/** One tile, or its prefix: `width` hashes of level `level`, of which this is the `n`-th tile. */
export interface TileAt {
  /** 0 holds the leaves; a hash of level L + 1 is the root of a full tile of level L. */
  level: number;
  n: number;
  /** 1 to `TILE_WIDTH`; less means a partial tile. */
  width: number;
}

/** A run of hashes within one tile: `count`, a power of two up to `TILE_WIDTH`, from the `from`-th on. */
export interface HashesAt {
  level: number;
  n: number;
  from: number;
  count: number;
}

/**
 * How wide a tile is in a tree of `size` leaves: 0 when the tree has none of it, `TILE_WIDTH` when it is full.
 * The last tile of a level has `floor(size / 256^level) mod 256` hashes (C2SP tlog-tiles, "Partial Tiles").
 */
export function tileWidth(size: number, level: number, n: number): number {
  // 256^level loses no digit: a power of two. An index times 256 may, but then it lies beyond any size.
  const hashes = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - n * TILE_WIDTH));
}

/** The tile that holds the `index`-th hash of a tile level. */
export function tileOf(level: number, index: number): { level: number; n: number; offset: number } {
  return { level, n: Math.floor(index / TILE_WIDTH), offset: index % TILE_WIDTH };
}

/**
 * Where the hashes stand whose tree is the complete subtree over the leaves `from` to `from + leaves`.
 * @param leaves  a power of two that divides `from`.
 */
export function hashesOf(from: number, leaves: number): HashesAt {
  let level = 0;
  let count = leaves;
  // A whole tile is one hash of the level above, which exists as soon as the tile is full.
  for (; count >= TILE_WIDTH; count /= TILE_WIDTH) level++;
  const { n, offset } = tileOf(level, from / TILE_WIDTH ** level);
  return { level, n, from: offset, count };
}

/** `<N>` of a tile path: groups of three digits, all but the last behind an `x`: 1234067 is `x001/x234/067`. */
export function tileIndexPath(n: number): string {
  const groups = [String(n % 1_000).padStart(3, "0")];
  for (let rest = Math.floor(n / 1_000); rest > 0; rest = Math.floor(rest / 1_000)) {
    groups.unshift(`x${String(rest % 1_000).padStart(3, "0")}`);
  }
  return groups.join("/");
}

/** `<L>/<N>[.p/<W>]`, below `tile/`. */
export function tilePath(tile: TileAt): string {
  return `${tile.level}/${bundlePath(tile)}`;
}

/** `<N>[.p/<W>]`, below `tile/entries/`: the bundle of the entries whose leaves make the tile of level 0. */
export function bundlePath({ n, width }: Pick<TileAt, "n" | "width">): string {
  return width === TILE_WIDTH ? tileIndexPath(n) : `${tileIndexPath(n)}.p/${width}`;
}

/**
 * Reads `<L>/<N>[.p/<W>]`. Each tile has one path, so any other spelling of it is refused.
 * @throws EVIDENCE_BAD_RANGE
 */
export function parseTilePath(path: string): TileAt {
  const [, level, rest] = /^(0|[1-9]\d?)\/(.{3,40})$/.exec(path) ?? [];
  const tile = rest === undefined ? undefined : indexAndWidth(rest);
  if (tile === undefined || Number(level) > TILE_LEVEL_MAX) throw badPath(path, "<L>/<N>[.p/<W>], as 0/x001/x234/067");
  return { level: Number(level), ...tile };
}

/**
 * Reads `<N>[.p/<W>]`.
 * @throws EVIDENCE_BAD_RANGE
 */
export function parseBundlePath(path: string): Omit<TileAt, "level"> {
  const bundle = indexAndWidth(path);
  if (bundle === undefined) throw badPath(path, "<N>[.p/<W>], as x001/x234/067.p/8");
  return bundle;
}

/** A safe integer needs six groups at most. */
function indexAndWidth(path: string): Omit<TileAt, "level"> | undefined {
  const [, index, partial] = /^((?:x\d{3}\/){0,5}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(path) ?? [];
  if (index === undefined) return undefined;
  const n = Number(index.replaceAll(/[x/]/g, ""));
  // A leading `x000` would be a second name of the same tile.
  if (!Number.isSafeInteger(n) || tileIndexPath(n) !== index) return undefined;
  if (partial === undefined) return { n, width: TILE_WIDTH };
  return Number(partial) < TILE_WIDTH ? { n, width: Number(partial) } : undefined;
}

function badPath(path: string, right: string): GantryError {
  const shown = JSON.stringify(path.slice(0, 60));
  return new GantryError(errors.BAD_RANGE, { detail: `${shown} is not a tile; its path would be ${right}.` });
}

/**
 * Entries as they are bundled: each behind its length, a big-endian uint16 (C2SP tlog-tiles, "Log entries").
 * @param bodies  each at most `BUNDLED_ENTRY_BYTES_MAX`.
 */
export function bundleEntries(bodies: readonly Uint8Array[]): Uint8Array {
  const bytes = bodies.reduce((sum, body) => sum + 2 + body.byteLength, 0);
  const bundle = new Uint8Array(bytes);
  const view = new DataView(bundle.buffer);
  let at = 0;
  for (const body of bodies) {
    if (body.byteLength > BUNDLED_ENTRY_BYTES_MAX) throw new RangeError("an entry does not fit a bundle");
    view.setUint16(at, body.byteLength);
    bundle.set(body, at + 2);
    at += 2 + body.byteLength;
  }
  return bundle;
}

/** Reads each tile once. For one state of the tree and a few roots of it; it holds all that it has read. */
export function readOnce(reader: TileReader): TileReader {
  const held = new Map<string, Promise<Uint8Array | undefined>>();
  return {
    tile(level, n) {
      const tile = held.get(`${level}/${n}`) ?? reader.tile(level, n);
      held.set(`${level}/${n}`, tile);
      return tile;
    },
  };
}
