import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { SINK_PROBE_MS } from "../evidence/contract.ts";
import { LATEST_FILE } from "../evidence/log/history.ts";
import { PUBLIC_KEYS_FILE } from "../evidence/log/key.ts";
import { openNote, parseCheckpoint, parseVkey } from "../evidence/log/note.ts";
import { selectNewestCheckpoint } from "../evidence/log/store.ts";
import { type Clock, within } from "../kernel/clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import { openNetwork } from "../network.ts";
import { MIGRATIONS } from "../schema.ts";
import { isErrno } from "../storage/adapters/files.ts";
import { readPostgres, readSqliteOfAnyVersion } from "../storage/adapters/read_only.ts";
import { openSinks } from "../witness_choice.ts";
import { DATABASE_FILE } from "./opening.ts";

/** A checkpoint that somebody holds. */
export interface Held {
  /** Who, in words. */
  where: string;
  origin: string;
  size: number;
  /** Base64. */
  root: string;
  note: string;
}

/** Undefined for what is no checkpoint. */
export function heldAs(where: string, note: string): Held | undefined {
  const said = parseCheckpoint(note);
  if (said === undefined) return undefined;
  return { where, origin: said.origin, size: said.size, root: Buffer.from(said.root).toString("base64"), note };
}

/** What `checkpoint.latest` of a data directory says. @param of  whose it is, as the end of a name. */
export async function heldByFile(directory: string, of = ""): Promise<Held[]> {
  const note = await textOf(join(directory, LATEST_FILE));
  const held = note === undefined ? undefined : heldAs(`${LATEST_FILE}${of}`, note);
  return held === undefined ? [] : [held];
}

/** The newest checkpoint of the embedded store of a directory, if it has one that can be read. */
export async function heldByDatabase(directory: string, of: string): Promise<Held[]> {
  const note = await newestStored(join(directory, DATABASE_FILE)).catch(() => undefined); // a damaged one tells nothing
  const held = note === undefined ? undefined : heldAs(`the database${of}`, note);
  return held === undefined ? [] : [held];
}

/** The newest checkpoint of an embedded store that is only read; undefined when it has none. */
export async function newestStored(path: string): Promise<string | undefined> {
  const opened = await readSqliteOfAnyVersion(path);
  try {
    return (await opened.snapshot((reader) => selectNewestCheckpoint(reader)))?.note;
  } finally {
    await opened.close();
  }
}

/**
 * The newest checkpoint in a PostgreSQL database. When that cannot be asked, or an older version wrote it, the one that
 * the directory of this node remembers, which may be older: keys must be copied also when the database is away.
 */
export async function newestInDatabase(url: string, directory: string): Promise<string | undefined> {
  try {
    const opened = await readPostgres(url, MIGRATIONS);
    try {
      return (await opened.snapshot((reader) => selectNewestCheckpoint(reader)))?.note;
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (isGantryError(error)) return textOf(join(directory, LATEST_FILE));
    throw error;
  }
}

/** Lines of `log.pub`. */
export async function publicKeysOf(directory: string): Promise<string[]> {
  return ((await textOf(join(directory, PUBLIC_KEYS_FILE))) ?? "").split("\n").filter((line) => line !== "");
}

export interface WitnessesAsked {
  held: Held[];
  /** What became of the others, by their names. */
  silent: { name: string; why: string }[];
}

/**
 * What the witnesses of a configuration hold, of those that answer within `SINK_PROBE_MS`. A copy counts when one of the
 * keys has signed it: what comes from outside could claim anything.
 */
export async function heldByWitnesses(
  config: Pick<Config, "witnesses" | "egress">,
  vkeys: readonly string[],
  clock: Clock,
): Promise<WitnessesAsked> {
  const asked: WitnessesAsked = { held: [], silent: [] };
  if (config.witnesses.length === 0) return asked;
  const network = openNetwork(config.egress, clock);
  const keys = vkeys.flatMap((vkey) => parseVkey(vkey) ?? []);
  const late = new AbortController();
  // Of its own for the clones of git: a server may use those of the data directory.
  const scratch = await mkdtemp(join(tmpdir(), "gantry-witness-"));
  const ask = async (sink: ReturnType<typeof openSinks>[number]): Promise<void> => {
    try {
      const note = await within(clock, SINK_PROBE_MS, sink.newest(late.signal), () => {
        throw new Error(`no answer within ${SINK_PROBE_MS / 1_000} s`);
      });
      if (note === undefined) throw new Error(sink.tells ? "holds no checkpoint" : "does not tell what it holds");
      const opened = openNote(note, keys);
      if ("fault" in opened) throw new Error(`holds a note that ${opened.fault}`);
      const held = heldAs(`the witness ${sink.name}`, note);
      if (held !== undefined) asked.held.push(held);
    } catch (error) {
      asked.silent.push({ name: sink.name, why: (error as Error).message });
    }
  };
  try {
    const sinks = openSinks(config.witnesses, {
      clock,
      data: scratch,
      sender: network.outgoing({ public_only: false }),
    });
    await Promise.all(sinks.map(ask));
  } finally {
    late.abort();
    network.close();
    await rm(scratch, { recursive: true, force: true });
  }
  return asked;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
