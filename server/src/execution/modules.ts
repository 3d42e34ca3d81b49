import { posix } from "node:path";
import { canonicalJson, isStorableText } from "../kernel/canonical.ts";
import { GantryError, type Problem } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { LimitTable } from "../kernel/limits.ts";
import { type CompiledModule, code_errors, MODULE_NAME_MAX, type SourceCode } from "./contract.ts";

const SCRIPTS = [".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs"];
const NAME = /^[A-Za-z0-9_@$.+~-]+(?:\/[A-Za-z0-9_@$.+~-]+)*$/;

export function isScript(name: string): boolean {
  return SCRIPTS.includes(posix.extname(name));
}

/** Names the sources: the same modules and entry have the same hash, whatever their order. */
export function codeHash(code: SourceCode): string {
  const modules = Object.fromEntries(
    Object.entries(code.modules).map(([name, content]) => [
      name,
      typeof content === "string" ? { text: sha256Hex(content) } : { bytes: sha256Hex(content) },
    ]),
  );
  return sha256Hex(canonicalJson({ v: 1, entry: code.entry, modules }));
}

/**
 * Judges everything that needs no parsing: counts, sizes, names.
 * @throws CODE_TOO_LARGE CODE_NAME CODE_NO_ENTRY
 */
export function checkShape(code: SourceCode, limits: Pick<LimitTable, "code_bytes_max" | "modules_max">): void {
  const names = Object.keys(code.modules);
  if (names.length > limits.modules_max) {
    throw new GantryError(code_errors.TOO_LARGE, {
      detail: `The code has ${names.length} modules; at most ${limits.modules_max} are allowed here (limit modules_max).`,
    });
  }
  const bytes = codeBytes(code);
  if (bytes > limits.code_bytes_max) {
    throw new GantryError(code_errors.TOO_LARGE, {
      detail: `The code has ${bytes} bytes; at most ${limits.code_bytes_max} are allowed here (limit code_bytes_max).`,
    });
  }
  const problems = names.flatMap((name) => nameProblem(name) ?? []);
  if (problems.length > 0) {
    throw new GantryError(code_errors.NAME, {
      detail: "A module name is a relative path such as `lib/parse.ts`, without `.` or `..`.",
      problems,
    });
  }
  if (code.modules[code.entry] === undefined || !isScript(code.entry)) {
    throw new GantryError(code_errors.NO_ENTRY, {
      detail: `The entry ${JSON.stringify(code.entry)} must name one of the script modules: ${scriptNames(names)}.`,
    });
  }
}

function scriptNames(names: string[]): string {
  const scripts = names.filter(isScript);
  return scripts.length === 0 ? "there is none" : scripts.slice(0, 8).join(", ");
}

export function codeBytes(code: SourceCode): number {
  return Object.values(code.modules).reduce(
    (sum, content) => sum + (typeof content === "string" ? Buffer.byteLength(content) : content.byteLength),
    0,
  );
}

function nameProblem(name: string): Problem | undefined {
  const at = name.slice(0, MODULE_NAME_MAX);
  if (name.length > MODULE_NAME_MAX) return { at, text: `is longer than ${MODULE_NAME_MAX} characters` };
  if (name.startsWith("/")) return { at, text: "is absolute; it must be relative to the entry's directory" };
  const parts = name.split("/");
  if (parts.includes("..") || parts.includes(".")) return { at, text: "leaves its directory or walks in it" };
  if (!NAME.test(name)) return { at, text: "has characters other than letters, digits, `_@$.+~-` and `/`" };
  if (parts.includes("__proto__")) return { at, text: "is reserved" };
  return undefined;
}

/**
 * The module kinds that need no compiler. Binary content is wasm by its name, else data; text is JSON by its name,
 * else text.
 * @throws CODE_SYNTAX for JSON that is none, and for wasm or text of the wrong form
 */
export function plainModule(name: string, content: string | Uint8Array): CompiledModule {
  const extension = posix.extname(name);
  if (typeof content !== "string") {
    const base64 = Buffer.from(content).toString("base64");
    if (extension !== ".wasm") return { name, type: "data", content: base64 };
    if (!isWasm(content)) throw syntax({ at: name, text: "is not a WebAssembly binary (it must begin with \\0asm)" });
    return { name, type: "wasm", content: base64 };
  }
  if (extension === ".wasm") throw syntax({ at: name, text: 'is text; a wasm module is given as {"base64": …}' });
  if (!isStorableText(content)) throw syntax({ at: name, text: "has U+0000 or half of a surrogate pair in it" });
  if (extension !== ".json") return { name, type: "text", content };
  try {
    JSON.parse(content);
  } catch (error) {
    throw syntax({ at: name, text: `is not JSON: ${(error as Error).message}` });
  }
  return { name, type: "json", content };
}

function isWasm(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d;
}

/** `frame`, if any, shows the place in the source under the sentence. */
export function syntax(problem: Problem, frame?: string): GantryError {
  const where = problem.line === undefined ? problem.at : `${problem.at}:${problem.line}:${problem.column}`;
  const detail = `${where}: ${problem.text}${frame === undefined ? "" : `\n${frame}`}`;
  return new GantryError(code_errors.SYNTAX, { detail, problems: [problem] });
}

/** The line of a source with a caret under a column; line and column count from 1. */
export function codeFrame(source: string, line: number, column: number): string {
  const text = (source.split("\n")[line - 1] ?? "").replaceAll("\t", " ");
  const gutter = `${line} | `;
  // A minified line would hide its own caret: show the part around it.
  const from = Math.max(0, column - 60);
  const shown = text.slice(from, from + 100);
  return `${gutter}${shown}\n${" ".repeat(gutter.length - 2)}| ${" ".repeat(Math.max(0, column - 1 - from))}^`;
}

/** Files that an import without its exact name may mean, most likely first. */
export function candidates(specifier_path: string): string[] {
  const extension = posix.extname(specifier_path);
  const stem = specifier_path.slice(0, specifier_path.length - extension.length);
  const rewritten = extension === ".js" || extension === ".mjs" || extension === ".jsx" ? scriptsOf(stem) : [];
  return [specifier_path, ...rewritten, ...scriptsOf(specifier_path), ...scriptsOf(`${specifier_path}/index`)];
}

function scriptsOf(stem: string): string[] {
  return SCRIPTS.map((extension) => stem + extension);
}
