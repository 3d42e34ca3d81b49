import { type Clock, within } from "../../kernel/clock.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Random } from "../../kernel/random.ts";
import type { PrivateFiles, Storage } from "../../storage/contract.ts";
import type { CheckpointSink } from "../contract.ts";
import { readLatest, seenBy } from "./history.ts";
import { firstKey, readPublicKeys, signerOf } from "./key.ts";
import { LogKeyring } from "./keyring.ts";
import { type NoteKey, parseVkey } from "./note.ts";
import type { Seen } from "./sealing.ts";
import { insertLog, type KeyRows, selectKeys, selectLog } from "./store.ts";
import { EMPTY_ROOT } from "./tree.ts";

const NAME_BYTES = 8;

export interface OpeningParts {
  storage: Storage;
  files: PrivateFiles;
  clock: Clock;
  random: Random;
  log: Logger;
  /** What a new log is called, a valid name of a note's key; a random name otherwise. */
  origin?: string | undefined;
}

export interface OpenedLog {
  origin: string;
  keyring: LogKeyring;
  /** What the data directory remembers of what was released. */
  seen: Seen[];
  /** All keys of the log that this directory or the database knows. */
  known: NoteKey[];
}

/**
 * The log of the database, which is made if there is none, with the keys of this directory.
 * @throws EVIDENCE_KEY EVIDENCE_KEY_MODE
 */
export async function openLog(parts: OpeningParts): Promise<OpenedLog> {
  const { files, log } = parts;
  const { origin, rows } = (await find(parts)) ?? (await begin(parts));
  const names = rows.keys.flatMap(({ vkey }) => parseVkey(vkey)?.name ?? []);
  const published = await readPublicKeys(files, [origin, ...names]);
  const latest = await readLatest(files, origin, log);
  const keyring = new LogKeyring(files, origin, published);
  await keyring.settle(rows);
  const vkeys = new Set([...published, ...rows.keys.map(({ vkey }) => vkey)]);
  const known = [...vkeys].flatMap((vkey) => parseVkey(vkey) ?? []);
  return { origin, keyring, known, seen: latest === undefined ? [] : [latest] };
}

async function find({ storage }: OpeningParts): Promise<{ origin: string; rows: KeyRows } | undefined> {
  return storage.snapshot(async (reader) => {
    const log = await selectLog(reader);
    return log === undefined ? undefined : { origin: log.origin, rows: await selectKeys(reader) };
  });
}

/** The key is durable before the log names it. Another process may be faster: then its log is the log. */
async function begin(parts: OpeningParts): Promise<{ origin: string; rows: KeyRows }> {
  const { storage, files, random, log } = parts;
  const origin = parts.origin ?? `gantry-${Buffer.from(random.bytes(NAME_BYTES)).toString("hex")}`;
  const { vkey } = signerOf(origin, await firstKey(files, random));
  await storage.write(async (tx) => {
    if ((await selectLog(tx)) === undefined) insertLog(tx, origin, EMPTY_ROOT, vkey);
  });
  const made = await find(parts);
  if (made === undefined) throw new Error("the log was committed and is not there");
  if (made.origin === origin) log.info({ origin, vkey }, "a new log begins");
  return made;
}

/** What the witnesses remember of the log, of those that answer within `ms`. */
export async function witnessed(
  witnesses: readonly Pick<CheckpointSink, "name" | "newest">[],
  ms: number,
  { origin, known }: OpenedLog,
  { clock, log }: OpeningParts,
): Promise<Seen[]> {
  const late = new AbortController();
  const copies = witnesses.map(async (witness): Promise<Seen[]> => {
    const { name } = witness;
    try {
      const note = await within(clock, ms, witness.newest(late.signal), () => {
        throw new Error(`no answer within ${ms} ms`);
      });
      const seen = note === undefined ? undefined : seenBy(name, note, { origin, keys: known, log });
      return seen === undefined ? [] : [seen];
    } catch (error) {
      log.warn({ witness: name, error: String(error) }, "a witness could not be asked for its copy");
      return [];
    }
  });
  const seen = (await Promise.all(copies)).flat();
  late.abort();
  return seen;
}
