import { createPublicKey, sign } from "node:crypto";
import { GantryError } from "../../kernel/errors.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import type { Random } from "../../kernel/random.ts";
import type { Agreements, PrivateFiles } from "../../storage/contract.ts";
import { errors } from "../contract.ts";
import { createKey, parsePrivateKey } from "../log/private_key.ts";

/** Signs statements about runs, and nothing else: one key for two formats could be led to sign one as the other. */
export const STATEMENT_KEY_FILE = "keys/statement-ed25519.pem";
const AGREEMENT = "evidence.statement_key";

export interface StatementKey {
  /** SHA-256 of the public key as DER (SubjectPublicKeyInfo), hex. A hint for whoever has several keys. */
  keyid: string;
  /** SubjectPublicKeyInfo in PEM. */
  public_key: string;
  /** Ed25519, 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

/**
 * The key that signs statements; made at first use. All nodes of a database sign with the same.
 * @throws EVIDENCE_KEY  it is no Ed25519 key, or not the one that earlier statements were signed with.
 */
export async function openStatementKey(
  agreements: Agreements,
  files: PrivateFiles,
  random: Random,
): Promise<StatementKey> {
  const agreed = await agreements.find(AGREEMENT);
  const kept = await files.read(STATEMENT_KEY_FILE);
  if (kept === undefined && agreed !== undefined) throw foreign("is missing, and is not made anew, because it must be");
  const key = keyOf(
    kept === undefined ? await createKey(files, STATEMENT_KEY_FILE, random) : Buffer.from(kept).toString("utf8"),
  );
  if ((await agreements.agree(AGREEMENT, key.keyid)) !== key.keyid) throw foreign("is not");
  return key;
}

function keyOf(pem: string): StatementKey {
  const key = parsePrivateKey(STATEMENT_KEY_FILE, pem);
  const spki = createPublicKey(key);
  return {
    keyid: sha256Hex(spki.export({ format: "der", type: "spki" })),
    public_key: spki.export({ format: "pem", type: "spki" }).toString(),
    sign: (message) => sign(null, message, key),
  };
}

/** @param how  what the file is, before "the key". */
function foreign(how: string): GantryError {
  return new GantryError(errors.KEY, {
    detail:
      `${STATEMENT_KEY_FILE} ${how} the key that this database's statements were signed with. Copy the folder keys ` +
      "from the data directory of another node of this database, or from its backup.",
  });
}
