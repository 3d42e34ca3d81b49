import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { assert } from "../../kernel/assert.ts";
import { SINK_NOTE_BYTES_MAX, SINK_TAIL_BYTES } from "../contract.ts";
import { isErrno, syncDirectory } from "./files.ts";
import { largerThan } from "./note_head.ts";

/** The least time between two copies: with about 250 bytes each, a log that never rests writes 21 MB a day. */
const EVERY_MS = 1_000;
/** A record is a note and an empty line: without that line its last bytes may be missing. */
const RECORD = /(?<![^\n])[^\n]+\n\d{1,16}\n[A-Za-z0-9+/]{43}=\n\n(?:\u2014 [^\n]+\n)+(?=\n)/g;
const END = "\n\n";

/**
 * A file as a witness: each copy is appended and synced, nothing is ever changed, so that the file may be on a medium
 * or under an attribute that only lets it grow. What an earlier end cut off stays, closed by an empty line.
 * Fills the port `CheckpointSink` of evidence/.
 * @param path  absolute; the file is made when it is absent, its directory is not.
 */
export function openFileSink(path: string) {
  return {
    name: `file:${path}`,
    every_ms: EVERY_MS,
    tells: true,
    /** @throws the system's error */
    async newest(_signal: AbortSignal): Promise<string | undefined> {
      const file = await openWitness(path, constants.O_RDONLY);
      if (file === undefined) return undefined;
      try {
        return lastNote(await tailOf(file));
      } finally {
        await file.close();
      }
    },
    /** @throws the system's error, e.g. of a full disk */
    async publish(copy: { note: string; size: number }, _signal: AbortSignal): Promise<number> {
      assert(Buffer.byteLength(copy.note) <= SINK_NOTE_BYTES_MAX, "a checkpoint's note is small");
      const file = await openWitness(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT);
      assert(file !== undefined, "a file that is made when it is absent is there");
      try {
        const tail = await tailOf(file);
        const larger = largerThan(copy, lastNote(tail));
        if (larger !== undefined) return larger;
        const { text, offset } = tail;
        const is_new = offset === 0 && text === "";
        await file.writeFile(`${is_new || text.endsWith(END) ? "" : END}${copy.note}\n`);
        await file.sync();
        if (is_new) await syncDirectory(dirname(path));
        return copy.size;
      } finally {
        await file.close();
      }
    },
  };
}

/** @returns undefined for a file that is absent and not to be made. */
async function openWitness(path: string, flags: number): Promise<FileHandle | undefined> {
  try {
    // Of a pipe that nobody reads, an opening that may wait would never end.
    return await open(path, flags | constants.O_NONBLOCK, 0o644);
  } catch (error) {
    if (isErrno(error, "ENOENT") && (flags & constants.O_CREAT) === 0) return undefined;
    throw error;
  }
}

interface Tail {
  text: string;
  /** How much stands before it, in bytes. */
  offset: number;
}

function lastNote({ text, offset }: Tail): string | undefined {
  // Where the file is longer, the first line is the end of one.
  const whole = offset === 0 ? text : text.slice(text.indexOf("\n") + 1);
  return [...whole.matchAll(RECORD)].at(-1)?.[0];
}

/** The last `SINK_TAIL_BYTES`. */
async function tailOf(file: FileHandle): Promise<Tail> {
  const { size } = await file.stat();
  const offset = Math.max(0, size - SINK_TAIL_BYTES);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, SINK_TAIL_BYTES)), { position: offset });
  return { text: buffer.subarray(0, bytesRead).toString("utf8"), offset };
}
