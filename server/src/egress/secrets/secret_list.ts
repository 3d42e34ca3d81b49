import type { Ledger } from "../../evidence/contract.ts";
import type { Principal } from "../../identity/contract.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Storage } from "../../storage/contract.ts";
import {
  SECRET_BYTES_MAX,
  SECRETS_PER_TENANT_MAX,
  type SecretList,
  type SecretView,
  secrets_errors,
} from "../contract.ts";
import { type KeyWrap, sealValue } from "./key_wrap.ts";
import type { LeaseBook } from "./leases.ts";
import { demandKeys, unknownSecret } from "./refusals.ts";
import {
  countByKey,
  countSecrets,
  deleteSecret,
  insertSecret,
  type SecretHead,
  type SecretRow,
  selectSecret,
  selectSecretHeads,
  updateSecret,
} from "./store.ts";

/** As contracts name secrets: one that no contract can name would be of no use. */
const NAME = /^[a-z][a-z0-9-]{0,62}$/;
/** Bytes that a header's value may not have (RFC 9110, 5.5), other than the tab. */
const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]/;
/** What a receiver takes off both ends of a header's value. */
const BLANK_END = /^[ \t]|[ \t]$/;

export interface SecretParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  random: Random;
  keys: KeyWrap;
  leases: LeaseBook;
}

/**
 * Credentials at rest. A value comes in once and is never given out again, to nobody: it leaves in a call that a lease is
 * good for, and in no other way. Whoever calls has seen to the scope.
 */
export class Secrets implements SecretList {
  readonly #parts: SecretParts;

  constructor(parts: SecretParts) {
    this.#parts = parts;
  }

  /**
   * Every secret that is kept must open with the key that is here. Before anything is served.
   * @throws SECRETS_KEY_MISMATCH
   */
  async checkKeys(): Promise<void> {
    const { storage, keys } = this.#parts;
    for (const { key_id } of await countByKey(storage)) demandKeys(keys, key_id);
  }

  async set(who: Principal, name: string, value: Uint8Array): Promise<SecretView> {
    try {
      demandName(name);
      demandValue(value);
      return await this.#set(who, name, value);
    } finally {
      value.fill(0);
    }
  }

  /** By name, without values. */
  async list(who: Principal): Promise<SecretView[]> {
    return (await selectSecretHeads(this.#parts.storage, who.tenant)).map(viewOf);
  }

  async remove(who: Principal, name: string): Promise<void> {
    const { storage, ledger, leases } = this.#parts;
    const revoked = await storage.write(async (tx) => {
      const row = await selectSecret(tx, who.tenant, name);
      if (row === undefined) throw unknownSecret(name);
      deleteSecret(tx, row.id);
      ledger.append(tx, {
        kind: "secret.removed",
        tenant: who.tenant,
        actor: who.chain.map(({ actor, kind }) => ({ actor, kind })),
        refs: [row.id],
        subjects: [{ table: "egress_secrets", id: row.id, row: null }],
        data: { secret: name, version: row.version },
      });
      return leases.revokeOfSecret(tx, who, name);
    });
    leases.tellRevoked(revoked);
  }

  #set(who: Principal, name: string, value: Uint8Array): Promise<SecretView> {
    const { storage, ledger, clock, random, keys } = this.#parts;
    const created_at = clock.now();
    return storage.write(async (tx) => {
      const before = await selectSecret(tx, who.tenant, name);
      if (before === undefined && (await countSecrets(tx, who.tenant)) >= SECRETS_PER_TENANT_MAX) {
        throw new GantryError(secrets_errors.TOO_MANY, {
          detail: `A tenant has at most ${SECRETS_PER_TENANT_MAX} secrets. Remove one that is not needed.`,
          next_steps: [{ kind: "command", text: "See which there are", command: "gantry secrets list" }],
        });
      }
      const version = (before?.version ?? 0) + 1;
      const sealed = sealValue(keys, random, { tenant: who.tenant, name, version }, value);
      const id = `${who.tenant}/${name}`;
      const row: SecretRow = { id, tenant_id: who.tenant, name, version, ...sealed, actor: who.actor, created_at };
      if (before === undefined) insertSecret(tx, row);
      else updateSecret(tx, row);
      ledger.append(tx, {
        kind: "secret.set",
        tenant: who.tenant,
        actor: who.chain.map(({ actor, kind }) => ({ actor, kind })),
        refs: [id],
        subjects: [{ table: "egress_secrets", id, row: { ...row } }],
        data: { secret: name, version },
      });
      return viewOf(row);
    });
  }
}

function demandName(name: string): void {
  if (NAME.test(name)) return;
  throw new GantryError(secrets_errors.NAME, {
    detail: "The name of a secret has 1 to 63 of a-z, 0-9 and -, and starts with a letter, as contracts name it.",
  });
}

/** Says nothing of the value but what is wrong with it. */
function demandValue(value: Uint8Array): void {
  if (value.byteLength === 0 || value.byteLength > SECRET_BYTES_MAX) {
    throw new GantryError(secrets_errors.SIZE, {
      detail: `The value of a secret has 1 to ${SECRET_BYTES_MAX} bytes; this one has ${value.byteLength}.`,
    });
  }
  // One character for each byte, and no text of the whole where none is needed.
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1");
  if (!CONTROLS.test(text) && !BLANK_END.test(text)) return;
  throw new GantryError(secrets_errors.VALUE, {
    detail:
      "The value has a line break or another control character, or a blank at its start or end. It is sent in a header, " +
      "which holds none of these; of a file, send the line without its end.",
  });
}

function viewOf({ name, version, created_at, actor }: SecretHead): SecretView {
  return { name, version, created_at, actor };
}
