import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { fromBase64, fromDecimal, hashFromBase64 } from "./encoding.ts";
import { BODY_BYTES_MAX, type Entry, notInLog, readEntry } from "./entry.ts";
import type { PublicKey } from "./keys.ts";
import { leafHash, PATH_HASHES_MAX, Paths } from "./merkle.ts";
import { placed, unusable } from "./problem.ts";

/** The first line of a proof (C2SP tlog-proof). */
export const PROOF_HEAD = "c2sp.org/tlog-proof@v1";

export interface ProofFindings {
  checkpoint: Checkpoint;
  index: number;
  entry: Entry;
}

/**
 * Verifies that one entry is in the log. The format is C2SP tlog-proof: the head, `extra` with the entry's body,
 * `index`, the path from the leaf's sibling up, an empty line, the checkpoint. The format leaves `extra` without
 * authentication; here it is the leaf, so that the path authenticates it.
 * @throws Problem
 */
export function verifyProof(text: string, keys: readonly PublicKey[]): ProofFindings {
  const end = text.indexOf("\n\n");
  if (end < 0) throw unusable("truncated", "The proof ends before its checkpoint: it was cut off.");
  const [head, extra_line = "", index_line = "", ...path_lines] = text.slice(0, end).split("\n");
  if (head !== PROOF_HEAD) throw unusable("format", `A proof begins with ${PROOF_HEAD}.`);
  const body = extra_line.startsWith("extra ") ? fromBase64(extra_line.slice("extra ".length)) : undefined;
  if (body === undefined)
    throw unusable("format", "The proof has no entry: its second line is not extra and base64.", { line: 2 });
  if (body.byteLength > BODY_BYTES_MAX) {
    throw unusable("size", `The entry has ${body.byteLength} bytes; an entry has at most ${BODY_BYTES_MAX}.`, {
      line: 2,
    });
  }
  const index = index_line.startsWith("index ") ? fromDecimal(index_line.slice("index ".length)) : undefined;
  if (index === undefined) throw unusable("format", "The proof's third line is not index and a number.", { line: 3 });
  if (path_lines.length > PATH_HASHES_MAX) {
    throw unusable("size", `The path has ${path_lines.length} hashes; a path has at most ${PATH_HASHES_MAX}.`);
  }
  const path = path_lines.map((line, at) => {
    const hash = hashFromBase64(line);
    if (hash === undefined) throw unusable("format", "A line of the path is not 32 bytes in base64.", { line: 4 + at });
    return hash;
  });
  const checkpoint = openCheckpoint(text.slice(end + 2), keys);
  if (!new Paths(checkpoint).leadsFrom(leafHash(body), index, path)) throw notInLog(body, index);
  try {
    return { checkpoint, index, entry: readEntry(body) };
  } catch (error) {
    throw placed(error, { index });
  }
}
