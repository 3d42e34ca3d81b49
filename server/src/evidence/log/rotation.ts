import { GantryError, hasCode } from "../../kernel/errors.ts";
import type { EntryId, TenantId } from "../../kernel/ids.ts";
import type { Random } from "../../kernel/random.ts";
import { type PrivateFiles, type Storage, errors as storage_errors } from "../../storage/contract.ts";
import { type ActorRef, errors, type Ledger, SEAL_EVERY_MS } from "../contract.ts";
import { KEY_ROTATED } from "../kinds.ts";
import { NEXT_KEY_FILE, promoteNext, readKeyFiles, signerOf } from "./key.ts";
import { generateKey } from "./private_key.ts";
import type { Sealer } from "./sealer.ts";
import { announceKey, selectKeys, selectLog } from "./store.ts";

export interface RotationParts {
  storage: Storage;
  files: PrivateFiles;
  random: Random;
  ledger: Ledger;
  sealer: Pick<Sealer, "between" | "seal">;
}

export interface Rotated {
  /** Verifier keys as text (C2SP signed-note). */
  old: string;
  new: string;
  /** `key.rotated` */
  entry: EntryId;
}

/** Gives the log another key, whenever somebody who may asks for it. One rotation at a time. */
export class KeyRotation {
  readonly #parts: RotationParts;
  #is_rotating = false;

  constructor(parts: RotationParts) {
    this.#parts = parts;
  }

  /**
   * Announces a new key in the ledger. The checkpoint that covers the entry is signed by both, later ones by the new key
   * alone, and the old private key is gone then. The new one is durable before anything speaks of it, and which of the
   * two signs is committed with the checkpoint, so that a crash leaves no log without its key.
   * @param by  the entry's tenant and chain, accountable principal first.
   * @throws EVIDENCE_ROTATING EVIDENCE_KEY EVIDENCE_KEY_MODE EVIDENCE_UNAVAILABLE
   */
  async rotate(by: { tenant: TenantId; actor: ActorRef[] }): Promise<Rotated> {
    if (this.#is_rotating) throw rotating();
    this.#is_rotating = true;
    try {
      // Between two sealings: one that ends a rotation moves the very files that the next begins with.
      const rotated = await this.#parts.sealer.between(() => this.#announce(by));
      await this.#parts.sealer.seal();
      return rotated;
    } finally {
      this.#is_rotating = false;
    }
  }

  async #announce(by: { tenant: TenantId; actor: ActorRef[] }): Promise<Rotated> {
    const { storage, files, random, ledger } = this.#parts;
    const log = await selectLog(storage);
    if (log === undefined)
      throw new GantryError(errors.NOT_SEALED, { detail: "The log has not begun: it has no key." });
    const { active, announced } = await selectKeys(storage);
    if (announced !== undefined) throw rotating();
    await this.#demandOurs(log.origin, active);
    const pem = generateKey(random);
    const next = signerOf(log.origin, pem).vkey;
    // What an earlier try left there was never announced.
    await files.replace(NEXT_KEY_FILE, pem);
    try {
      const entry = await storage.write((tx) => {
        announceKey(tx, active, next);
        return ledger.append(tx, { kind: KEY_ROTATED, ...by, data: { old: active, new: next } });
      });
      return { old: active, new: next, entry };
    } catch (error) {
      if (hasCode(error, storage_errors.CONFLICT)) throw rotating();
      throw error;
    }
  }

  /** Only who has the key that signs can sign the checkpoint that ends it. */
  async #demandOurs(origin: string, active: string): Promise<void> {
    const { files } = this.#parts;
    const { current, next } = await readKeyFiles(files);
    const isActive = (pem: string | undefined) => pem !== undefined && signerOf(origin, pem).vkey === active;
    if (isActive(current)) return;
    // The last rotation could not end, because the disk was full for example: never write over the key that signs.
    if (next !== undefined && isActive(next)) return promoteNext(files, next);
    throw new GantryError(errors.KEY, {
      detail:
        "The log's key is not on this node. Rotate it on the node that seals, or copy the folder keys from there.",
    });
  }
}

function rotating(): GantryError {
  return new GantryError(errors.ROTATING, {
    detail: "A new key is announced, and no checkpoint covers it yet: rotate again after the next one.",
    retry_after_ms: SEAL_EVERY_MS,
  });
}
