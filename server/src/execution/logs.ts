import type { HostLine } from "../../../isolate/src/protocol.ts";
import { LOG_BYTES_KILL } from "../kernel/limits.ts";
import type { LogLine } from "./contract.ts";

/** A longer line is cut: a guest must not be able to grow our buffer by never ending one. */
export const LOG_LINE_BYTES_MAX = 64 * 1024;
const NEWLINE = 0x0a;
const LEVELS = new Set(["log", "debug", "info", "warn", "error"]);

/** Splits a byte stream into lines of at most `LOG_LINE_BYTES_MAX`; the rest of a longer one is dropped. */
export class LineSplitter {
  #kept: Buffer[] = [];
  #kept_bytes = 0;
  readonly #on_line: (line: string) => void;

  constructor(on_line: (line: string) => void) {
    this.#on_line = on_line;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end));
      this.flush();
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  /** Ends the line that has no newline yet. */
  flush(): void {
    if (this.#kept_bytes > 0) this.#on_line(Buffer.concat(this.#kept).toString("utf8"));
    this.#kept = [];
    this.#kept_bytes = 0;
  }

  #keep(part: Buffer): void {
    const kept = part.subarray(0, LOG_LINE_BYTES_MAX - this.#kept_bytes);
    if (kept.length === 0) return;
    this.#kept.push(kept);
    this.#kept_bytes += kept.length;
  }
}

export interface RunLogOptions {
  /** Stands before the guest's lines. */
  log_nonce: string;
  /** Stands before the host's lines, which are not log. */
  host_nonce: string;
  bytes_max: number;
  now: () => number;
  on_line: (line: LogLine) => void;
  on_host: (line: HostLine) => void;
  /** Called once, when the process wrote more than `LOG_BYTES_KILL`. */
  on_flood: () => void;
}

/**
 * The log of one run: attributes lines by nonce, keeps `bytes_max` bytes of text and counts the rest. It starts when the
 * host says that the run has begun: what stands before that is what an ended run has left behind.
 * A line without the nonce (`node:console`, the engine itself) belongs to the run that is live, level `runner`.
 */
export class RunLog {
  bytes = 0;
  dropped = 0;
  begun = false;
  #raw_bytes = 0;
  #seq = 0;
  readonly #o: RunLogOptions;

  constructor(o: RunLogOptions) {
    this.#o = o;
  }

  /** Counts what the process wrote, before anything is made of it; past `LOG_BYTES_KILL` the run must end. */
  count(bytes: number): void {
    if (!this.begun) return;
    const before = this.#raw_bytes;
    this.#raw_bytes += bytes;
    if (before <= LOG_BYTES_KILL && this.#raw_bytes > LOG_BYTES_KILL) this.#o.on_flood();
  }

  line(raw: string): void {
    const space = raw.indexOf(" ");
    const nonce = raw.slice(0, space);
    const rest = raw.slice(space + 1);
    if (space > 0 && nonce === this.#o.host_nonce) {
      const told = parseHostLine(rest.slice(rest.indexOf(" ") + 1));
      if (told?.event === "begun") this.begun = true;
      if (told !== undefined) this.#o.on_host(told);
      return;
    }
    if (!this.begun) return;
    const line = nonce === this.#o.log_nonce ? parseGuestLine(rest) : undefined;
    this.#add(line ?? { level: "runner", text: raw });
  }

  #add(line: Pick<LogLine, "level" | "text">): void {
    const text = escapeControls(line.text);
    const size = Buffer.byteLength(text);
    if (this.bytes + size > this.#o.bytes_max) {
      this.dropped += size;
      return;
    }
    this.bytes += size;
    this.#seq += 1;
    this.#o.on_line({ seq: this.#seq, at: this.#o.now(), level: line.level, text });
  }
}

/** The host cuts what it quotes of a guest; should a line be longer all the same, it must not end us. */
function parseHostLine(json: string): HostLine | undefined {
  try {
    return JSON.parse(json) as HostLine;
  } catch {
    // Cut at its limit.
    return undefined;
  }
}

function parseGuestLine(rest: string): Pick<LogLine, "level" | "text"> | undefined {
  const space = rest.indexOf(" ");
  const level = rest.slice(0, space);
  if (!LEVELS.has(level)) return undefined;
  try {
    const text: unknown = JSON.parse(rest.slice(space + 1));
    return typeof text === "string" ? { level: level as LogLine["level"], text } : undefined;
  } catch {
    // A line that was cut at its limit has no closing quote: show what there is.
    return { level: level as LogLine["level"], text: rest.slice(space + 2) };
  }
}

/** Control characters become visible: a log is shown on terminals, where an escape sequence is an instruction. */
function escapeControls(text: string): string {
  return text.toWellFormed().replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
