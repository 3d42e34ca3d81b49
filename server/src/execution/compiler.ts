import { GantryError } from "../kernel/errors.ts";
import type { Transform } from "./adapters/esbuild.ts";
import {
  COMPILE_MS_MAX,
  COMPILES_MAX,
  COMPILES_WAITING_MAX,
  type CompiledCode,
  type CompiledModule,
  type Compiler,
  code_errors,
  type SourceCode,
} from "./contract.ts";
import { codeFacts } from "./facts.ts";
import { findCycle, type Linked, lexerReady, link, type ScriptSource } from "./imports.ts";
import { checkShape, codeHash, isScript, plainModule } from "./modules.ts";

/** Whole graphs kept compiled: an agent's loop sends the same code again and again. */
const GRAPHS_MAX = 64;

/** The compiler: everything about a module graph that can be judged without running it is judged here. */
export function createCompiler(engine: { transform: Transform; close(): Promise<void> }): Compiler {
  const graphs = new Map<string, CompiledCode>();
  const turns = new Turns();

  return {
    hash: codeHash,
    close: () => engine.close(),
    async compile(code, limits) {
      checkShape(code, limits);
      const hash = codeHash(code);
      const known = graphs.get(hash);
      if (known !== undefined) return known;
      const compiled = await turns.take(() => compileGraph(code, hash, engine.transform));
      graphs.set(hash, compiled);
      for (const oldest of graphs.keys()) {
        if (graphs.size <= GRAPHS_MAX) break;
        graphs.delete(oldest);
      }
      return compiled;
    },
  };
}

/** Lets `COMPILES_MAX` work at once and `COMPILES_WAITING_MAX` wait, in the order in which they came. */
class Turns {
  #working = 0;
  readonly #waiting: (() => void)[] = [];

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#working >= COMPILES_MAX) await this.#wait();
    else this.#working += 1;
    try {
      return await work();
    } finally {
      // The turn passes on as it is, so that nobody who comes now takes it from who waits.
      const next = this.#waiting.shift();
      if (next === undefined) this.#working -= 1;
      else next();
    }
  }

  #wait(): Promise<void> {
    if (this.#waiting.length >= COMPILES_WAITING_MAX) {
      throw new GantryError(code_errors.COMPILER, {
        detail: `${COMPILES_WAITING_MAX} programs already wait for the compiler; try again.`,
        retry_after_ms: COMPILE_MS_MAX,
      });
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

async function compileGraph(code: SourceCode, hash: string, transform: Transform): Promise<CompiledCode> {
  await lexerReady();
  const names = new Set(Object.keys(code.modules));
  const modules: CompiledModule[] = [];
  const graph = new Map<string, Linked>();
  for (const [name, content] of Object.entries(code.modules)) {
    if (!isScript(name)) {
      modules.push(plainModule(name, content));
      continue;
    }
    const script = await compileScript(name, content, transform);
    const linked = link(script, names);
    graph.set(name, linked);
    modules.push({ name, type: "js", content: linked.code, map: script.map });
  }
  refuseCycles(graph);
  demandEntry(code.entry, graph.get(code.entry));
  return { hash, entry: code.entry, modules, facts: codeFacts(code, [...graph.values()]) };
}

async function compileScript(name: string, content: string | Uint8Array, transform: Transform): Promise<ScriptSource> {
  if (typeof content !== "string") {
    throw new GantryError(code_errors.SYNTAX, {
      detail: `${name}: a script is given as text, not as base64.`,
      problems: [{ at: name, text: "is binary; a script is text" }],
    });
  }
  return { name, source: content, ...(await transform(name, content)) };
}

/** Circles are legal in ECMAScript, but which binding is still empty then shows only at run time: better said here. */
function refuseCycles(graph: ReadonlyMap<string, Linked>): void {
  const cycle = findCycle(new Map([...graph].map(([name, { needs }]) => [name, needs])));
  if (cycle === undefined) return;
  throw new GantryError(code_errors.CYCLE, {
    detail: `Modules import each other in a circle: ${cycle.join(" -> ")}. Move what they share into a module of its own.`,
    problems: cycle.slice(0, -1).map((at, i) => ({ at, text: `imports ${cycle[i + 1]}` })),
  });
}

function demandEntry(entry: string, linked: Linked | undefined): void {
  if (linked?.exports.includes("default")) return;
  const has = linked?.exports.length ? `it exports ${linked.exports.join(", ")}` : "it exports nothing";
  throw new GantryError(code_errors.NO_ENTRY, {
    detail: `${entry} has no default export (${has}). Write \`export default async function (input, env, ctx) { … }\`, an object with \`run\` or \`fetch\`, or a WorkerEntrypoint class with \`run\`.`,
    problems: [{ at: entry, text: "has no default export" }],
  });
}
