import { type BundleFindings, verifyBundle } from "./bundle.ts";
import {
  type Checkpoint,
  type ConsistencyProof,
  compareSaved,
  openCheckpoint,
  type Relation,
  readConsistencyAnswer,
} from "./checkpoint.ts";
import { fromUtf8 } from "./encoding.ts";
import type { PublicKey } from "./keys.ts";
import { linesOf } from "./lines.ts";
import { splitCheckpoints } from "./note.ts";
import { type Check, isProblem, type Place, unusable } from "./problem.ts";
import { type StatementFindings, verifyStatement } from "./statement.ts";
import { PROOF_HEAD, verifyProof } from "./tlog_proof.ts";

export type { Range } from "./bundle.ts";
export { CONSISTENCY_CHARS_MAX, type Relation } from "./checkpoint.ts";
export { KEY_FILE_CHARS_MAX, type PublicKey, parseKeys } from "./keys.ts";
export { type Check, isProblem, type Place, Problem } from "./problem.ts";

/** Bytes of a file that is read whole: a proof, a checkpoint, a statement, a consistency proof. */
export const WHOLE_BYTES_MAX = 4 * 1024 * 1024;

export type Format = "bundle" | "proof" | "checkpoint" | "statement";

export interface VerifyOptions {
  /** Every key that is trusted; at least one. Keys inside the material are not. */
  keys: readonly PublicKey[];
  /**
   * A checkpoint that was saved earlier or that a witness holds, as a signed note; or the end of a witness's file, which
   * has many: then the one of the same size counts, else the last.
   */
  saved?: string | undefined;
  /** What `GET /v1/evidence/consistency` answers between the two sizes, when the material does not carry the proof. */
  consistency?: string | undefined;
}

/** What a verification found, as plain JSON. Members are there as far as it came. */
export interface Report {
  /** `unusable` is no yes: it could not be judged. */
  verdict: "verified" | "bad" | "unusable";
  format?: Format;
  /** The first thing that was wrong; absent when verified. */
  problem?: { check: Check; detail: string } & Place;
  /** The log that a trusted key has signed; `root` in base64. */
  log?: { origin: string; size: number; root: string; signers: string[] };
  /** How the log stands to the saved checkpoint. */
  saved?: { size: number; relation: Relation };
  bundle?: Omit<BundleFindings, "checkpoint" | "consistency">;
  proof?: { index: number; entry: string; kind: string; at: number };
  statement?: StatementFindings;
  /** Sentences on what was not proved, although everything that was looked at is right. */
  warnings: string[];
}

/** Against the operator, only a copy of a checkpoint helps that he cannot take back. */
const NO_SAVED_CHECKPOINT =
  "No saved checkpoint was compared. A log kept only by its operator proves nothing against the operator: he could have " +
  "signed another history for somebody else. Compare with a checkpoint that you saved earlier or that a witness holds.";

/**
 * Verifies a bundle, a proof, a checkpoint or a statement; which one it is, its first bytes say. Needs neither server
 * nor network. Memory does not grow with a bundle.
 * @returns never throws for what is in the material: that is a verdict. What reading it throws is passed on.
 */
export async function verify(material: AsyncIterable<Uint8Array>, options: VerifyOptions): Promise<Report> {
  const report: Report = { verdict: "verified", warnings: [] };
  try {
    if (options.keys.length === 0) throw unusable("key", "No public key was given to verify with.");
    await judge(material, options, report);
  } catch (error) {
    if (!isProblem(error)) throw error;
    report.verdict = error.verdict;
    report.problem = { check: error.check, detail: error.message, ...error.place };
    report.warnings = [];
  }
  return report;
}

async function judge(material: AsyncIterable<Uint8Array>, options: VerifyOptions, report: Report): Promise<void> {
  const lines = linesOf(material);
  const first = await lines.next();
  if (first.done === true) throw unusable("format", "The file is empty.");
  const all = followedBy(first.value, lines);
  report.format = formatOf(first.value);
  switch (report.format) {
    case "bundle": {
      const { checkpoint, consistency, ...bundle } = await verifyBundle(all, options.keys);
      report.bundle = bundle;
      settle(checkpoint, consistency === undefined ? [] : [consistency], options, report);
      return;
    }
    case "proof": {
      const { checkpoint, index, entry } = verifyProof(await whole(all), options.keys);
      report.proof = { index, entry: entry.id, kind: entry.kind, at: entry.at };
      settle(checkpoint, [], options, report);
      return;
    }
    case "statement":
      report.statement = verifyStatement(await whole(all), options.keys);
      if (options.saved !== undefined) {
        throw unusable(
          "consistency",
          "A statement carries no checkpoint: there is nothing to compare the saved one with.",
        );
      }
      report.warnings.push(
        "A statement is signed by the server alone. That its run is in the log, a bundle of the run's entries shows.",
      );
      return;
    case "checkpoint":
      settle(openCheckpoint(await whole(all), options.keys), [], options, report);
  }
}

function settle(now: Checkpoint, carried: ConsistencyProof[], options: VerifyOptions, report: Report): void {
  const { origin, size, root, signers } = now;
  report.log = { origin, size, root: root.toString("base64"), signers };
  if (options.saved === undefined) {
    report.warnings.push(NO_SAVED_CHECKPOINT);
    return;
  }
  const saved = openSaved(options.saved, options.keys, now);
  const proofs = options.consistency === undefined ? carried : [...carried, readConsistencyAnswer(options.consistency)];
  report.saved = { size: saved.size, relation: compareSaved(now, saved, proofs) };
}

/**
 * A copy that no trusted key has signed says nothing of the log, so that nothing can be said of both. A witness's file
 * has the copies of a log that was ended before those of its successor: those of the same name count, where there are any.
 */
function openSaved(text: string, keys: readonly PublicKey[], { origin, size }: Checkpoint): Checkpoint {
  const all = splitCheckpoints(text);
  const own = all.filter((one) => one.split("\n", 1)[0] === origin);
  const notes = own.length > 0 ? own : all;
  const note = notes.findLast((one) => one.split("\n", 2)[1] === String(size)) ?? notes.at(-1) ?? text;
  try {
    return openCheckpoint(note, keys);
  } catch (error) {
    if (!isProblem(error)) throw error;
    throw unusable(error.check, `The saved checkpoint cannot be used. ${error.message}`);
  }
}

/** A guess that costs nothing if it is wrong: each format is then judged strictly. */
function formatOf(line: Buffer): Format {
  const begin = line.toString("latin1", 0, 64);
  if (begin.startsWith(PROOF_HEAD)) return "proof";
  if (begin.startsWith('{"v":')) return "bundle";
  return begin.trimStart().startsWith("{") ? "statement" : "checkpoint";
}

async function* followedBy(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  yield first;
  yield* rest;
}

async function whole(lines: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const line of lines) {
    bytes += line.byteLength;
    if (bytes > WHOLE_BYTES_MAX) throw unusable("size", `The file has more than ${WHOLE_BYTES_MAX} bytes.`);
    parts.push(line);
  }
  return fromUtf8(Buffer.concat(parts), "The file");
}
