import { assert } from "../../kernel/assert.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Storage } from "../../storage/contract.ts";
import { type Checkpoint, errors, type LogKey, type LogReader, SEAL_EVERY_MS, type TileReader } from "../contract.ts";
import { parseCheckpoint } from "./note.ts";
import {
  type CheckpointRow,
  selectBodies,
  selectCheckpoint,
  selectIndex,
  selectNewestCheckpoint,
  selectSigningKeys,
  storedTiles,
} from "./store.ts";

/** The sealed log as it is stored: what is committed is released. */
export class StoredLog implements LogReader {
  readonly tiles: TileReader;
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.tiles = storedTiles(storage);
  }

  async checkpoint(): Promise<Checkpoint> {
    const row = await selectNewestCheckpoint(this.#storage);
    if (row !== undefined) return checkpointOf(row);
    throw new GantryError(errors.NOT_SEALED, {
      detail: "Nothing is in the signed log yet.",
      retry_after_ms: SEAL_EVERY_MS,
    });
  }

  async checkpointAt(size: number): Promise<Checkpoint | undefined> {
    const row = await selectCheckpoint(this.#storage, size);
    return row === undefined ? undefined : checkpointOf(row);
  }

  async keys(): Promise<LogKey[]> {
    return selectSigningKeys(this.#storage);
  }

  async bodies(from: number, to: number): Promise<Uint8Array[]> {
    assert(Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 0, "indices are whole numbers");
    return from >= to ? [] : selectBodies(this.#storage, from, to);
  }

  async indexOf(id: string, tenant: TenantId): Promise<number | undefined> {
    const index = await selectIndex(this.#storage, id, tenant);
    if (index === undefined) throw new GantryError(errors.UNKNOWN, { detail: "No entry of this tenant has this id." });
    return index ?? undefined;
  }
}

function checkpointOf(row: CheckpointRow): Checkpoint {
  const said = parseCheckpoint(row.note);
  assert(said !== undefined && said.size === row.size, "a checkpoint's row says what its note says");
  return { ...row, origin: said.origin };
}
