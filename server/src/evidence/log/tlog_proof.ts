/** The first line of a proof (C2SP tlog-proof, "Format"). */
const HEADER = "c2sp.org/tlog-proof@v1";

/** What proves, without us, that an entry is in the log. */
export interface TlogProof {
  /** The leaf's place in the tree, from 0. */
  index: number;
  /** The leaf's bytes. C2SP calls the line opaque and unauthenticated: a verifier hashes them to the leaf first. */
  extra: Uint8Array;
  /** From the leaf's sibling up to the root's child, 32 bytes each (RFC 6962, 2.1.1). */
  path: readonly Uint8Array[];
  /** The checkpoint, a signed note with its last newline, of a tree that has the leaf. */
  note: string;
}

/**
 * `c2sp.org/tlog-proof@v1`: the header, `extra <base64>`, `index <decimal>`, a line of base64 for each hash, an empty
 * line, then the checkpoint to the letter (C2SP tlog-proof, "Format"; base64 is RFC 4648, 4, with padding).
 */
export function tlogProof(proof: TlogProof): string {
  const lines = [HEADER, `extra ${base64(proof.extra)}`, `index ${proof.index}`, ...proof.path.map(base64), ""];
  return `${lines.join("\n")}\n${proof.note}`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
