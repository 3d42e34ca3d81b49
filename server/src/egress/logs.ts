import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Storage, Tx } from "../storage/contract.ts";
import { EGRESS_LOG_MS_MAX, EGRESS_LOG_PART_BYTES_MAX, type Egress, egress_errors } from "./contract.ts";
import { deleteLog, insertLogParts, selectLogParts } from "./door/store.ts";
import { deleteEffects } from "./effects/store.ts";

/** Owner of the timers that delete logs; the key is `<subject>/<epoch>`. */
export const LOG_TIMER = "egress.log";
/** Parts of one unit: a fraction of what a unit may hold, since the ending one carries more. */
const UNIT_PARTS = 8;
/** Parts of one page. */
const PAGE_PARTS = 4;
const START = { epoch: -1, part: -1 };

/**
 * What subjects called, call by call: private, beside the ledger, which has its digest. With the log go the rows of its
 * effects, by which equal calls of later attempts are known. Build before the timers of
 * storage start: it registers the handler of its own.
 */
export function keepLogs({ storage, clock }: { storage: Storage; clock: Clock }): Egress["logs"] {
  storage.timers.on(LOG_TIMER, async (fire) => {
    const at = fire.key.lastIndexOf("/");
    const of = { subject: fire.key.slice(0, at), epoch: Number(fire.key.slice(at + 1)) };
    await storage.write((tx) => {
      deleteLog(tx, of);
      deleteEffects(tx, of.subject);
      storage.timers.done(tx, fire);
    });
  });
  return {
    async keep(of, log) {
      const parts = partsOf(log);
      const now = clock.now();
      const write = (tx: Tx, from: number, to: number): void => {
        insertLogParts(tx, of, parts.slice(from, to), from, now);
        const key = `${of.subject}/${of.epoch}`;
        storage.timers.set(tx, { owner: LOG_TIMER, key, due_at: now + EGRESS_LOG_MS_MAX });
      };
      let from = 0;
      for (; parts.length - from > UNIT_PARTS; from += UNIT_PARTS) {
        const first = from;
        await storage.write((tx) => write(tx, first, first + UNIT_PARTS));
      }
      return (tx) => {
        if (parts.length > 0) write(tx, from, parts.length);
      };
    },
    async read(of, cursor) {
      const parts = await selectLogParts(storage, of, cursor === undefined ? START : placeOf(cursor), PAGE_PARTS);
      const lines = parts.flatMap(({ log }) => log.split("\n").filter(Boolean));
      const last = parts.at(-1);
      return parts.length < PAGE_PARTS || last === undefined
        ? { lines }
        : { lines, next: `${last.epoch}.${last.part}` };
    },
  };
}

/** Whole lines, as many as fit: a line that is longer than a part is one. */
export function partsOf(log: string): string[] {
  const parts: string[] = [];
  let part = "";
  let bytes = 0;
  for (const line of log.split(/(?<=\n)/)) {
    const size = Buffer.byteLength(line);
    if (bytes > 0 && bytes + size > EGRESS_LOG_PART_BYTES_MAX) {
      parts.push(part);
      part = "";
      bytes = 0;
    }
    part += line;
    bytes += size;
  }
  if (part !== "") parts.push(part);
  return parts;
}

function placeOf(cursor: string) {
  const [, epoch, part] = /^(\d{1,9})\.(\d{1,9})$/.exec(cursor) ?? [];
  if (epoch === undefined || part === undefined) {
    throw new GantryError(egress_errors.BAD_REQUEST, {
      detail: "The cursor is none that a page of this log had as its next.",
      problems: [{ at: "cursor", text: "is not the `next` of a page" }],
    });
  }
  return { epoch: Number(epoch), part: Number(part) };
}
