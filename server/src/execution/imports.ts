import { posix } from "node:path";
import { type Import, init, parse } from "es-module-lexer";
import { GantryError, type Problem } from "../kernel/errors.ts";
import { code_errors } from "./contract.ts";
import { candidates, codeFrame, syntax } from "./modules.ts";
import { decodeMap } from "./source_map.ts";

/**
 * The parts of Node's library that workerd has and that mean something in an isolate. What could only pretend
 * (child processes, threads, the inspector) is refused by name, so that its author finds out before a run.
 */
const NODE_MODULES = new Set(
  `assert assert/strict async_hooks buffer console constants crypto diagnostics_channel dns dns/promises events fs
  fs/promises http https module net os path path/posix path/win32 perf_hooks process punycode querystring readline
  readline/promises stream stream/consumers stream/promises stream/web string_decoder timers timers/promises tls tty
  url util util/types zlib`.split(/\s+/),
);
const CLOUDFLARE_MODULES = new Set(["workers", "sockets"]);
/** Imports that lead nowhere, told of one module: each costs a look-up, and a module of 4 MB has room for 400,000. */
const PROBLEMS_MAX = 32;

/** One module's imports, resolved. */
export interface Linked {
  /** The code with each relative import spelled as the module's exact name. */
  code: string;
  /** Names of modules that must be evaluated first. */
  needs: string[];
  /** `node:…` and `cloudflare:…` */
  runtime: string[];
  /** Has an import whose name is computed. */
  computed: boolean;
  exports: string[];
}

export interface ScriptSource {
  name: string;
  /** As it came. */
  source: string;
  /** Compiled JavaScript and its source map. */
  code: string;
  map: string;
}

/** Must have resolved once before `link`: the lexer is WebAssembly. */
export const lexerReady: () => Promise<void> = init;

/**
 * Resolves what a module imports among `names`.
 * @throws CODE_IMPORT with the imports that lead nowhere, at most `PROBLEMS_MAX`; CODE_SYNTAX
 */
export function link(script: ScriptSource, names: ReadonlySet<string>): Linked {
  const [imports, exports] = lex(script);
  const exported = exports.flatMap((each) => ("name" in each ? [String(each.name)] : []));
  const linked: Linked = { code: "", needs: [], runtime: [], computed: false, exports: exported };
  const needs = new Set<string>();
  const problems: { offset: number; text: string }[] = [];
  let copied_to = 0;
  for (const found of imports) {
    if (found.type === "import-meta") continue;
    if (found.specifier === undefined || (found.type === "dynamic" && found.glob)) {
      linked.computed = true;
      continue;
    }
    const target = resolve(script.name, found.specifier, names);
    if ("problem" in target) {
      problems.push({ offset: found.start, text: target.problem });
      if (problems.length === PROBLEMS_MAX) break;
      continue;
    }
    if (!("module" in target)) {
      linked.runtime.push(found.specifier);
      continue;
    }
    if (found.type !== "dynamic") needs.add(target.module);
    const [from, to] = spanOf(found);
    linked.code += script.code.slice(copied_to, from) + JSON.stringify(relative(script.name, target.module));
    copied_to = to;
  }
  if (problems.length > 0) throw importError(script, placed(script, problems));
  linked.code += script.code.slice(copied_to);
  linked.needs = [...needs];
  return linked;
}

function lex(script: ScriptSource): ReturnType<typeof parse> {
  try {
    return parse(script.code, script.name);
  } catch {
    // The compiler took it, so it is correct; the lexer follows 1,024 open brackets (es-module-lexer 3.0.5, measured).
    throw syntax({ at: script.name, text: "nests brackets deeper than 1,024 levels" });
  }
}

/**
 * What to replace: the specifier with its quotes, and import attributes. They are dropped, since a module's kind follows
 * from its name, and workerd knows no others. The lexer's span lies within the quotes, but for dynamic imports around them.
 */
function spanOf(found: Import): [from: number, to: number] {
  if (found.type === "dynamic") return [found.start, found.attributesStart < 0 ? found.end : found.importEnd - 1];
  return [found.start - 1, "attributes" in found && found.attributes !== null ? found.importEnd : found.end + 1];
}

function importError(script: ScriptSource, problems: Problem[]): GantryError {
  const { line = 1, column = 1, text } = problems[0] as Problem;
  const frame = codeFrame(script.source, line, column);
  return new GantryError(code_errors.IMPORT, {
    detail: `${script.name}:${line}:${column}: ${text}\n${frame}`,
    problems,
  });
}

function resolve(
  from: string,
  specifier: string,
  names: ReadonlySet<string>,
): { module: string } | { runtime: true } | { problem: string } {
  if (specifier.startsWith("./") || specifier.startsWith("../")) {
    const path = posix.join(posix.dirname(from), specifier);
    if (path === ".." || path.startsWith("../"))
      return { problem: `"${specifier}" leaves the program's own directory` };
    const module = candidates(path).find((name) => names.has(name));
    if (module !== undefined) return { module };
    return {
      problem: `"${specifier}" is not among the modules; there are: ${[...names].sort().slice(0, 8).join(", ")}`,
    };
  }
  const [scheme, rest] = split(specifier);
  if (scheme === "node" && NODE_MODULES.has(rest)) return { runtime: true };
  if (scheme === "cloudflare" && CLOUDFLARE_MODULES.has(rest)) return { runtime: true };
  if (scheme === "node" || scheme === "cloudflare") return { problem: `"${specifier}" does not exist in an isolate` };
  if (scheme !== "") return { problem: `"${specifier}" cannot be imported: only modules of the program can` };
  return { problem: `"${specifier}" is a package name; write "./${specifier}" for a module, or bundle the package` };
}

function split(specifier: string): [scheme: string, rest: string] {
  const colon = specifier.indexOf(":");
  return colon < 0 ? ["", specifier] : [specifier.slice(0, colon), specifier.slice(colon + 1)];
}

function relative(from: string, to: string): string {
  const path = posix.relative(posix.dirname(from), to);
  return path.startsWith("../") ? path : `./${path}`;
}

/** Where imports stand in the source as it came. */
function placed(script: ScriptSource, found: { offset: number; text: string }[]): Problem[] {
  const origin = decodeMap(script.map);
  return found.map(({ offset, text }) => {
    const before = script.code.slice(0, offset).split("\n");
    const place = origin(before.length - 1, before.at(-1)?.length ?? 0);
    if (place === undefined) return { at: script.name, text };
    return { at: script.name, line: place.line + 1, column: place.column + 1, text };
  });
}

/** The first circle among static imports, as the names along it; undefined when there is none. */
export function findCycle(needs: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  for (const start of needs.keys()) {
    const cycle = walk(start, needs, done);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/** Depth first with a stack of its own: a chain of 512 modules must not depend on ours. */
function walk(start: string, needs: ReadonlyMap<string, readonly string[]>, done: Set<string>): string[] | undefined {
  const path: { name: string; next: number }[] = [{ name: start, next: 0 }];
  while (path.length > 0) {
    const top = path[path.length - 1] as { name: string; next: number };
    const target = done.has(top.name) ? undefined : needs.get(top.name)?.[top.next];
    if (target === undefined) {
      done.add(top.name);
      path.pop();
      continue;
    }
    top.next += 1;
    const at = path.findIndex(({ name }) => name === target);
    if (at >= 0) return [...path.slice(at).map(({ name }) => name), target];
    path.push({ name: target, next: 0 });
  }
  return undefined;
}
