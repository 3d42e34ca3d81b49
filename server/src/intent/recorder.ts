import { type EntryDraft, errors as evidence_errors, type Ledger, type PrivateField } from "../evidence/contract.ts";
import type { SourceCode } from "../execution/contract.ts";
import type { ActionFacts, Gates } from "../gates/contract.ts";
import type { Identity, Principal, VerifiedTask } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError, isGantryError } from "../kernel/errors.ts";
import type { ApprovalId, EntryId } from "../kernel/ids.ts";
import { INLINE_BYTES_MAX, RUN_LIMITS } from "../kernel/limits.ts";
import type { ApprovalDraft, ContractClass, PhaseWatch } from "../policy/contract.ts";
import type { Fire, Storage, Tx } from "../storage/contract.ts";
import type { CodeShelf } from "./code_shelf.ts";
import { RUN_KEY_TTL_MS } from "./contract.ts";
import type { DayLimits } from "./days.ts";
import { endedEntry, parkedEntry } from "./entries.ts";
import { insertKey } from "./key_store.ts";
import { insertLog, type LogChunk } from "./log_store.ts";
import { insertNotice } from "./node_store.ts";
import type { Outward, Passage } from "./passage.ts";
import { type Guard, insertRun, updateRun } from "./row_store.ts";
import { parkedRow, refusedRow } from "./rows.ts";
import type { RunRow } from "./store.ts";

/** Owner of the timers that end runs which wait too long; the key is the run's id. */
export const QUEUE_TIMER = "intent.queue";

/**
 * A unit that asks people, or uses up what they approved, reads a dozen rows, each a message to the writer and back. It
 * is rare, and to lose it costs a person's time: on a machine that is busy it may take longer than others.
 */
const PEOPLE_UNIT = { deadline_ms: 2_000 };

export interface KeyBinding {
  key: string;
  request_hash: string;
}

/** What is recorded with a run's first row. */
export interface Creation {
  input: string;
  source: SourceCode;
  key?: KeyBinding | undefined;
  /** The signed task that the run came with: good for this one. */
  task?: { who: Principal; task: VerifiedTask } | undefined;
  /** What was typed for it: becomes part of the run's first entry. */
  typed?: Record<string, PrivateField> | undefined;
  /** When the run ends `expired` if it still waits. */
  wait_until?: number;
  /** Of a row that starts at once. */
  warrant?: Warrant;
  /** What is left of the day's budgets is judged by these. */
  days?: DayLimits;
  /** Are there secrets that it is given leases of? */
  leased?: boolean;
  /** Of a row that starts at once. */
  outward?: Outward | undefined;
}

/**
 * Can the unit of the run's first row still refuse it? Its task may have been used, its budgets be used up, a secret be
 * removed meanwhile.
 */
export function mayBeRefused(row: RunRow, { task, leased = false, days = {} }: Creation): boolean {
  const { contract, tenant, contract_effects } = days;
  const budgets = [contract, tenant, contract_effects];
  return task !== undefined || leased || row.parent !== null || budgets.some((budget) => budget !== undefined);
}

/** By what right a run gets a slot. */
export interface Warrant {
  class: ContractClass;
  /** What the run is now, to be held against what was approved; for a run that has an approval. */
  facts?: ActionFacts;
}

/** Holds whatever policy says: before a slot is taken, and again in the unit that starts the run. */
export function assertMayStart(row: RunRow, warrant: Warrant | undefined): asserts warrant is Warrant {
  assert(warrant !== undefined, "a run starts by right of its contract's class");
  assert(warrant.class !== "privileged" || row.approval !== null, "nothing privileged starts unapproved");
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
  /** Of a row that starts. */
  warrant?: Warrant;
  passage?: Passage;
}

/** What other nouns of this room put into the units of runs. */
export interface Companion {
  /** With the run's first row. @throws a refusal: nothing is written then. */
  created?(tx: Tx, row: RunRow, creation: Creation): Promise<void>;
  /** With the row that has a slot. @returns undefined: at once, as for most runs. @throws a refusal */
  admitted?(tx: Tx, row: RunRow, passage: Passage): Promise<void> | undefined;
  ended?(tx: Tx, row: RunRow, passage: Passage): void;
  /** The attempt is taken from whoever had it, in the unit that ends the run or lets it wait again. */
  lost?(tx: Tx, row: RunRow, attempt: number): Promise<void>;
}

const NO_PASSAGE: Passage = {};

export interface RecorderDeps {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  shelf: CodeShelf;
  identity: Pick<Identity, "claimTask">;
  gates: Pick<Gates, "request" | "execute" | "withdraw">;
  phases: PhaseWatch;
  companions?: Companion[];
  /** Told of each run that a human has ended against an agent, when that is durable. */
  overridden?: (row: RunRow) => void;
}

/**
 * Writes runs: each method is one unit, a row together with its ledger entry, and resolves with the row as it is
 * durable. Refusals of the rooms that take part in a unit are thrown as they are; whatever else goes wrong is
 * `EVIDENCE_UNAVAILABLE`, with the cause as its reason.
 */
export class Recorder {
  readonly #d: RecorderDeps;

  constructor(deps: RecorderDeps) {
    this.#d = deps;
  }

  /** The run's first row, with its code, its idempotency key and its entry. */
  create(row: RunRow, entry: EntryDraft, creation: Creation): Promise<RunRow> {
    return this.#first(row, creation, (_tx, whole) => {
      if (whole.state === "starting") {
        assert(whole.approval === null, "what people must approve has waited for them");
        assertMayStart(whole, creation.warrant);
      }
      return { whole, entry };
    });
  }

  /** The first row of a run that waits for people, together with what they are asked. */
  park(row: RunRow, draft: ApprovalDraft, creation: Creation): Promise<RunRow> {
    return this.#first(row, creation, async (tx, whole) => {
      const parked = parkedRow(whole, await this.#d.gates.request(tx, draft));
      return { whole: parked, entry: parkedEntry(parked, draft) };
    });
  }

  async #first(
    row: RunRow,
    creation: Creation,
    settle: (tx: Tx, whole: RunRow) => Settled | Promise<Settled>,
  ): Promise<RunRow> {
    const { storage, shelf, clock, identity } = this.#d;
    const { key, task, typed, wait_until } = creation;
    return recorded(async () => {
      const code = await shelf.prepare(row.tenant, row.code_hash, creation.source);
      const input = await this.#place(creation.input, RUN_LIMITS.input_bytes_max.max);
      const { whole: kept, durable } = await storage.write(async (tx) => {
        if (task !== undefined) await identity.claimTask(tx, task.who, task.task, row.id);
        const { whole, entry } = await settle(tx, { ...row, input: input.text, input_blob: input.blob });
        this.#append(tx, whole, typed === undefined ? entry : { ...entry, private: typed });
        insertRun(tx, whole);
        if (code !== undefined) shelf.write(tx, code);
        if (key !== undefined) {
          const { tenant, actor, id } = row;
          insertKey(tx, { ...key, tenant, actor, run: id }, clock.now(), RUN_KEY_TTL_MS);
        }
        if (wait_until !== undefined) {
          storage.timers.set(tx, { owner: QUEUE_TIMER, key: row.id, due_at: wait_until });
        }
        return { whole, durable: await this.#accompany(tx, whole, { outward: creation.outward }, creation) };
      }, PEOPLE_UNIT);
      durable?.();
      if (code !== undefined) shelf.written(code);
      return kept;
    });
  }

  /**
   * Moves a run on, if it still is what the guard says. A run that may not start after all is ended instead, in the
   * same unit: look at the state of what it resolves with.
   */
  change(row: RunRow, change: Change): Promise<RunRow> {
    return recorded(async () => {
      const result = await this.#place(change.result ?? null, RUN_LIMITS.output_bytes_max.max);
      const { whole, durable } = await this.#d.storage.write(async (tx) => {
        const refusal = row.state === "starting" ? await this.#warranted(tx, row, change.warrant) : undefined;
        if (refusal === undefined) {
          if (isGivenUp(row, change.guard)) await this.#withdraw(tx, row);
          return this.#write(tx, { ...row, result: result.text, result_blob: result.blob }, change);
        }
        const ended = refusedRow(row, this.#d.clock.now(), refusal);
        return this.#write(tx, ended, { guard: change.guard, entry: endedEntry(ended) });
      }, PEOPLE_UNIT);
      durable?.();
      if (whole.override !== null) this.#d.overridden?.(whole);
      return whole;
    });
  }

  /** The part of `change` that is in a unit already: another room decides about the run. */
  async write(tx: Tx, row: RunRow, change: Written): Promise<RunRow> {
    assert(row.state !== "starting", "a run is started by `change` alone, which asks by what right");
    return (await this.#write(tx, { ...row }, change)).whole;
  }

  /** @param row  belongs to this unit, and becomes the row as it is durable. */
  async #write(tx: Tx, row: RunRow, change: Written): Promise<{ whole: RunRow; durable: Durable }> {
    assert(row.state !== "ended" || row.termination !== null, "an ended run has a termination");
    const { guard, entry, chunks = [], fire, wait_until, notice = false, passage = NO_PASSAGE } = change;
    const { timers } = this.#d.storage;
    for (const chunk of chunks) insertLog(tx, row.id, chunk);
    this.#append(tx, row, entry);
    updateRun(tx, row, guard);
    if (notice) insertNotice(tx, { run: row.id, actor: null, override: null, at: this.#d.clock.now() });
    if (fire !== undefined) timers.done(tx, fire);
    else if (guard.state !== "starting") timers.cancel(tx, QUEUE_TIMER, row.id);
    if (wait_until !== undefined) timers.set(tx, { owner: QUEUE_TIMER, key: row.id, due_at: wait_until });
    return { whole: row, durable: await this.#accompany(tx, row, passage) };
  }

  /** Into the row itself, which belongs to the unit: each copy of its 58 columns costs 4 to 10 µs (Node 20.20). */
  #append(tx: Tx, row: RunRow, entry: EntryDraft): void {
    row.entries = [...row.entries, this.#d.ledger.append(tx, entry)];
  }

  /**
   * The last door before guest code, whatever led here: a run with an approval uses it up in this very unit, and one
   * of a privileged contract has one.
   * @returns why the run may not start.
   */
  async #warranted(tx: Tx, row: RunRow, warrant: Warrant | undefined): Promise<GantryError | undefined> {
    assertMayStart(row, warrant);
    if (row.approval === null) return undefined;
    assert(warrant.facts !== undefined, "an approved run is held against what was approved");
    const { tenant, id: run, approval } = row;
    const asked = { tenant, run, approval: approval as ApprovalId, facts: warrant.facts };
    const answer = await this.#d.gates.execute(tx, asked);
    return answer.ok ? undefined : answer.error;
  }

  /** What people were asked for, or have approved, will not happen. */
  async #withdraw(tx: Tx, { tenant, approval, error }: RunRow): Promise<void> {
    assert(approval !== null && error !== null, "a run that is given up says why");
    await this.#d.gates.withdraw(tx, { tenant, approval: approval as ApprovalId, code: error.code });
  }

  /** @param first  of the run's first row. */
  async #accompany(tx: Tx, row: RunRow, passage: Passage, first?: Creation): Promise<Durable> {
    const { lost } = passage;
    for (const companion of this.#d.companions ?? []) {
      if (first !== undefined) await companion.created?.(tx, row, first);
      const admitting = row.state === "starting" ? companion.admitted?.(tx, row, passage) : undefined;
      if (admitting !== undefined) await admitting;
      if (row.state === "ended") companion.ended?.(tx, row, passage);
      if (lost !== undefined) await companion.lost?.(tx, row, lost);
    }
    if (row.state !== "ended") return undefined;
    const { tenant, contract: name, contract_version: version, ended_at, entries } = row;
    const entry = entries.at(-1);
    assert(entry !== undefined && ended_at !== null, "a run's end has an entry and a time");
    const contract = { name, version };
    return this.#d.phases.observe(tx, { tenant, contract, entry: entry as EntryId, at: ended_at });
  }

  /** In the row when it is small, else in a blob that is durable before the row names it. */
  async #place(text: string | null, bytes_max: number): Promise<{ text: string | null; blob: string | null }> {
    if (text === null || Buffer.byteLength(text) <= INLINE_BYTES_MAX) return { text, blob: null };
    const { sha256 } = await this.#d.storage.blobs.put(Buffer.from(text), { bytes_max });
    return { text: null, blob: sha256 };
  }
}

/** A run's first row, which belongs to the unit, and its entry. */
interface Settled {
  whole: RunRow;
  entry: EntryDraft;
}
type Written = Omit<Change, "result" | "warrant">;
/** What is to be called when the unit is durable. */
type Durable = (() => void) | undefined;

/** Does a run end that people were asked about, and that has not begun? */
function isGivenUp(row: RunRow, guard: Guard): boolean {
  return row.approval !== null && row.state === "ended" && guard.state !== "starting";
}

async function recorded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isRefusal(error) ? error : unavailable(error);
  }
}

/** Was the unit refused by a room that takes part in it, and not by what keeps it? Nothing of it was written. */
export function isRefusal(error: unknown): error is GantryError {
  return isGantryError(error) && error.kind.whose !== "gantry";
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
