import { CompactSign, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { canonicalJson } from "./canonical.ts";
import type { Me, PublicJwk } from "./identity_types.ts";
import type { Code, RunRequest } from "./types.ts";

/** How long a task is good for; the server takes at most this. */
const TASK_LIFE_S = 300;
const CONTRACT_DEFAULT = "scratch";
/** What the server calls the one module of `{source}`. */
const SINGLE_MODULE = "main.ts";

/** An Ed25519 key pair as JWKs (RFC 8037, 2). */
export interface KeyPair {
  public_jwk: PublicJwk;
  /** Whoever has it signs as the actor. */
  private_jwk: PublicJwk & { d: string };
}

/** Nested (RFC 8693, 4.1): outermost who acts, inside it who that acts for. */
export interface ActClaim {
  sub: string;
  act?: ActClaim;
}

/** A private key with what a task says of its signer; the content of a key file. */
export interface SigningKey {
  /** The id that the server gave the public key. */
  kid: string;
  actor: string;
  tenant: string;
  /** The audience. */
  instance: string;
  act: ActClaim;
  private_jwk: KeyPair["private_jwk"];
}

export async function generateKey(): Promise<KeyPair> {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const { x } = await exportJWK(publicKey);
  const { d } = await exportJWK(privateKey);
  if (x === undefined || d === undefined) throw new TypeError("this runtime exports no Ed25519 keys");
  const public_jwk = { kty: "OKP", crv: "Ed25519", x } as const;
  return { public_jwk, private_jwk: { ...public_jwk, d } };
}

/** What a chain of actors, principal first, is as a claim. @throws TypeError for none. */
export function actOf(actors: readonly string[]): ActClaim {
  const [principal, ...agents] = actors;
  if (principal === undefined) throw new TypeError("a chain has at least one actor");
  return agents.reduce<ActClaim>((act, sub) => ({ sub, act }), { sub: principal });
}

/** Where a task of this actor goes: the parts of a signing key that `gantry.session.me()` knows. */
export function audienceOf({
  tenant,
  instance,
}: Pick<Me, "tenant" | "instance">): Pick<SigningKey, "tenant" | "instance"> {
  return { tenant: tenant.id, instance };
}

/**
 * What the server calls this code: SHA-256 of canonical JSON `{v: 1, entry, modules}`, where each module is
 * `{text: SHA-256}` or `{bytes: SHA-256}`.
 */
export async function codeHash(code: Code): Promise<string> {
  const { entry, modules } =
    "source" in code ? { entry: SINGLE_MODULE, modules: { [SINGLE_MODULE]: code.source } } : code;
  const hashed: [string, object][] = [];
  for (const [name, source] of Object.entries(modules)) {
    const hash =
      typeof source === "string"
        ? { text: await sha256Hex(new TextEncoder().encode(source)) }
        : { bytes: await sha256Hex(bytesOf(source.base64)) };
    hashed.push([name, hash]);
  }
  return sha256Hex(new TextEncoder().encode(canonicalJson({ v: 1, entry, modules: Object.fromEntries(hashed) })));
}

/** SHA-256 of the input as JSON text, as `JSON.stringify` writes what it reads: members in the order of the request. */
export async function inputHash(input: unknown): Promise<string> {
  return sha256Hex(new TextEncoder().encode(JSON.stringify(input === undefined ? null : input)));
}

/**
 * Signs a run: exactly this code, input, contract and snapshot, once, within `life_s`. The result is the member `task`
 * of the same request, which then needs no token.
 * @param o.now_ms  milliseconds UTC, default the clock's.
 * @param o.life_s  seconds, 1-300.
 */
export async function signTask(
  key: SigningKey,
  request: Pick<RunRequest, "code" | "input" | "contract" | "snapshot">,
  o: { now_ms?: number; life_s?: number } = {},
): Promise<string> {
  const iat = Math.floor((o.now_ms ?? Date.now()) / 1_000);
  const claims = {
    iss: key.actor,
    aud: key.instance,
    iat,
    exp: iat + (o.life_s ?? TASK_LIFE_S),
    jti: crypto.randomUUID(),
    tid: key.tenant,
    act: key.act,
    contract: request.contract ?? CONTRACT_DEFAULT,
    ...(request.snapshot === undefined ? {} : { snapshot: request.snapshot }),
    code_hash: await codeHash(request.code),
    input_hash: await inputHash(request.input),
  };
  return sign(key, "gantry-task+jwt", claims);
}

/** Signs code, whatever it is run with: the member `code_signature` of a request. The signer counts as its author. */
export async function signCode(
  key: Pick<SigningKey, "kid" | "private_jwk">,
  code: Code,
  o: { now_ms?: number } = {},
): Promise<string> {
  const iat = Math.floor((o.now_ms ?? Date.now()) / 1_000);
  return sign(key, "gantry-code+jwt", { code_hash: await codeHash(code), iat });
}

/** A compact JWS (RFC 7515, 7.1), EdDSA over Ed25519 (RFC 8037, 3.1). */
async function sign(key: Pick<SigningKey, "kid" | "private_jwk">, typ: string, claims: object): Promise<string> {
  const private_key = await importJWK(key.private_jwk as JWK, "EdDSA");
  return new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: "EdDSA", typ, kid: key.kid })
    .sign(private_key);
}

async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}
