import { type Paint, visible } from "./text.ts";

/** Characters of a source line around the column; minified code has lines of megabytes. */
const LINE_MAX = 100;

/** A place in a source, and what is to be said about it. */
export interface Place {
  /** As a person finds it: a path relative to the working directory. */
  file: string;
  /** From 1. */
  line: number;
  /** From 1. */
  column?: number | undefined;
  text?: string;
}

/**
 * A place in a source and the line it means:
 *
 *     src/main.ts:2:7
 *        2 | const x y;
 *          |       ^ Expected ";"
 *
 * @param source  the file's text; undefined, or a line that it lacks, leaves only the head and the text.
 */
export function codeFrame(place: Place, source: string | undefined, paint: Paint): string {
  const { file, line, column, text } = place;
  const head = paint("bold", `${visible(file)}:${line}${column === undefined ? "" : `:${column}`}`);
  const code = source?.split(/\r?\n/)[line - 1];
  if (code === undefined) return text === undefined ? head : `${head}\n  ${visible(text)}`;
  const start = column !== undefined && column > LINE_MAX ? column - 1 - LINE_MAX / 2 : 0;
  const gutter = String(line).padStart(5);
  const shown = `${head}\n${paint("dim", `${gutter} |`)} ${expand(code.slice(start, start + LINE_MAX))}`;
  const blank = paint("dim", `${" ".repeat(gutter.length)} |`);
  if (column === undefined) return text === undefined ? shown : `${shown}\n${blank} ${visible(text)}`;
  const before = " ".repeat(expand(code.slice(start, column - 1)).length);
  const caret = paint("red", text === undefined ? "^" : `^ ${visible(text)}`);
  return `${shown}\n${blank} ${before}${caret}`;
}

/** Tabs as two spaces, so that the caret stands where it should whatever the terminal's stops are. */
function expand(code: string): string {
  return visible(code.replaceAll("\t", "  "));
}
