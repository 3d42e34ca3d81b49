import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign, verify } from "node:crypto";
import { sha256Hex } from "../kernel/hash.ts";

const SEED_BYTES = 32;
const INFO = "gantry.gate.vote.v1";
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
 * The key of service proofs: it signs votes and nothing else, because one key for two formats could be led to sign one as
 * the other. Derived (HKDF, RFC 5869) from the state key, which every node of a database has and must have: no further file
 * that a backup or a second node could lack.
 * @param state_key  32 bytes.
 */
export function gateKey(state_key: Uint8Array): GateKey {
  const seed = new Uint8Array(hkdfSync("sha256", state_key, "", INFO, SEED_BYTES));
  const der = Buffer.concat([PKCS8_PREFIX, seed]);
  return keyOf(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
}

/** Synchronous, unlike a JOSE library over WebCrypto: proofs are read inside units, which await nothing but the store. */
function keyOf(key: KeyObject): GateKey {
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
