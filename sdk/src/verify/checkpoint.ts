import { fromDecimal, hashFromBase64, isRecord } from "./encoding.ts";
import type { PublicKey } from "./keys.ts";
import { EMPTY_ROOT, extendsTo, type Head, PATH_HASHES_MAX } from "./merkle.ts";
import { parseNote, verifyNote } from "./note.ts";
import { bad, unusable } from "./problem.ts";

/** A size and a root that a trusted key has signed (C2SP tlog-checkpoint). */
export interface Checkpoint extends Head {
  origin: string;
  /** `<name>+<key id>` of the trusted keys that have signed it. */
  signers: string[];
}

/**
 * Reads and verifies a checkpoint: origin, size, root, and nothing more, because nobody can audit extension lines.
 * @throws Problem `unusable` when it is no checkpoint, `bad` (`signature`, `origin`, `root`) when it is a wrong one.
 */
export function openCheckpoint(note: string, keys: readonly PublicKey[]): Checkpoint {
  const parsed = parseNote(note);
  const [origin = "", size_text = "", root_text = "", end, ...more] = parsed.text.split("\n");
  const size = fromDecimal(size_text);
  const root = hashFromBase64(root_text);
  if (origin === "" || size === undefined || root === undefined || end !== "" || more.length > 0) {
    throw unusable(
      "format",
      "This is no checkpoint: an origin, a size and a root hash on a line each, then signatures.",
    );
  }
  const signers = verifyNote(parsed, keys, origin);
  // A key speaks for the log of its name alone: else one log's key could vouch for another's checkpoint.
  if (!signers.some((signer) => signer.slice(0, signer.lastIndexOf("+")) === origin)) {
    throw bad("origin", `The checkpoint is of the log ${origin}, for which none of the keys that signed it speaks.`);
  }
  if (size === 0 && !root.equals(EMPTY_ROOT))
    throw bad("root", "The log is empty, and its root is not the empty root.");
  return { origin, size, root, signers };
}

/** Shows that one tree is a prefix of another. */
export interface ConsistencyProof {
  /** The smaller size. */
  from: number;
  /** The larger size; absent: whatever carries the proof has it. */
  to?: number;
  proof: Buffer[];
}

/** Characters of an answer with a consistency proof: two checkpoints and a proof. */
export const CONSISTENCY_CHARS_MAX = 524_288;

/** @returns undefined when the value is none. */
export function readConsistency(value: unknown): ConsistencyProof | undefined {
  if (!isRecord(value) || !Array.isArray(value["proof"]) || value["proof"].length > PATH_HASHES_MAX + 2)
    return undefined;
  const { from } = value;
  const proof = value["proof"].map((one) => (typeof one === "string" ? hashFromBase64(one) : undefined));
  if (!isSize(from)) return undefined;
  const hashes = proof.filter((one) => one !== undefined);
  return hashes.length === proof.length ? { from, proof: hashes } : undefined;
}

/**
 * What `GET /v1/evidence/consistency` answers: `{from: {size}, to: {size}, proof}`. The checkpoints that it may carry
 * are not read: those that are compared were given.
 * @throws Problem `unusable`
 */
export function readConsistencyAnswer(text: string): ConsistencyProof {
  if (text.length > CONSISTENCY_CHARS_MAX) {
    throw unusable("size", `The consistency proof has more than ${CONSISTENCY_CHARS_MAX} characters.`);
  }
  const { from, to, proof } = jsonRecord(text);
  const read = isRecord(from) ? readConsistency({ from: from["size"], proof }) : undefined;
  const size = isRecord(to) ? to["size"] : undefined;
  if (read === undefined || !isSize(size)) {
    throw unusable("format", 'The consistency proof is not {"from":{"size":…},"to":{"size":…},"proof":[…]}.');
  }
  return { ...read, to: size };
}

function jsonRecord(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    // The caller says what was expected.
    return {};
  }
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** How a checkpoint stands to one that was saved before: `extends` it, is the `same`, or is `older`. */
export type Relation = "same" | "extends" | "older";

/**
 * Is this the log that was saved? Both must be of one origin and one history.
 * @param proofs  those at hand; one must lead from the smaller to the larger size.
 * @throws Problem `bad` (`origin`, `consistency`), or `unusable` (`consistency`) when no proof at hand is the one.
 */
export function compareSaved(now: Checkpoint, saved: Checkpoint, proofs: readonly ConsistencyProof[]): Relation {
  if (saved.origin !== now.origin) {
    throw bad("origin", `The saved checkpoint is of the log ${saved.origin}, and this is of ${now.origin}.`);
  }
  if (saved.size === 0) throw unusable("consistency", "The saved checkpoint is of the empty log, which fits any log.");
  if (saved.size === now.size) {
    if (saved.root.equals(now.root)) return "same";
    throw bad("consistency", `The log was forked: two roots are signed for its size ${now.size}.`);
  }
  const [small, large] = saved.size < now.size ? [saved, now] : [now, saved];
  const fitting = proofs.filter(({ from, to = now.size }) => from === small.size && to === large.size);
  if (fitting.length === 0) {
    throw unusable(
      "consistency",
      `Whether the log of size ${large.size} extends the one of size ${small.size} needs a consistency proof between the ` +
        "two, and none was given.",
    );
  }
  if (!fitting.some(({ proof }) => extendsTo(small, large, proof))) {
    throw bad(
      "consistency",
      `The proof does not show that the log of size ${large.size} extends the one of size ${small.size}.`,
    );
  }
  return saved.size < now.size ? "extends" : "older";
}
