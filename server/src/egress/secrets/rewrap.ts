import type { ActorRef, Ledger } from "../../evidence/contract.ts";
import { assert } from "../../kernel/assert.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { PrivateFiles, Storage } from "../../storage/contract.ts";
import { SECRETS_REWRAPPED_MAX, secrets_errors } from "../contract.ts";
import { readKeyFile, writeKeyFile } from "./key_file.ts";
import { KEY_BYTES, type KeyWrap, rewrapKey, secretKeys } from "./key_wrap.ts";
import { demandKeys } from "./refusals.ts";
import { countByKey, type SecretRow, selectUnwrapped, updateWrapping } from "./store.ts";

export interface RewrapParts {
  storage: Storage;
  ledger: Ledger;
  random: Random;
  files: PrivateFiles;
  /** 32 bytes. */
  state_key: Uint8Array;
}

/** Who changes the key: the human who was named, and the account of the machine. */
export interface RewrapBy {
  actor: ActorRef[];
  operator: string;
}

export interface Rewrapped {
  /** The key that wraps every secret now. */
  key: string;
  /** Those that wrapped some of them until now. */
  before: string[];
  secrets: number;
  tenants: number;
  /** A change that was broken off came to its end; no key was made. */
  resumed: boolean;
}

/**
 * Makes a new key that wraps the data keys of secrets, and wraps every one of them anew; values stay as they are sealed. On
 * a store that no server runs on. At each moment every secret opens with what is on disk: the new key is durable, beside
 * the old one, before the first secret needs it, and the old one goes when none needs it any more. What was broken off
 * is ended by the next call.
 * @param say  how many are done, of how many.
 * @throws SECRETS_NONE SECRETS_KEY_MISMATCH SECRETS_KEY_FILE; a secret that does not open is named, and nothing is lost.
 */
export async function rewrapSecrets(
  parts: RewrapParts,
  by: RewrapBy,
  say: (done: number, total: number) => void = () => {},
): Promise<Rewrapped> {
  const { storage, random, files, state_key } = parts;
  let kept = await readKeyFile(files);
  const known = secretKeys(state_key, kept);
  const counts = await countByKey(storage);
  for (const { key_id } of counts) demandKeys(known, key_id);
  const resumed = kept.length > 1 || counts.some(({ key_id }) => key_id !== known.key_id);
  if (counts.length === 0 && !resumed) {
    throw new GantryError(secrets_errors.NONE, {
      detail: "There are no secrets, so there is nothing to wrap with another key, and none was made.",
    });
  }
  if (!resumed) {
    kept = [random.bytes(KEY_BYTES), ...kept];
    await writeKeyFile(files, kept);
  }
  const keys = secretKeys(state_key, kept);
  const before = counts.filter(({ key_id }) => key_id !== keys.key_id);
  const total = before.reduce((sum, { secrets }) => sum + secrets, 0);
  const tenants = new Set<string>();
  for (let done = 0; ; ) {
    const rows = await selectUnwrapped(storage, keys.key_id, SECRETS_REWRAPPED_MAX);
    const [first] = rows;
    if (first === undefined) break;
    const batch = rows.filter(({ tenant_id }) => tenant_id === first.tenant_id);
    await rewrapBatch(parts, keys, batch, by);
    tenants.add(first.tenant_id);
    done += batch.length;
    say(done, total);
  }
  const [newest] = kept;
  assert(newest !== undefined, "secrets are wrapped with a key of their own from the first change on");
  if (kept.length > 1) await writeKeyFile(files, [newest]);
  return {
    ...{ key: keys.key_id, before: before.map(({ key_id }) => key_id) },
    ...{ secrets: total, tenants: tenants.size, resumed },
  };
}

/** Secrets of one tenant, in one unit with their entry. Expects that they are as they were read. */
async function rewrapBatch(
  { storage, ledger, random }: RewrapParts,
  keys: KeyWrap,
  rows: readonly SecretRow[],
  { actor, operator }: RewrapBy,
): Promise<void> {
  const changed = rows.map((row) => ({ row, next: rewrapped(keys, random, row) }));
  const [{ row: first } = {}] = changed;
  assert(first !== undefined, "a batch has a secret");
  await storage.write((tx) => {
    for (const { row, next } of changed) updateWrapping(tx, row, next);
    ledger.append(tx, {
      kind: "secrets.rewrapped",
      tenant: first.tenant_id,
      actor,
      refs: [],
      subjects: changed.map(({ next }) => ({ table: "egress_secrets", id: next.id, row: { ...next } })),
      data: { key: keys.key_id, secrets: rows.length, operator },
    });
  });
}

function rewrapped(keys: KeyWrap, random: Random, row: SecretRow): SecretRow {
  const { tenant_id: tenant, name, version } = row;
  try {
    return { ...row, ...rewrapKey(keys, random, { tenant, name, version }, row) };
  } catch (error) {
    throw new GantryError(secrets_errors.KEY_MISMATCH, {
      detail: `The secret ${name} of the tenant ${tenant} does not open with the key ${row.key_id} that its row names: it was changed in the database. It stays as it is. Set it anew, or remove it, on the running server, and repeat this.`,
      cause: error,
    });
  }
}
