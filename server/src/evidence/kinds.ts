import { z } from "zod";
import type { KindSchemas } from "./contract.ts";

const place = z.int().min(0);

/** The checkpoint that covers this entry is the first that the new key signs, and the last of the old one. */
export const KEY_ROTATED = "key.rotated";
/** The log goes on under another name: the first thing that it says under it. */
export const LOG_SUCCEEDED = "log.succeeded";

const witness = {
  /** As the configuration names it, without secrets. */
  sink: z.string(),
  /** Of the newest copy that it has. */
  size: place,
  /** When the first checkpoint was made that it lacked. */
  since_at: z.int(),
};

/** A checkpoint, as an entry quotes it. */
const quoted = z.strictObject({
  origin: z.string(),
  size: place,
  /** Base64. */
  root: z.string(),
  /** The signed note itself, unless it is too long for an entry. */
  note: z.string().optional(),
});
export type QuotedCheckpoint = z.infer<typeof quoted>;

/** What the ledger says of itself. */
export const kinds = {
  /** Private values were shown: one of one entry, or those of a bundle. Recorded before anything is shown. */
  "evidence.opened": z.union([
    z.strictObject({ entry: z.string(), field: z.string() }),
    z.strictObject({
      fields: z.array(z.string()),
      /** How many entries the bundle has. */
      entries: place,
      /** Indices of the log, `to` exclusive. */
      range: z.strictObject({ from: place, to: place }).optional(),
    }),
  ]),
  /** Verifier keys as text (C2SP signed-note). */
  [KEY_ROTATED]: z.strictObject({ old: z.string(), new: z.string() }),
  /**
   * The database's log was ended at `old.size`, and has another name and key from there on. `seen` are checkpoints of the
   * old log that others held: what a larger one covers beyond `old.size` is not in this log.
   */
  [LOG_SUCCEEDED]: z.strictObject({
    old: z.strictObject({ origin: z.string(), key: z.string(), size: place, note: z.string().optional() }),
    new: z.strictObject({ origin: z.string(), key: z.string() }),
    seen: z.array(quoted.extend({ where: z.string() })),
    reason: z.string(),
    operator: z.string(),
  }),
  /** A witness has lacked a checkpoint for `SINK_LAG_ENTRY_MS`; once per outage. */
  "sink.lagged": z.strictObject(witness),
  "sink.recovered": z.strictObject(witness),
} satisfies KindSchemas;
