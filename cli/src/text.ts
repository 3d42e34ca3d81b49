import { stripVTControlCharacters } from "node:util";
import type { Sink, Terminal } from "./terminal.ts";

/**
 * Text that a guest or a server wrote, safe to print: control characters (escape sequences that could rewrite the
 * screen or the clipboard) and marks that turn the writing direction become visible escapes. Newlines and tabs stay.
 */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (char) => {
    const code = char.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

/** The same on one line. */
export function oneLine(text: string): string {
  return visible(text.replace(/\s+/g, " ").trim());
}

type Tone = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";
/** Marks text for a terminal; elsewhere it is the identity. */
export type Paint = (tone: Tone, text: string) => string;

const CODES: Record<Tone, readonly [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Colours only on a terminal, and never with `NO_COLOR` (any value but the empty one) or `TERM=dumb`. */
export function paintFor(sink: Sink, env: Terminal["env"]): Paint {
  const off = !sink.tty || (env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb";
  if (off) return (_tone, text) => text;
  return (tone, text) => `\u001b[${CODES[tone][0]}m${text}\u001b[${CODES[tone][1]}m`;
}

/** Columns that the text takes: colours take none. Counts code points, which is right for what we print. */
export function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/** At most `width` columns, the last one `…` if something was cut. Only for text without colours. */
export function cut(text: string, width: number): string {
  const chars = [...text];
  return chars.length <= width ? text : `${chars.slice(0, Math.max(0, width - 1)).join("")}…`;
}

/** Lines of at most `width` columns, broken at spaces. */
export function wrap(text: string, width: number, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/ +/)) {
    if (line !== "" && indent.length + widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(indent + line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, indent + line].join("\n");
}

/** `0.4 ms`, `12 ms`, `3.2 s`, `2 min 5 s` */
export function duration(ms: number): string {
  if (ms < 10) return `${Math.round(ms * 10) / 10} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1_000)} s`;
}

/** `12 B`, `3.4 kB`, `5.6 MB` */
export function bytesText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** `1 call`, `2 calls` */
export function count(n: number, noun: string, plural = `${noun}s`): string {
  return `${n.toLocaleString("en-US")} ${n === 1 ? noun : plural}`;
}

/** Milliseconds UTC as `2026-01-31 12:00:05Z`. */
export function instant(at: number): string {
  return new Date(at)
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, "Z");
}

/** The same as `01-31 12:00Z`, for tables. */
export function minute(at: number): string {
  return `${new Date(at).toISOString().slice(5, 16).replace("T", " ")}Z`;
}
