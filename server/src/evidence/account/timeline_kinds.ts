import { z } from "zod";
import type { EntryView } from "../contract.ts";
import { instant, type Tell, type Telling, telling } from "./telling.ts";
import { egress_tellings } from "./telling_egress.ts";
import { gate_tellings } from "./telling_gates.ts";
import { identity_tellings } from "./telling_identity.ts";
import { run_tellings } from "./telling_runs.ts";
import { told } from "./told.ts";

const text = z.string();
const count = z.int();
const texts = z.array(text);

/** Those of every room; a test holds this against the kinds that the rooms register. */
const tellings: Record<string, Tell> = {
  ...run_tellings,
  ...identity_tellings,
  ...gate_tellings,
  ...egress_tellings,
  "key.rotated": telling(z.object({ old: text, new: text }), ({ old, new: next }) => {
    return told`The log's key was rotated, from ${old} to ${next}.`;
  }),
  "log.succeeded": telling(
    z.object({
      old: z.object({ origin: text, size: count }),
      new: z.object({ origin: text }),
      seen: z.array(z.object({ size: count })),
      reason: text,
      operator: text,
    }),
    ({ old, new: next, seen, reason, operator }) => {
      const largest = Math.max(old.size, ...seen.map(({ size }) => size));
      return told`The log ${old.origin} was ended at ${old.size} entries, of ${largest} that were seen signed, and goes on as ${next.origin}, by ${operator}: ${reason}`;
    },
  ),
  "evidence.opened": telling(
    z.union([
      z.object({ entry: text, field: text }),
      z.object({ fields: texts, entries: count, range: z.object({ from: count, to: count }).optional() }),
    ]),
    (data) => {
      if ("entry" in data) return told`The private value ${data.field} of entry ${data.entry} was shown.`;
      const { fields, entries, range } = data;
      if (range === undefined) return told`The private values ${fields} of a bundle of ${entries} entries were shown.`;
      return told`The private values ${fields} of entries ${range.from} to ${range.to - 1} of the log were shown.`;
    },
  ),
  "timer.parked": telling(z.object({ owner: text, key: text, attempts: count }), ({ owner, key, attempts }) => {
    return told`The timer ${key} of ${owner} was given up after ${attempts} attempts.`;
  }),
  "sink.lagged": telling(z.object({ sink: text, size: count, since_at: count }), ({ sink, size, since_at }) => {
    return told`The witness ${sink} lacks checkpoints since ${instant(since_at)}; it has the log to size ${size}.`;
  }),
  "sink.recovered": telling(z.object({ sink: text, size: count, since_at: count }), ({ sink, size, since_at }) => {
    return told`The witness ${sink} has caught up to size ${size}; it had lagged since ${instant(since_at)}.`;
  }),
};

/** Is the kind one that this room has words for? */
export function isTold(kind: string): boolean {
  return Object.hasOwn(tellings, kind);
}

/** What an entry says, by its own data alone. A kind that this room does not know is told by its members, by name. */
export function tellEntry({ kind, data }: Pick<EntryView, "kind" | "data">): Telling {
  const tell = Object.hasOwn(tellings, kind) ? tellings[kind] : undefined;
  return tell?.(data) ?? tellUnknown(kind, data);
}

function tellUnknown(kind: string, data: Record<string, unknown>): Telling {
  const members = Object.keys(data).sort();
  return {
    text: told`An entry of the kind ${kind} was recorded.`,
    details: members.map((name) => told`${name}: ${worded(data[name])}`),
    gaps: [],
  };
}

function worded(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
