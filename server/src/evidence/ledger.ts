import type { Clock } from "../kernel/clock.ts";
import { hmacUnder } from "../kernel/hash.ts";
import type { EntryId, Ids, TenantId } from "../kernel/ids.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Storage, Tx } from "../storage/contract.ts";
import type {
  EntryDraft,
  EntryPage,
  EntryQuery,
  EntryView,
  KindSchemas,
  Ledger,
  LedgerGuard,
  LedgerReader,
} from "./contract.ts";
import { buildEntry, type Stamp } from "./entry.ts";
import { EntryReader } from "./ledger_reader.ts";
import { commitmentsOf, sealFields } from "./private/fields.ts";
import { insertPrivate } from "./private/store.ts";
import { insertEntry } from "./store.ts";

const SALT_BYTES = 16;

export interface EvidenceParts {
  storage: Storage;
  clock: Clock;
  random: Random;
  ids: Ids;
  metrics: Metrics;
  /** From `loadStateKey`, 32 bytes. */
  state_key: Uint8Array;
  /** The kinds of every room. */
  kinds: KindSchemas;
  /** Asked before each entry. */
  guard?: LedgerGuard | undefined;
  /** Told of each entry, before its unit commits: the sealer's bell. */
  appended?: (() => void) | undefined;
}

/** The ledger of one instance: appends inside the units of other rooms, reads by page, and lets readers follow. */
export class EvidenceLedger implements Ledger, LedgerReader {
  readonly #parts: EvidenceParts;
  readonly #reader: EntryReader;
  readonly #hmac: ReturnType<typeof hmacUnder>;

  constructor(parts: EvidenceParts) {
    this.#parts = parts;
    this.#hmac = hmacUnder(parts.state_key);
    this.#reader = new EntryReader(parts);
  }

  /**
   * Buffers the entry in the caller's unit: it exists exactly if the unit commits. The counter of appended entries
   * counts calls, so a unit that was run twice counts twice.
   * @throws EVIDENCE_BAD_ENTRY EVIDENCE_UNAVAILABLE
   */
  append(tx: Tx, draft: EntryDraft): EntryId {
    const { appended, clock, guard, ids, kinds, metrics, random } = this.#parts;
    const refusal = guard?.refusal();
    if (refusal !== undefined) throw refusal;
    const stamp: Stamp = { id: ids("ent"), at: clock.now(), salt: random.bytes(SALT_BYTES) };
    const fields = sealFields(draft, stamp.id, random);
    if (fields.length > 0) stamp.sealed = commitmentsOf(fields);
    insertEntry(tx, buildEntry(draft, stamp, kinds, this.#hmac));
    insertPrivate(tx, fields);
    appended?.();
    metrics.add("gantry_evidence_appended_total", { kind: draft.kind });
    return stamp.id;
  }

  list(query: EntryQuery): Promise<EntryPage> {
    return this.#reader.list(query);
  }

  get(id: string, tenant: TenantId): Promise<EntryView> {
    return this.#reader.get(id, tenant);
  }

  follow(query: EntryQuery, signal: AbortSignal): AsyncIterableIterator<EntryView[]> {
    return this.#reader.follow(query, signal);
  }

  /** Ends every follower, so that the listener can close. */
  close(): void {
    this.#reader.close();
  }
}
