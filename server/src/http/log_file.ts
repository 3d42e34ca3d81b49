import { closeSync, fstatSync, ftruncateSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import type { Clock } from "../kernel/clock.ts";
import type { LogSink } from "./logging.ts";

/** Where log lines go instead of stderr. */
export interface LogFileOptions {
  /** Absolute. Older files stand beside it: `….1` is the newest of them. */
  path: string;
  /** A line that would make the file larger begins the next one. */
  bytes_max: number;
  /** Older files that are kept, at least 1. */
  kept: number;
  clock: Pick<Clock, "now">;
}

/** A log in a file that rotates by itself. */
export interface LogFile extends LogSink {
  /** Goes on in the file that has the name now: somebody else may have moved ours. */
  reopen(): void;
  close(): void;
}

const MODE = 0o600;
const NEWLINE = 10;

/**
 * Appends whole lines, at once and without a sync: what was written survives the process, though not the machine. A line
 * is never split, not even by a full disk. What cannot be written is dropped and counted, and the next line that can be
 * says so: a log is no reason to stop.
 * @throws the system's error when the file cannot be opened the first time.
 */
export function openLogFile(options: LogFileOptions): LogFile {
  let file = openAtEnd(options.path);
  let dropped = 0;
  return {
    write(line) {
      const said = dropped === 0 ? "" : droppedLine(dropped, options.clock.now());
      const bytes = Buffer.from(said + line);
      // A line that is larger than a whole file still stands in one.
      if (file.size > 0 && file.size + bytes.length > options.bytes_max) file = rotated(file, options);
      const is_written = append(file, bytes);
      dropped = is_written ? 0 : dropped + 1;
    },
    reopen() {
      file = replaced(file, options.path);
    },
    close: () => closeSync(file.fd),
  };
}

interface OpenFile {
  fd: number;
  size: number;
}

/** A crash of the machine may have left half a line: what follows begins on its own. */
function openAtEnd(path: string): OpenFile {
  const fd = openSync(path, "a+", MODE);
  const file = { fd, size: fstatSync(fd).size };
  const last = Buffer.alloc(1);
  if (file.size > 0 && readSync(fd, last, 0, 1, file.size - 1) === 1 && last[0] !== NEWLINE) {
    append(file, Buffer.from("\n"));
  }
  return file;
}

/** All of it or nothing. @returns false when it is nothing. */
function append(file: OpenFile, bytes: Buffer): boolean {
  let written = 0;
  try {
    while (written < bytes.length) written += writeSync(file.fd, bytes, written);
    file.size += written;
    return true;
  } catch {
    // A disk that is full takes a part and then refuses. The caller counts; nobody could be told here.
    if (written > 0) takeBack(file, written);
    return false;
  }
}

function takeBack({ fd }: OpenFile, bytes: number): void {
  try {
    ftruncateSync(fd, fstatSync(fd).size - bytes);
  } catch {
    // To shorten a file takes no room: this file system does not let us write at all, and what stands there stays.
  }
}

/** `….1` becomes `….2`, and so on; the oldest goes. Where that fails, the file that is open grows on. */
function rotated(file: OpenFile, { path, kept }: LogFileOptions): OpenFile {
  try {
    rmSync(`${path}.${kept}`, { force: true });
    for (let number = kept - 1; number >= 0; number -= 1) {
      renameIfThere(number === 0 ? path : `${path}.${number}`, `${path}.${number + 1}`);
    }
  } catch {
    return file;
  }
  return replaced(file, path);
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
  }
}

function replaced(file: OpenFile, path: string): OpenFile {
  try {
    const next = openAtEnd(path);
    closeSync(file.fd);
    return next;
  } catch {
    // Better in a file with an odd name than nowhere.
    return file;
  }
}

function droppedLine(dropped: number, time: number): string {
  const message = "log lines were dropped: the log file could not be written";
  return `${JSON.stringify({ level: "warn", time, dropped, message })}\n`;
}
