import type { Problem } from "@gantry/sdk";
import { init, parse } from "es-module-lexer";
import { type TransformFailure, transform } from "esbuild";
import { usage } from "./failure.ts";

/** Files that are code, and how each is parsed; the server's compiler knows the same. */
export const LOADERS: Readonly<Record<string, "ts" | "tsx" | "js" | "jsx">> = {
  ".ts": "ts",
  ".tsx": "tsx",
  ".mts": "ts",
  ".js": "js",
  ".jsx": "jsx",
  ".mjs": "js",
};

/** A relative import: `./x.ts`, `../lib/y.json`. */
export interface Specifier {
  name: string;
}

/**
 * The relative names that a module imports, each once. Only names written as literals: a computed one cannot be
 * known before the code runs, and the guest then finds no such module.
 * @param extension  a key of `LOADERS`.
 * @param shown  the file's name in an error.
 * @throws Failure exit 2 for code that does not parse, with line and column.
 */
export async function importsOf(source: string, extension: string, shown: string): Promise<Specifier[]> {
  const javascript = await stripTypes(source, extension, shown);
  await init();
  const names = new Set<string>();
  for (const one of parse(javascript)[0]) {
    if (one.type === "import-meta" || one.specifier === undefined) continue;
    if (one.type === "dynamic" && one.glob) continue;
    if (one.specifier.startsWith("./") || one.specifier.startsWith("../")) names.add(one.specifier);
  }
  return [...names].map((name) => ({ name }));
}

async function stripTypes(source: string, extension: string, shown: string): Promise<string> {
  try {
    // As the server compiles, so that both see the same imports: those that only types use are gone.
    const result = await transform(source, {
      loader: LOADERS[extension] ?? "js",
      tsconfigRaw: { compilerOptions: { jsx: "react" } },
      logLevel: "silent",
    });
    return result.code;
  } catch (error) {
    const problems = problemsOf(error, shown);
    throw usage(`${shown} does not parse.`, { problems, sources: new Map([[shown, source]]) });
  }
}

function problemsOf(error: unknown, at: string): Problem[] {
  const errors = (error as Partial<TransformFailure>).errors;
  if (errors === undefined) throw error;
  return errors.map(({ text, location }) =>
    location === null ? { at, text } : { at, line: location.line, column: columnOf(location), text },
  );
}

/** esbuild counts columns from 0 and in UTF-8 bytes. */
function columnOf(location: { lineText: string; column: number }): number {
  return Buffer.from(location.lineText).subarray(0, location.column).toString().length + 1;
}

/** Where the quoted name first stands in the source. Empty if it is written with escapes. */
export function lineOf(source: string, name: string): { line?: number; column?: number } {
  const at = ['"', "'", "`"].map((quote) => source.indexOf(quote + name + quote)).filter((found) => found >= 0);
  if (at.length === 0) return {};
  const before = source.slice(0, Math.min(...at)).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 2 };
}
