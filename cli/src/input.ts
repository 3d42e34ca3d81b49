import { readFile } from "node:fs/promises";
import { extname, relative, resolve } from "node:path";
import { usage } from "./failure.ts";
import { findJsonFault } from "./json_place.ts";
import type { Terminal } from "./terminal.ts";

/** The server's own maximum of `input_bytes_max`. */
export const INPUT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * The value of `--input`: JSON text; `@file` (a `.json` file is JSON, any other one JSON string of its text);
 * `-` for JSON from standard input; absent for null.
 * @throws Failure exit 2 with line and column of the fault.
 */
export async function readInput(text: string | undefined, io: Pick<Terminal, "cwd" | "stdin">): Promise<unknown> {
  if (text === undefined) return null;
  if (text === "-") return parseJson(await io.stdin(), "standard input");
  if (!text.startsWith("@")) return parseJson(text, "--input");
  const path = resolve(io.cwd, text.slice(1));
  const shown = relative(io.cwd, path) || path;
  const content = await readText(path, shown);
  return extname(path) === ".json" ? parseJson(content, shown) : content;
}

/** @param at  what the text is, as the error names it. */
export function parseJson(text: string, at: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ""));
  } catch {
    const fault = findJsonFault(text) ?? { line: 1, column: 1, text: "This is nested too deep." };
    throw usage(`${at} is not valid JSON: line ${fault.line}, column ${fault.column}.`, {
      problems: [{ at, ...fault }],
      sources: new Map([[at, text]]),
      ...(at === "--input"
        ? { next_steps: [{ kind: "change", text: `A string needs its quotes inside the shell's: --input '"text"'` }] }
        : {}),
    });
  }
}

/**
 * The value of `--prompt`: the text itself, that of `@file`, or with `-` that of standard input.
 * @throws Failure exit 2
 */
export async function readPrompt(text: string, io: Pick<Terminal, "cwd" | "stdin">): Promise<string> {
  if (text === "-") return io.stdin();
  if (!text.startsWith("@")) return text;
  const path = resolve(io.cwd, text.slice(1));
  return readText(path, relative(io.cwd, path) || path);
}

async function readText(path: string, shown: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw usage(`${shown} cannot be read: ${reasonOf(error)}.`);
  }
  if (bytes.length > INPUT_BYTES_MAX) throw usage(`${shown} is larger than an input may be (16 MB).`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw usage(`${shown} is not UTF-8 text; an input is JSON or text.`);
  }
}

/** Why a file cannot be read, in words. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  if (code === "ENOENT") return "there is no such file";
  if (code === "EISDIR") return "it is a directory";
  if (code === "EACCES") return "permission denied";
  if (code === "ELOOP") return "its symbolic links form a circle";
  return code;
}
