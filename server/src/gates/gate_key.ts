import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { GantryError, hasCode } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { Random } from "../kernel/random.ts";
import { type Agreements, type PrivateFiles, errors as storage_errors } from "../storage/contract.ts";
import { gate_errors } from "./contract.ts";

/** Signs votes, and nothing else: one key for two formats could be led to sign one as the other. */
export const GATE_KEY_FILE = "keys/gate-ed25519.pem";
const AGREEMENT = "gates.key";
const SEED_BYTES = 32;
/** PKCS #8 around an Ed25519 seed (RFC 8410, 7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** What a service proof says: that Gantry saw this vote come with this token. */
export interface VoteClaims {
  approval: string;
  statement_hash: string;
  vote: "approve" | "decline";
  actor: string;
  token: string;
  /** Milliseconds UTC; `iat` is the same in seconds. */
  at: number;
}

export interface GateKey {
  /** SHA-256 of the public key as DER (SubjectPublicKeyInfo), hex. */
  kid: string;
  /** SubjectPublicKeyInfo in PEM. */
  public_key: string;
  /** Compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037), `typ: gantry-vote+jwt`. */
  prove(claims: VoteClaims): string;
  /** What a proof of this key says; undefined when it is none. */
  read(jws: string): VoteClaims | undefined;
}

/**
 * The key of service proofs; made at first use. All nodes of a database sign with the same.
 * @throws GATE_KEY  it is no Ed25519 key, or not the one that earlier votes were signed with.
 */
export async function openGateKey(agreements: Agreements, files: PrivateFiles, random: Random): Promise<GateKey> {
  const agreed = await agreements.find(AGREEMENT);
  const kept = await files.read(GATE_KEY_FILE);
  if (kept === undefined && agreed !== undefined) throw foreign("is missing, and is not made anew, because it must be");
  const key = keyOf(kept === undefined ? await createKey(files, random) : Buffer.from(kept).toString("utf8"));
  if ((await agreements.agree(AGREEMENT, key.kid)) !== key.kid) throw foreign("is not");
  return key;
}

/** Somebody may make the file between our look and our write: then theirs is the key. */
async function createKey(files: PrivateFiles, random: Random): Promise<string> {
  const der = Buffer.concat([PKCS8_PREFIX, random.bytes(SEED_BYTES)]);
  const made = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const pem = made.export({ format: "pem", type: "pkcs8" }).toString();
  try {
    await files.create(GATE_KEY_FILE, pem);
    return pem;
  } catch (error) {
    if (!hasCode(error, storage_errors.FILE_EXISTS)) throw error;
    return Buffer.from((await files.read(GATE_KEY_FILE)) ?? []).toString("utf8");
  }
}

function keyOf(pem: string): GateKey {
  const key = parse(pem);
  const spki = createPublicKey(key);
  const kid = sha256Hex(spki.export({ format: "der", type: "spki" }));
  const header = encoded({ alg: "EdDSA", typ: "gantry-vote+jwt", kid });
  return {
    kid,
    public_key: spki.export({ format: "pem", type: "spki" }).toString(),
    read(jws) {
      const [head, payload, signature, ...more] = jws.split(".");
      if (head !== header || payload === undefined || signature === undefined || more.length > 0) return undefined;
      const signed = Buffer.from(`${head}.${payload}`);
      if (!verify(null, signed, spki, Buffer.from(signature, "base64url"))) return undefined;
      return JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as VoteClaims;
    },
    prove(claims) {
      const signed = `${header}.${encoded({ ...claims, iat: Math.floor(claims.at / 1000) })}`;
      return `${signed}.${sign(null, Buffer.from(signed), key).toString("base64url")}`;
    },
  };
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function parse(pem: string): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The message of OpenSSL says nothing that helps, and the content is a secret.
  }
  if (key?.asymmetricKeyType === "ed25519") return key;
  throw new GantryError(gate_errors.KEY, {
    detail: `${GATE_KEY_FILE} is no Ed25519 private key in PEM (PKCS #8): restore it from a backup.`,
  });
}

/** @param how  what the file is, before "the key". */
function foreign(how: string): GantryError {
  return new GantryError(gate_errors.KEY, {
    detail:
      `${GATE_KEY_FILE} ${how} the key that this database's votes were signed with. Copy the folder keys ` +
      "from the data directory of another node of this database, or from its backup.",
  });
}
