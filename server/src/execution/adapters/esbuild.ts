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
/** A module whose compiler was stopped for another's sake is tried once more. */
const ATTEMPTS_MAX = 2;
/** Characters of cached output. */
const CACHE_CHARS_MAX = 32 * 1024 * 1024;

/**
 * esbuild's service process behind a deadline: a module that keeps it busy for longer is refused and the service
 * started anew, with everything else that was under way in it. Results are cached by compiler version, options and source.
 */
export function esbuildTransform(clock: Clock): { transform: Transform; close(): Promise<void> } {
  const cache = new Map<string, Transformed>();
  let cached_chars = 0;
  let service = new AbortController();

  /** esbuild never settles what was under way when it is stopped (0.28.2, measured), so we must say it ourselves. */
  function restart(): void {
    void stop();
    service.abort();
    service = new AbortController();
  }

  function remember(key: string, result: Transformed): void {
    if (cache.has(key)) return; // by another call for the same source
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
    try {
      const result = await attempt(name, source, loader);
      remember(key, result);
      return result;
    } catch (error) {
      throw isFailure(error) ? syntaxError(name, source, error) : error;
    }
  }

  async function attempt(name: string, source: string, loader: "ts" | "tsx" | "js" | "jsx"): Promise<Transformed> {
    for (let attempts = 0; attempts < ATTEMPTS_MAX; attempts++) {
      const mine = service;
      const late = (): never => {
        if (mine === service) restart();
        throw busy(`${name}: compiling took longer than ${COMPILE_MS_MAX} ms; split the module or simplify it.`);
      };
      const work = transform(source, { ...OPTIONS, loader }).then(({ code, map }) => ({ code, map }));
      // A service that has died, of hunger as a rule, refuses everything until it is stopped too.
      const dead = (error: unknown): undefined => {
        if (isFailure(error)) throw error;
        if (mine === service) restart();
      };
      const result = await within(clock, COMPILE_MS_MAX, unlessStopped(work.catch(dead), mine.signal), late);
      if (result !== undefined) return result;
    }
    throw busy(`${name}: the compiler was busy with other programs; try again.`);
  }

  return { transform: run, close: async () => restart() };
}

const OPTIONS = {
  format: "esm",
  target: "es2023",
  sourcemap: "external",
  sourcesContent: false,
  logLevel: "silent",
  // A tsconfig of the host must never decide what a guest's code means.
  tsconfigRaw: { compilerOptions: { jsx: "react" } },
} as const;

/** Undefined when the service was stopped first. */
function unlessStopped<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stopped = (): void => resolve(undefined);
    signal.addEventListener("abort", stopped);
    work.finally(() => signal.removeEventListener("abort", stopped)).then(resolve, reject);
  });
}

function busy(detail: string): GantryError {
  return new GantryError(code_errors.COMPILER, { detail });
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
