import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { dirname, resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { z } from "zod";

/** How long before its end a certificate is spoken of. */
export const CERTIFICATE_WARNED_DAYS = 14;
const DAY_MS = 86_400_000;

/** Where the listener's certificate and its key are. Absolute. */
export interface TlsChoice {
  /** PEM: the certificate first, then those that lead to its authority. */
  cert: string;
  /** PEM, without a passphrase. */
  key: string;
}

/** The member `tls` of the config file. */
export const tls_member = z.strictObject({ cert: z.string().min(1), key: z.string().min(1) });

/** @param path  of the config file: names of files are relative to its directory. */
export function tlsChoice(given: z.infer<typeof tls_member> | undefined, path: string): TlsChoice | undefined {
  if (given === undefined) return undefined;
  return { cert: resolve(dirname(path), given.cert), key: resolve(dirname(path), given.key) };
}

/** A certificate and the key that fits it, as they were on the disk. */
export interface TlsPair {
  /** PEM, as it was read. */
  cert: string;
  key: string;
  /** Until when clients take it. */
  expires_at: number;
  /** The SHA-256 of the certificate, as openssl prints it. */
  fingerprint: string;
  /** What somebody should do about it, as sentences. It can be served all the same. */
  warnings: string[];
  /** What to call this server in a URL: `host` if the certificate is good for it, else the first name that it has. */
  nameFor(host: string): string;
}

/** The files of the config cannot be served. The message is a sentence that names the file. */
export class TlsFault extends Error {}

/**
 * Reads both files and looks whether they are one pair. A certificate that is out of date, or a key that others may read,
 * is served with a warning: to refuse it would turn what clients would see as a fault of the certificate into an outage.
 * @throws TlsFault
 */
export function readPair(choice: TlsChoice, now: number): TlsPair {
  const cert = textOf(choice.cert, "tls.cert");
  const key = textOf(choice.key, "tls.key");
  const certificate = certificateOf(cert, choice.cert);
  if (!certificate.checkPrivateKey(keyOf(key, choice.key))) {
    throw new TlsFault(
      `The key ${choice.key} (tls.key) does not fit the certificate ${choice.cert} (tls.cert). ` +
        "Give the key with which the certificate was requested; the certificate itself stands first in its file.",
    );
  }
  demandUsable({ cert, key }, choice);
  const expires_at = Date.parse(certificate.validTo);
  const begins_at = Date.parse(certificate.validFrom);
  return {
    cert,
    key,
    expires_at,
    fingerprint: certificate.fingerprint256,
    warnings: [...dateWarnings(choice.cert, begins_at, expires_at, now), ...modeWarnings(choice.key)],
    nameFor: (host) => nameFor(certificate, host),
  };
}

function textOf(path: string, member: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new TlsFault(`${member} cannot be read: ${(error as Error).message}.`);
  }
}

function certificateOf(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    const hint = pem.includes("PRIVATE KEY") ? " It holds a private key: cert and key may be the wrong way round." : "";
    throw new TlsFault(`${path} (tls.cert) holds no certificate in PEM.${hint}`);
  }
}

function keyOf(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const is_locked = /ENCRYPTED/.test(pem) || (error as { code?: string }).code === "ERR_MISSING_PASSPHRASE";
    throw new TlsFault(
      is_locked
        ? `${path} (tls.key) is protected by a passphrase. Give a key without one: openssl pkey -in ${path} -out plain.pem.`
        : `${path} (tls.key) holds no private key in PEM.`,
    );
  }
}

/** What OpenSSL refuses although both parts are fine by themselves, as a key that is too short. */
function demandUsable(pair: { cert: string; key: string }, choice: TlsChoice): void {
  try {
    createSecureContext(pair);
  } catch (error) {
    throw new TlsFault(`${choice.cert} and ${choice.key} cannot be used for TLS: ${(error as Error).message}.`);
  }
}

function dateWarnings(path: string, begins_at: number, expires_at: number, now: number): string[] {
  const day = (at: number) => new Date(at).toISOString();
  if (expires_at <= now) return [`The certificate ${path} EXPIRED at ${day(expires_at)}: clients refuse it. Renew it.`];
  if (begins_at > now)
    return [`The certificate ${path} is good from ${day(begins_at)} on: until then clients refuse it.`];
  const days = Math.floor((expires_at - now) / DAY_MS);
  return days < CERTIFICATE_WARNED_DAYS
    ? [`The certificate ${path} expires in ${days} days, at ${day(expires_at)}.`]
    : [];
}

function modeWarnings(path: string): string[] {
  const { mode } = statSync(path);
  if ((mode & 0o007) === 0) return [];
  return [`Every user of this machine can read the key ${path}: chmod 640 ${path}, or 600.`];
}

function nameFor(certificate: X509Certificate, host: string): string {
  const is_good = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
  if (is_good !== undefined) return host;
  const names = [...(certificate.subjectAltName ?? "").matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map(
    ([, name]) => name,
  );
  return names.find((name) => name !== undefined && !name.startsWith("*")) ?? host;
}
