import { stop, type TransformFailure, transform, version } from "esbuild";
import { type Clock, within } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import { COMPILE_MS_MAX, code_errors } from "../contract.ts";
import { codeFrame, syntax } from "../modules.ts";

/** JavaScript that V8 takes, with its source map (JSON). */
export interface Transformed {
  code: string;
  map: string;
}

/** Strips types, one module at a time. Only `transform`, never `build`: a bundler would follow hostile imports into host files. */
export type Transform = (name: string, source: string) => Promise<Transformed>;

const LOADERS: Record<string, "ts" | "tsx" | "js" | "jsx"> = {
  ts: "ts",
  mts: "ts",
  tsx: "tsx",
  js: "js",
  mjs: "js",
  jsx: "jsx",
};
/** Characters of cached output. */
const CACHE_CHARS_MAX = 32 * 1024 * 1024;

/**
 * esbuild's service process behind a deadline: a module that keeps it busy for longer is refused and the service
 * started anew. Results are cached by compiler version, options and source.
 */
export function esbuildTransform(clock: Clock): { transform: Transform; close(): Promise<void> } {
  const cache = new Map<string, Transformed>();
  let cached_chars = 0;

  function remember(key: string, result: Transformed): void {
    cache.set(key, result);
    cached_chars += result.code.length + result.map.length;
    for (const [oldest, { code, map }] of cache) {
      if (cached_chars <= CACHE_CHARS_MAX) break;
      cache.delete(oldest);
      cached_chars -= code.length + map.length;
    }
  }

  async function run(name: string, source: string): Promise<Transformed> {
    const loader = LOADERS[name.slice(name.lastIndexOf(".") + 1)] ?? "js";
    const key = `${version} ${loader} ${sha256Hex(source)}`;
    const hit = cache.get(key);
    if (hit !== undefined) return hit;
    const work = transform(source, {
      loader,
      format: "esm",
      target: "es2023",
      sourcemap: "external",
      sourcesContent: false,
      logLevel: "silent",
      // A tsconfig of the host must never decide what a guest's code means.
      tsconfigRaw: { compilerOptions: { jsx: "react" } },
    });
    const late = (): never => {
      void stop();
      throw new GantryError(code_errors.COMPILER, {
        detail: `${name}: compiling took longer than ${COMPILE_MS_MAX} ms; split the module or simplify it.`,
      });
    };
    try {
      const { code, map } = await within(clock, COMPILE_MS_MAX, work, late);
      const result = { code, map };
      remember(key, result);
      return result;
    } catch (error) {
      throw isFailure(error) ? syntaxError(name, source, error) : error;
    }
  }

  return { transform: run, close: async () => stop() };
}

function isFailure(error: unknown): error is TransformFailure {
  return error instanceof Error && "errors" in error && Array.isArray(error.errors) && error.errors.length > 0;
}

function syntaxError(name: string, source: string, failure: TransformFailure): GantryError {
  const { text = "Syntax error", location } = failure.errors[0] ?? {};
  if (!location) return syntax({ at: name, text });
  const [line, column] = [location.line, location.column + 1];
  return syntax({ at: name, line, column, text }, codeFrame(source, line, column));
}
