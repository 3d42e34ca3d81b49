import type { SourceCode } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { INLINE_BYTES_MAX, RUN_LIMITS } from "../kernel/limits.ts";
import type { Storage, Tx } from "../storage/contract.ts";
import { type CodeRow, findCode, upsertCode } from "./code_store.ts";
import { CODE_KNOWN_MAX, CODE_USED_MS } from "./contract.ts";
import { decodeSource, encodeSource } from "./normalise.ts";

/** Base64 and JSON escapes make sources longer; control characters take six bytes each. */
const SOURCES_BYTES_MAX = 8 * RUN_LIMITS.code_bytes_max.max;

/** Keeps each tenant's sources once by hash. Small ones stand in their row, larger ones are blobs. */
export class CodeShelf {
  readonly #storage: Storage;
  readonly #clock: Clock;
  /** `tenant/hash` of rows that are durable, with the `last_used_at` that they have at least. */
  readonly #known = new Map<string, number>();

  constructor(storage: Storage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /**
   * What must be done in the unit that first refers to the code. The blob is durable when this resolves.
   * @returns undefined when the row is there and was used lately.
   */
  async prepare(tenant: string, hash: string, source: SourceCode): Promise<CodeRow | undefined> {
    const used = this.#known.get(`${tenant}/${hash}`);
    if (used !== undefined && this.#clock.now() - used < CODE_USED_MS) return undefined;
    const sources = encodeSource(source);
    const bytes = Buffer.byteLength(sources);
    if (bytes <= INLINE_BYTES_MAX) return { tenant, hash, sources, sources_blob: null, bytes };
    const { sha256 } = await this.#storage.blobs.put(Buffer.from(sources), { bytes_max: SOURCES_BYTES_MAX });
    return { tenant, hash, sources: null, sources_blob: sha256, bytes };
  }

  write(tx: Tx, row: CodeRow): void {
    upsertCode(tx, row, this.#clock.now());
  }

  /** To be called when the unit is durable. */
  written({ tenant, hash }: CodeRow): void {
    const key = `${tenant}/${hash}`;
    this.#known.delete(key);
    this.#known.set(key, this.#clock.now());
    if (this.#known.size <= CODE_KNOWN_MAX) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }

  /** The sources of a run that was recorded. */
  async read(tenant: string, hash: string): Promise<SourceCode> {
    const row = await findCode(this.#storage, tenant, hash);
    assert(row !== undefined, "the code of a run is kept");
    if (row.sources !== null) return decodeSource(row.sources);
    assert(row.sources_blob !== null, "kept code is in its row or in a blob");
    const content = await this.#storage.blobs.get(row.sources_blob);
    assert(content !== undefined, "a blob that a row names is kept");
    return decodeSource(Buffer.from(content).toString("utf8"));
  }
}
