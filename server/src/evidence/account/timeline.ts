import { GantryError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Storage } from "../../storage/contract.ts";
import {
  type ActorRef,
  ENTRIES_PAGE_MAX,
  type EntryView,
  errors,
  type LedgerReader,
  type PrivateState,
  TIMELINE_ACTORS_MAX,
  TIMELINE_ENTRIES_MAX,
} from "../contract.ts";
import { tellEntry } from "./timeline_kinds.ts";
import { selectFieldStates } from "./timeline_store.ts";
import { type Told, told } from "./told.ts";

/** Entries whose private fields are looked up at once: 32 each fit `ROWS_MAX` rows. */
const FIELDS_STEP = 30;

/** What a timeline is about: what names one id, or all that was recorded from a time on. */
export type TimelineAsk = { ref: string } | { since: number };

export interface TimelineActor extends ActorRef {
  /** As the ledger had it when the actor was created. */
  name?: string;
}

export interface TimelineLine {
  entry: EntryView;
  /** Accountable principal first; empty when Gantry itself acted. */
  chain: TimelineActor[];
  text: Told;
  details: Told[];
}

/** Something that one might look for and that is not there. */
export interface TimelineGap {
  /** Id of the entry that it concerns. */
  entry?: string;
  text: Told;
}

/** What happened, by the ledger alone: nothing is inferred, and the same ledger gives the same timeline. */
export interface Timeline {
  ask: TimelineAsk;
  tenant: TenantId;
  lines: TimelineLine[];
  gaps: TimelineGap[];
}

export interface TimelineParts {
  storage: Storage;
  ledger: LedgerReader;
  /** Default `TIMELINE_ENTRIES_MAX`. */
  entries_max?: number;
}

/** Reconstructs what happened, entry by entry, in the order of the log. */
export class Timelines {
  readonly #parts: TimelineParts;

  constructor(parts: TimelineParts) {
    this.#parts = parts;
  }

  /** @throws EVIDENCE_UNKNOWN  no entry of the tenant names this. */
  async tell(ask: TimelineAsk, tenant: TenantId): Promise<Timeline> {
    const { entries, rest } = await this.#entries(ask, tenant);
    if (entries.length === 0 && "ref" in ask) {
      throw new GantryError(errors.UNKNOWN, { detail: "No entry of this tenant names this id." });
    }
    const names = await this.#names(entries, tenant);
    const gaps: TimelineGap[] = [];
    const lines = entries.map((entry): TimelineLine => {
      const { text, details, gaps: own } = tellEntry(entry);
      gaps.push(...own.map((gap) => ({ entry: entry.id, text: gap })));
      const chain = entry.actor.map((link) => ({ ...link, ...named(names.get(link.actor)) }));
      return { entry, chain, text, details };
    });
    gaps.push(...runGaps(entries), ...(await this.#privateGaps(entries)), ...waitingGaps(entries, rest));
    return { ask, tenant, lines, gaps };
  }

  async #entries(ask: TimelineAsk, tenant: TenantId): Promise<{ entries: EntryView[]; rest: Told | undefined }> {
    const max = this.#parts.entries_max ?? TIMELINE_ENTRIES_MAX;
    const entries: EntryView[] = [];
    for (let cursor: string | undefined; ; ) {
      const limit = Math.min(ENTRIES_PAGE_MAX, max - entries.length);
      const page = await this.#parts.ledger.list({
        ...ask,
        tenant,
        limit,
        ...(cursor === undefined ? {} : { cursor }),
      });
      entries.push(...page.items);
      if (page.next === undefined) {
        const may_be_more = page.items.length === limit && page.items.at(-1)?.sealed === false;
        return {
          entries,
          rest: may_be_more ? told`More entries may wait to be sealed than are told here.` : undefined,
        };
      }
      if (entries.length >= max) {
        return {
          entries,
          rest: told`Only the first ${max} entries are told; there are more after index ${page.next}.`,
        };
      }
      cursor = page.next;
    }
  }

  /** Of the first actors that appear; the others are told by id. */
  async #names(entries: readonly EntryView[], tenant: TenantId): Promise<Map<string, string>> {
    const ids = [...new Set(entries.flatMap(({ actor }) => actor.map((link) => link.actor)))];
    const names = new Map<string, string>();
    for (const id of ids.slice(0, TIMELINE_ACTORS_MAX)) {
      const { items } = await this.#parts.ledger.list({
        tenant,
        ref: id,
        kind: "actor.created",
        limit: ENTRIES_PAGE_MAX,
      });
      // The entry names its owner too: only the one that is about this actor has its name.
      const name = items.find(({ data }) => data["actor"] === id)?.data["name"];
      if (typeof name === "string") names.set(id, name);
    }
    return names;
  }

  async #privateGaps(entries: readonly EntryView[]): Promise<TimelineGap[]> {
    const holders = entries.filter(({ commitments }) => commitments !== undefined);
    const gaps: TimelineGap[] = [];
    for (let from = 0; from < holders.length; from += FIELDS_STEP) {
      const step = holders.slice(from, from + FIELDS_STEP);
      const states = await selectFieldStates(
        this.#parts.storage,
        step.map(({ id }) => id),
      );
      for (const { id, commitments } of step) {
        for (const field of Object.keys(commitments ?? {}).sort()) {
          const state = states.find((row) => row.entry === id && row.field === field)?.state;
          gaps.push({ entry: id, text: privateGap(field, state) });
        }
      }
    }
    return gaps;
  }
}

function named(name: string | undefined): { name?: string } {
  return name === undefined ? {} : { name };
}

function privateGap(field: string, state: PrivateState | undefined): Told {
  switch (state) {
    case "kept":
      return told`The value of ${field} is private and not told; it is kept and can be opened.`;
    case "masked":
      return told`The value of ${field} is private and not told; it was masked before it was kept.`;
    case "dropped":
      return told`The value of ${field} was never kept; the entry has a commitment to it.`;
    case "erased":
      return told`The value of ${field} was erased.`;
    case undefined:
      return told`The value of ${field} is missing, although the entry has a commitment to it.`;
  }
}

/** Runs that are told in part: each admission should have an end, each end an admission. */
function runGaps(entries: readonly EntryView[]): TimelineGap[] {
  const gaps: TimelineGap[] = [];
  const runs = new Map<string, EntryView[]>();
  for (const entry of entries) {
    const { run } = entry.data;
    if (typeof run !== "string" || !/^run\.(admitted|ended)$/.test(entry.kind)) continue;
    runs.set(run, [...(runs.get(run) ?? []), entry]);
  }
  for (const [run, steps] of runs) {
    const begun = steps.filter(({ kind }) => kind === "run.admitted");
    const end = steps.find(({ kind }) => kind === "run.ended");
    for (const { id, data } of begun) {
      const later = begun.some((other) => Number(other.data["attempt"]) > Number(data["attempt"]));
      if (later)
        gaps.push({
          entry: id,
          text: told`How attempt ${Number(data["attempt"])} of run ${run} ended is not recorded; another followed.`,
        });
    }
    const last = begun.at(-1);
    if (end === undefined && last !== undefined)
      gaps.push({ entry: last.id, text: told`No end of run ${run} is recorded here.` });
    if (end !== undefined && last === undefined) {
      gaps.push({
        entry: end.id,
        text: told`No admission of run ${run} is recorded here: it got no slot, or that was before.`,
      });
    }
  }
  if (runs.size > 0) {
    gaps.push({
      text: told`Of code, inputs, results and logs of runs the ledger has hashes; what they held, it does not say.`,
    });
  }
  return gaps;
}

function waitingGaps(entries: readonly EntryView[], rest: Told | undefined): TimelineGap[] {
  const gaps: TimelineGap[] = entries
    .filter(({ sealed }) => !sealed)
    .map(({ id }) => ({ entry: id, text: told`The entry is not in the signed log yet.` }));
  return rest === undefined ? gaps : [...gaps, { text: rest }];
}
