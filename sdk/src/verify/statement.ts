import { verify } from "node:crypto";
import { fromBase64, fromUtf8, isRecord } from "./encoding.ts";
import type { PublicKey } from "./keys.ts";
import { bad, unusable } from "./problem.ts";

/** Signatures of one envelope. */
export const ENVELOPE_SIGNATURES_MAX = 16;
const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";
/** Things that one statement is about. */
export const STATEMENT_SUBJECTS_MAX = 1_000;

export interface StatementFindings {
  predicate_type: string;
  /** Digest names as in-toto has them: `sha256`, `gitCommit`. */
  subjects: { name: string; digest: Record<string, string> }[];
  predicate: Record<string, unknown>;
  /** How many of the given keys have signed it. */
  signatures: number;
}

/**
 * Verifies a DSSE envelope (secure-systems-lab/dsse 1.0) with an in-toto Statement v1 in it. `keyid` is a hint that
 * nobody signed, so that it is not read: every signature is tried with every key.
 * @throws Problem
 */
export function verifyStatement(text: string, keys: readonly PublicKey[]): StatementFindings {
  const { payloadType: type, payload, signatures } = parse(text, "envelope");
  const body = decoded(payload);
  if (typeof type !== "string" || body === undefined || !Array.isArray(signatures)) {
    throw unusable("format", "This is no DSSE envelope: it lacks its payload, its type or its signatures.");
  }
  if (signatures.length > ENVELOPE_SIGNATURES_MAX) {
    throw unusable("size", `The envelope has more than ${ENVELOPE_SIGNATURES_MAX} signatures.`);
  }
  const signed = signatures.map((one) => (isRecord(one) ? decoded(one["sig"]) : undefined));
  const message = preAuthenticated(type, body);
  const signers = keys.filter(({ key }) =>
    signed.some((sig) => sig?.byteLength === 64 && verify(null, message, key, sig)),
  );
  if (signers.length === 0)
    throw bad("signature", "None of the given keys has signed this statement; statements have a key of their own.");
  // Only now is the payload worth reading, and it is read from the bytes that were verified.
  if (type !== PAYLOAD_TYPE) throw unusable("statement", `The payload is not ${PAYLOAD_TYPE}.`);
  return { ...readStatement(fromUtf8(body, "The payload")), signatures: signers.length };
}

/** `DSSEv1 SP LEN(type) SP type SP LEN(body) SP body`, lengths in bytes (DSSE protocol). */
function preAuthenticated(type: string, body: Uint8Array): Buffer {
  const name = Buffer.from(type);
  return Buffer.concat([Buffer.from(`DSSEv1 ${name.byteLength} `), name, Buffer.from(` ${body.byteLength} `), body]);
}

function decoded(value: unknown): Buffer | undefined {
  return typeof value === "string" ? fromBase64(value) : undefined;
}

function parse(text: string, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch {
    // The sentence below says it.
  }
  throw unusable("format", `The ${what} is not one JSON object.`);
}

function readStatement(text: string): Omit<StatementFindings, "signatures"> {
  const { _type, subject, predicateType, predicate } = parse(text, "statement");
  if (_type !== STATEMENT_TYPE) throw unusable("statement", `The statement is not of the type ${STATEMENT_TYPE}.`);
  if (!Array.isArray(subject) || subject.length > STATEMENT_SUBJECTS_MAX) {
    throw unusable("statement", `The statement has no subjects, or more than ${STATEMENT_SUBJECTS_MAX}.`);
  }
  if (typeof predicateType !== "string" || !isRecord(predicate)) {
    throw unusable("statement", "The statement has no predicate.");
  }
  return { predicate_type: predicateType, subjects: subject.map(readSubject), predicate };
}

function readSubject(value: unknown): StatementFindings["subjects"][number] {
  const { name, digest } = isRecord(value) ? value : {};
  const digests = isRecord(digest) ? Object.entries(digest) : [];
  if (typeof name !== "string" || digests.length === 0 || digests.some(([, hex]) => typeof hex !== "string")) {
    throw unusable("statement", "A subject of the statement has no name or no digest.");
  }
  return { name, digest: digest as Record<string, string> };
}
