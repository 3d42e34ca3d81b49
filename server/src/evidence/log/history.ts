import type { Clock } from "../../kernel/clock.ts";
import type { Logger } from "../../kernel/log.ts";
import type { PrivateFiles } from "../../storage/contract.ts";
import { type NoteKey, openNote, parseCheckpoint } from "./note.ts";
import type { Seen } from "./sealing.ts";

/** The newest checkpoint that this process has released, outside of the database: a restored backup does not know it. */
export const LATEST_FILE = "checkpoint.latest";
/** At most so often: what a backup is older than is hours, and each write is a sync that others wait behind. */
const LATEST_EVERY_MS = 1_000;

/**
 * What `checkpoint.latest` remembers. Its signature is not asked for: the key may be one that a restored database does
 * not know any more, and only the owner can write here. A copy of another log says nothing about this one.
 */
export async function readLatest(files: PrivateFiles, origin: string, log: Logger): Promise<Seen | undefined> {
  const bytes = await files.read(LATEST_FILE);
  if (bytes === undefined) return undefined;
  const said = parseCheckpoint(Buffer.from(bytes).toString("utf8"));
  if (said?.origin === origin) return { where: LATEST_FILE, size: said.size, root: said.root };
  log.warn({ file: LATEST_FILE, origin: said?.origin }, "the checkpoint beside the database is not of its log");
  return undefined;
}

/**
 * What a witness's copy says, if one of the log's keys has signed it: what comes from outside could claim anything.
 * @param name  as the configuration names the witness.
 */
export function seenBy(
  name: string,
  note: string,
  { origin, keys, log }: { origin: string; keys: readonly NoteKey[]; log: Logger },
): Seen | undefined {
  const opened = openNote(note, keys);
  const said = "fault" in opened ? undefined : parseCheckpoint(opened.text);
  if (said?.origin === origin) return { where: `The copy of ${name}`, size: said.size, root: said.root };
  log.warn({ witness: name, fault: "fault" in opened ? opened.fault : "is of another log" }, "a copy says nothing");
  return undefined;
}

/** Keeps `checkpoint.latest` up with what is released: the newest, one write at a time, `LATEST_EVERY_MS` apart. */
export class LatestFile {
  readonly #files: PrivateFiles;
  readonly #clock: Clock;
  readonly #log: Logger;
  #waiting: string | undefined;
  #writing: Promise<void> | undefined;
  #cancel: (() => void) | undefined;

  constructor(files: PrivateFiles, clock: Clock, log: Logger) {
    this.#files = files;
    this.#clock = clock;
    this.#log = log;
  }

  /** Returns at once: nobody waits for the copy, and a crash leaves an older one, which is no harm. */
  save(note: string): void {
    this.#waiting = note;
    if (this.#writing === undefined && this.#cancel === undefined) this.#begin();
  }

  /** Writes what is left. */
  async flush(): Promise<void> {
    await this.#writing;
    this.#cancelNext();
    if (this.#waiting !== undefined) await this.#write();
  }

  #cancelNext(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #begin(): void {
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
      this.#cancel = this.#clock.after(LATEST_EVERY_MS, () => {
        this.#cancel = undefined;
        if (this.#waiting !== undefined) this.#begin();
      });
    });
  }

  async #write(): Promise<void> {
    const note = this.#waiting ?? "";
    this.#waiting = undefined;
    try {
      await this.#files.replace(LATEST_FILE, note);
    } catch (error) {
      // The disk may be full: the next checkpoint tries again.
      this.#log.warn({ error: String(error) }, `${LATEST_FILE} could not be written`);
    }
  }
}
