import { type EntryDraft, errors as evidence_errors, type Ledger, type PrivateField } from "../evidence/contract.ts";
import type { SourceCode } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError, isGantryError } from "../kernel/errors.ts";
import { INLINE_BYTES_MAX, RUN_LIMITS } from "../kernel/limits.ts";
import type { Fire, Storage } from "../storage/contract.ts";
import type { CodeShelf } from "./code_shelf.ts";
import { RUN_KEY_TTL_MS } from "./contract.ts";
import { insertNotice } from "./node_store.ts";
import { type Guard, insertKey, insertLog, insertRun, type LogChunk, type RunRow, updateRun } from "./store.ts";

/** Owner of the timers that end runs which wait too long; the key is the run's id. */
export const QUEUE_TIMER = "intent.queue";

export interface KeyBinding {
  key: string;
  request_hash: string;
}

/** What is recorded with a run's first row. */
export interface Creation {
  input: string;
  source: SourceCode;
  key?: KeyBinding | undefined;
  /** What was typed for it: becomes part of the run's first entry. */
  typed?: Record<string, PrivateField> | undefined;
  /** When the run ends `expired` if it still waits. */
  wait_until?: number;
}

/** What is recorded with a change of a run's row. */
export interface Change {
  guard: Guard;
  entry: EntryDraft;
  /** JSON text of the result; kept in the row or in a blob. */
  result?: string | undefined;
  chunks?: LogChunk[];
  wait_until?: number;
  /** The timer that caused it, ended in the same unit. */
  fire?: Fire;
  /** Tells the node in whose memory the run waits that its row has changed. */
  notice?: boolean;
}

/**
 * Writes runs: each method is one unit, a row together with its ledger entry, and resolves with the row as it is
 * durable. Whatever goes wrong is `EVIDENCE_UNAVAILABLE`, with the cause as its reason.
 */
export class Recorder {
  readonly #storage: Storage;
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #shelf: CodeShelf;

  constructor(storage: Storage, ledger: Ledger, clock: Clock, shelf: CodeShelf) {
    this.#storage = storage;
    this.#ledger = ledger;
    this.#clock = clock;
    this.#shelf = shelf;
  }

  /** The run's first row, with its code, its idempotency key and its entry. */
  create(row: RunRow, entry: EntryDraft, creation: Creation): Promise<RunRow> {
    if (creation.typed !== undefined) entry.private = creation.typed;
    return recorded(async () => {
      const code = await this.#shelf.prepare(row.tenant, row.code_hash, creation.source);
      const input = await this.#place(creation.input, RUN_LIMITS.input_bytes_max.max);
      const kept = await this.#storage.write((tx) => {
        const entries = [...row.entries, this.#ledger.append(tx, entry)];
        const whole: RunRow = { ...row, input: input.text, input_blob: input.blob, entries };
        insertRun(tx, whole);
        if (code !== undefined) this.#shelf.write(tx, code);
        if (creation.key !== undefined) {
          const { tenant, actor, id } = row;
          insertKey(tx, { ...creation.key, tenant, actor, run: id }, this.#clock.now(), RUN_KEY_TTL_MS);
        }
        if (creation.wait_until !== undefined) {
          this.#storage.timers.set(tx, { owner: QUEUE_TIMER, key: row.id, due_at: creation.wait_until });
        }
        return whole;
      });
      if (code !== undefined) this.#shelf.written(code);
      return kept;
    });
  }

  /** Moves a run on, if it still is what the guard says. */
  change(row: RunRow, change: Change): Promise<RunRow> {
    const { guard, entry, chunks = [], fire, wait_until, notice = false } = change;
    assert(row.state !== "ended" || row.termination !== null, "an ended run has a termination");
    return recorded(async () => {
      const result = await this.#place(change.result ?? null, RUN_LIMITS.output_bytes_max.max);
      const { timers } = this.#storage;
      return this.#storage.write((tx) => {
        for (const chunk of chunks) insertLog(tx, row.id, chunk);
        const entries = [...row.entries, this.#ledger.append(tx, entry)];
        const whole: RunRow = { ...row, result: result.text, result_blob: result.blob, entries };
        updateRun(tx, whole, guard);
        if (notice) insertNotice(tx, { run: row.id, actor: null, at: this.#clock.now() });
        if (fire !== undefined) timers.done(tx, fire);
        else if (guard.state === "queued") timers.cancel(tx, QUEUE_TIMER, row.id);
        if (wait_until !== undefined) timers.set(tx, { owner: QUEUE_TIMER, key: row.id, due_at: wait_until });
        return whole;
      });
    });
  }

  /** In the row when it is small, else in a blob that is durable before the row names it. */
  async #place(text: string | null, bytes_max: number): Promise<{ text: string | null; blob: string | null }> {
    if (text === null || Buffer.byteLength(text) <= INLINE_BYTES_MAX) return { text, blob: null };
    const { sha256 } = await this.#storage.blobs.put(Buffer.from(text), { bytes_max });
    return { text: null, blob: sha256 };
  }
}

async function recorded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw unavailable(error);
  }
}

/** Nothing may happen that cannot be recorded: whatever kept a unit from being durable, as the caller is told it. */
export function unavailable(cause: unknown): GantryError {
  if (isGantryError(cause) && cause.code === evidence_errors.UNAVAILABLE.code) return cause;
  const reasons = isGantryError(cause) ? [{ code: cause.code, detail: cause.kind.title }] : [];
  return new GantryError(evidence_errors.UNAVAILABLE, {
    detail: "The run could not be recorded, so nothing of it is released.",
    reasons,
    internal: cause instanceof Error ? cause.message : cause,
    cause,
  });
}
