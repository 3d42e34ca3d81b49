import { sha256 } from "../kernel/hash.ts";

/** What a checkpoint says, as text: nobody here has judged its signatures. */
export interface Checkpoint {
  origin: string;
  /** Entries of the log. */
  size: number;
  /** Base64. */
  root: string;
  /** Names of the keys that signed it. */
  signers: string[];
}

/** What proves that an entry is in the log, and whether its hashes lead to the root that the checkpoint names. */
export interface Inclusion {
  index: number;
  /** Base64, from the leaf's sibling up. */
  path: string[];
  /** SHA-256(00 ‖ body), hex. */
  leaf: string;
  checkpoint: Checkpoint;
  leads_to_root: boolean;
}

const NOTE = /^([^\n]+)\n(\d{1,16})\n([A-Za-z0-9+/]{43}=)\n\n((?:— [^\n]+\n?)+)$/;
const PROOF =
  /^c2sp\.org\/tlog-proof@v1\nextra ([A-Za-z0-9+/=]+)\nindex (\d{1,16})\n((?:[A-Za-z0-9+/]{43}=\n)*)\n([\s\S]+)$/;

/** Reads a signed note (C2SP tlog-checkpoint). @returns undefined when it is none. */
export function readCheckpoint(note: string): Checkpoint | undefined {
  const [, origin, size, root, signatures] = NOTE.exec(note) ?? [];
  if (origin === undefined || root === undefined || signatures === undefined) return undefined;
  const signers = [...signatures.matchAll(/^— (\S+) /gm)].map(([, name = ""]) => name);
  return { origin, size: Number(size), root, signers };
}

/**
 * Reads a `c2sp.org/tlog-proof@v1` and computes the root that its path leads to (RFC 9162, 2.1.3.2).
 * @returns undefined when it is no such proof.
 */
export function readInclusion(text: string): Inclusion | undefined {
  const [, extra, index, hashes, note] = PROOF.exec(text) ?? [];
  const checkpoint = note === undefined ? undefined : readCheckpoint(note);
  if (extra === undefined || hashes === undefined || checkpoint === undefined) return undefined;
  const path = hashes.split("\n").filter((line) => line !== "");
  const leaf = sha256(Uint8Array.of(0), Buffer.from(extra, "base64"));
  const root = rootOf(leaf, Number(index), checkpoint.size, path);
  return {
    index: Number(index),
    path,
    leaf: Buffer.from(leaf).toString("hex"),
    checkpoint,
    leads_to_root: root !== undefined && Buffer.from(root).toString("base64") === checkpoint.root,
  };
}

/** The root of a tree of `size` leaves in which `leaf` stands at `index`; undefined when the path does not fit. */
function rootOf(leaf: Uint8Array, index: number, size: number, path: readonly string[]): Uint8Array | undefined {
  if (index >= size) return undefined;
  let [at, last, hash] = [index, size - 1, leaf];
  for (const text of path) {
    if (last === 0) return undefined;
    const sibling = Buffer.from(text, "base64");
    if (at % 2 === 1 || at === last) {
      hash = sha256(Uint8Array.of(1), sibling, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
    } else {
      hash = sha256(Uint8Array.of(1), hash, sibling);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 ? hash : undefined;
}
