import { compactVerify, decodeProtectedHeader, importJWK } from "jose";
import { GantryError } from "../kernel/errors.ts";
import type { Reader } from "../storage/contract.ts";
import { JWS_BYTES_MAX, KEYS_IMPORTED_MAX, type KeyUse, task_errors } from "./contract.ts";
import { type KeyRow, readUses, selectKey } from "./key_store.ts";

/** RFC 7515, 7.1; an Ed25519 signature has 64 bytes (RFC 8032, 5.1.6). */
const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]{86}$/;
const KID = /^key_[0-9a-z]{26}$/;
const HEADER = ["alg", "kid", "typ"];
const decoder = new TextDecoder("utf-8", { fatal: true });

/** What may be signed, and the header that says so. */
export const JWS_TYPES = {
  task: "gantry-task+jwt",
  code: "gantry-code+jwt",
} as const satisfies Record<KeyUse, string>;

/** Imported keys by their `x`: an import costs a third of a verification. Whether a key is good is read each time. */
export class PublicKeys {
  readonly #imported = new Map<string, ImportedKey>();

  /** @throws when no key has this `x`. */
  async of(x: string): Promise<ImportedKey> {
    const known = this.#imported.get(x);
    if (known !== undefined) return known;
    const imported = await importJWK({ kty: "OKP", crv: "Ed25519", x }, "EdDSA");
    if (this.#imported.size >= KEYS_IMPORTED_MAX) this.#imported.clear();
    this.#imported.set(x, imported);
    return imported;
  }

  get size(): number {
    return this.#imported.size;
  }
}
type ImportedKey = Awaited<ReturnType<typeof importJWK>>;

export interface OpenedJws {
  key: KeyRow;
  /** Signed, and not judged any further. */
  claims: unknown;
}

/**
 * Opens a compact JWS by a registered key. EdDSA over Ed25519 and nothing else: the header says `alg`, `kid` and `typ`,
 * and a key that it brings itself (`jwk`, `jku`, `x5c`, `x5u`), a `crit` or any further member is refused, so that
 * nothing in it can choose how it is judged (RFC 8725, 3.1, 3.10, 3.11).
 * @throws TASK_SIGNATURE
 */
export async function openJws(reader: Reader, keys: PublicKeys, jws: string, use: KeyUse): Promise<OpenedJws> {
  const kid = judgeHeader(jws, JWS_TYPES[use]);
  const key = await selectKey(reader, kid);
  if (key === undefined || key.state !== "active" || !readUses(key.uses_json).includes(use)) {
    throw refused(`no active key ${kid} is registered that may sign this`);
  }
  try {
    const { payload } = await compactVerify(jws, await keys.of(key.public_x), { algorithms: ["EdDSA"] });
    return { key, claims: JSON.parse(decoder.decode(payload)) };
  } catch {
    // Why is the signer's to find out: what an answer says here helps who tries.
    throw refused(`it was not made by the key ${kid} over this text`);
  }
}

/** @returns the key's id. */
function judgeHeader(jws: string, typ: string): string {
  if (jws.length > JWS_BYTES_MAX) throw refused(`it has more than ${JWS_BYTES_MAX} bytes`);
  if (!COMPACT.test(jws)) throw refused("it is not a compact JWS of three parts, the last of 64 bytes");
  const header = headerOf(jws);
  const stranger = Object.keys(header).find((name) => !HEADER.includes(name));
  if (stranger !== undefined)
    throw refused(`its header has ${JSON.stringify(stranger.slice(0, 40))}: there are ${HEADER.join(", ")}`);
  if (header["alg"] !== "EdDSA") throw refused("its algorithm is not EdDSA");
  if (header["typ"] !== typ) throw refused(`its type is not ${typ}`);
  const { kid } = header;
  if (typeof kid !== "string" || !KID.test(kid)) throw refused("its kid is not the id of a registered key, key_…");
  return kid;
}

function headerOf(jws: string): Record<string, unknown> {
  try {
    return decodeProtectedHeader(jws) as Record<string, unknown>;
  } catch {
    throw refused("its header is not JSON in base64url");
  }
}

function refused(why: string): GantryError {
  return new GantryError(task_errors.SIGNATURE, { detail: `The signature is refused: ${why}.` });
}
