import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { systemClock } from "../kernel/clock.ts";
import type { GantryError } from "../kernel/errors.ts";
import { RUN_LIMITS } from "../kernel/limits.ts";
import { esbuildTransform } from "./adapters/esbuild.ts";
import { createCompiler } from "./compiler.ts";
import { COMPILES_MAX, COMPILES_WAITING_MAX, type CompiledCode, type SourceCode } from "./contract.ts";

const LIMITS = { code_bytes_max: RUN_LIMITS.code_bytes_max.max, modules_max: RUN_LIMITS.modules_max.max };
const RUNNABLE = "export default () => 1;";
const compiler = createCompiler(esbuildTransform(systemClock()));
afterAll(() => compiler.close());

function compile(modules: SourceCode["modules"], entry = "main.ts"): Promise<CompiledCode> {
  return compiler.compile({ entry, modules }, LIMITS);
}

async function refusal(modules: SourceCode["modules"], entry = "main.ts"): Promise<GantryError> {
  const settled = await compile(modules, entry).catch((error: unknown) => error);
  expect(settled, "it was not refused").toHaveProperty("kind");
  return settled as GantryError;
}

function contentOf(compiled: CompiledCode, name: string): string {
  return compiled.modules.find((module) => module.name === name)?.content ?? "";
}

describe("compiling", () => {
  it("strips types and resolves TypeScript's own spellings of imports", async () => {
    const compiled = await compile({
      "main.ts": `import { a } from "./lib"; import b from "./lib.js"; import c from "./dir";
        import data from "./d.json" with { type: "json" };
        export * from "./lib.js";
        export default async (x: number): Promise<unknown> => [a, b, c, data, x satisfies number, await import("./lib")];`,
      "lib.ts": "export const a: number = 1; export default 2 as const;",
      "dir/index.ts": "export default 3;",
      "d.json": "{}",
    });
    const main = contentOf(compiled, "main.ts");
    expect([...main.matchAll(/"\.[^"]*"/g)].map(String)).toEqual([
      '"./lib.ts"',
      '"./lib.ts"',
      '"./dir/index.ts"',
      '"./d.json"',
      '"./lib.ts"',
      '"./lib.ts"',
    ]);
    expect(main).toContain('await import("./lib.ts")');
    expect(main).not.toMatch(/number|Promise|satisfies|with \{/);
    expect(compiled.modules.map(({ name, type }) => `${name} ${type}`)).toEqual([
      "main.ts js",
      "lib.ts js",
      "dir/index.ts js",
      "d.json json",
    ]);
  });

  it("imports of types alone vanish, so that they need not exist", async () => {
    const compiled = await compile({
      "main.ts": `import type { A } from "./types"; import { B } from "some-package"; import { type C } from "./c";
        export type { D } from "./d"; const b: B = 1; export default (a: A, c: C) => b;`,
    });
    expect(contentOf(compiled, "main.ts")).not.toContain("import");
  });

  it("knows JSX by the name of the file", async () => {
    const compiled = await compile({ "main.tsx": "const React = 1; export default () => <p>hi</p>;" }, "main.tsx");
    expect(contentOf(compiled, "main.tsx")).toContain("React.createElement");
    expect((await refusal({ "main.ts": "export default () => <p>hi</p>;" })).code).toBe("CODE_SYNTAX");
  });

  it("a template with holes and a computed name make code dynamic, a literal does not", async () => {
    const dynamic = async (call: string): Promise<boolean> =>
      (await compile({ "main.ts": `export default (x) => ${call};`, "lib.ts": "" })).facts.dynamic_code;
    expect(await dynamic('import("./lib")')).toBe(false);
    expect(await dynamic("import(`./lib`)")).toBe(false);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a guest's template, not ours
    expect(await dynamic("import(`./${x}`)")).toBe(true);
    expect(await dynamic("import(x)")).toBe(true);
    expect(await dynamic("eval('1')")).toBe(true);
    expect(await dynamic("new Function('return 1')()")).toBe(true);
  });

  it("the same code compiles once: the same object comes back, in whatever order its modules stand", async () => {
    const a = "export const unique_to_this_test = 1;";
    const first = await compile({ "main.ts": RUNNABLE, "a.ts": a });
    expect(await compile({ "a.ts": a, "main.ts": RUNNABLE })).toBe(first);
    expect(first.hash).toBe(compiler.hash({ entry: "main.ts", modules: { "main.ts": RUNNABLE, "a.ts": a } }));
    expect(await compile({ "main.ts": RUNNABLE, "a.ts": `${a} ` })).not.toBe(first);
  });

  it("known code is judged against the limits of each caller anew", async () => {
    const code = { entry: "main.ts", modules: { "main.ts": RUNNABLE } };
    await compiler.compile(code, LIMITS);
    await expect(compiler.compile(code, { ...LIMITS, code_bytes_max: 1 })).rejects.toHaveProperty(
      "code",
      "CODE_TOO_LARGE",
    );
  });

  it("a chain of 512 modules compiles", async () => {
    const chain = Object.fromEntries(
      Array.from({ length: 511 }, (_, i) => [`m${i}.ts`, i === 510 ? "export {};" : `import "./m${i + 1}";`]),
    );
    const compiled = await compile({ "main.ts": `import "./m0"; ${RUNNABLE}`, ...chain });
    expect(compiled.modules).toHaveLength(512);
  });
});

describe("what was wrong, where, and what would be right", () => {
  const source = `type A = {
  a: number;
};
import { b } from "./nope";
import lodash from "lodash";

export default (a: A) => [a, b, lodash];`;

  it("imports that lead nowhere are told together, by line and column of the original TypeScript", async () => {
    const error = await refusal({ "main.ts": source, "lib.ts": "" });
    expect(error.code).toBe("CODE_IMPORT");
    expect(error.parts.problems).toEqual([
      { at: "main.ts", line: 4, column: 19, text: '"./nope" is not among the modules; there are: lib.ts, main.ts' },
      {
        at: "main.ts",
        line: 5,
        column: 20,
        text: '"lodash" is a package name; write "./lodash" for a module, or bundle the package',
      },
    ]);
    expect(error.parts.detail).toBe(
      'main.ts:4:19: "./nope" is not among the modules; there are: lib.ts, main.ts\n4 | import { b } from "./nope";\n  |                   ^',
    );
  });

  it("a syntax error has file, line, column and a frame", async () => {
    const error = await refusal({ "lib.ts": "export const a = 1;\n  const b: number = ;\n", "main.ts": RUNNABLE });
    expect(error.code).toBe("CODE_SYNTAX");
    expect(error.parts.problems).toEqual([{ at: "lib.ts", line: 2, column: 21, text: 'Unexpected ";"' }]);
    expect(error.parts.detail).toBe(
      'lib.ts:2:21: Unexpected ";"\n2 |   const b: number = ;\n  |                     ^',
    );
  });

  it("a script that is binary, and JSON that is none, are syntax errors", async () => {
    expect((await refusal({ "main.ts": new Uint8Array(3) })).parts.detail).toContain("a script is given as text");
    expect((await refusal({ "main.ts": RUNNABLE, "a.json": "{" })).parts.problems?.[0]?.at).toBe("a.json");
  });

  it.each([
    ["a circle of one", { "main.ts": `import "./main"; ${RUNNABLE}` }, ["main.ts", "main.ts"]],
    [
      "a circle of three behind the entry",
      {
        "main.ts": `import "./a"; ${RUNNABLE}`,
        "a.ts": 'import "./b"',
        "b.ts": 'export * from "./c"',
        "c.ts": 'import "./a"',
      },
      ["a.ts", "b.ts", "c.ts", "a.ts"],
    ],
  ])("%s is named along its path", async (_, modules, path) => {
    const error = await refusal(modules as SourceCode["modules"]);
    expect(error.code).toBe("CODE_CYCLE");
    expect(error.parts.detail).toContain(`in a circle: ${path.join(" -> ")}.`);
    expect(error.parts.problems).toEqual(path.slice(0, -1).map((at, i) => ({ at, text: `imports ${path[i + 1]}` })));
  });

  it("a circle that a dynamic import closes is none: it is evaluated later", async () => {
    await compile({ "main.ts": `import "./a"; ${RUNNABLE}`, "a.ts": 'export const later = () => import("./main");' });
  });

  it.each([
    ["exports nothing", "const a = 1;", "it exports nothing"],
    ["exports names only", "export const a = 1; export function run() {}", "it exports a, run"],
  ])("an entry that %s is refused with what it has", async (_, entry, has) => {
    const error = await refusal({ "main.ts": entry });
    expect(error.code).toBe("CODE_NO_ENTRY");
    expect(error.parts.detail).toContain(has);
    expect(error.parts.detail).toContain("export default async function");
  });

  it("a default export that is re-exported counts", async () => {
    await compile({ "main.ts": 'export { default } from "./lib";', "lib.ts": RUNNABLE });
    await compile({ "main.ts": 'export { run as default } from "./lib";', "lib.ts": "export const run = () => 1;" });
  });

  it("an entry that is missing or no script is refused", async () => {
    expect((await refusal({ "main.ts": RUNNABLE }, "other.ts")).code).toBe("CODE_NO_ENTRY");
    expect((await refusal({ "main.ts": RUNNABLE, "a.json": "{}" }, "a.json")).code).toBe("CODE_NO_ENTRY");
  });
});

describe("facts", () => {
  it("say what the lexer saw in all sources", async () => {
    const { facts } = await compile({
      "main.ts": `import "node:path"; import { connect } from "cloudflare:sockets"; import "./lib";
        fetch("https://API.example.com/v1"); new WebSocket("wss://b.example:8443"); export default () => connect;`,
      "lib.ts": `import "node:path"; export const u = "http://127.0.0.1:80/"; const k = "AKIAABCDEFGHIJKLMNOP";`,
      "m.wasm": Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0),
      "key.txt": "-----BEGIN RSA PRIVATE KEY-----",
      "notes.txt": "https://only.in.text.example",
    });
    expect(facts).toEqual({
      modules: 5,
      bytes: expect.any(Number),
      imports: ["cloudflare:sockets", "node:path"],
      hosts: ["127.0.0.1", "api.example.com", "b.example"],
      dynamic_code: false,
      wasm: true,
      secrets: ["aws_access_key", "private_key"],
    });
  });

  it.each([32, 33])("keep at most 32 hosts of %i", async (count) => {
    const urls = Array.from({ length: count }, (_, i) => `"https://h${String(i).padStart(2, "0")}.example"`);
    const { facts } = await compile({ "main.ts": `export default () => [${urls}];` });
    expect(facts.hosts).toHaveLength(32);
    expect(facts.hosts[31]).toBe("h31.example");
  });

  it("see a token of ours, and no secret where none is", async () => {
    const token = `gtr_agt_${"a1".repeat(18)}`;
    expect((await compile({ "main.ts": `${RUNNABLE} const t = "${token}";` })).facts.secrets).toEqual(["gantry_token"]);
    expect((await compile({ "main.ts": `${RUNNABLE} const t = "${token.slice(0, -1)}";` })).facts.secrets).toEqual([]);
  });
});

/** Each arrow that might be one doubles the ways that esbuild 0.28.2 tries. */
const ENDLESS = `const x = ${"a ? (b) : c => ".repeat(60)}1; ${RUNNABLE}`;

describe("a compiler that is kept busy", () => {
  it("gives a module up after COMPILE_MS_MAX, and takes the next one", async () => {
    const error = await refusal({ "main.ts": ENDLESS });
    expect(error.code).toBe("CODE_COMPILER");
    expect(error.parts.detail).toContain("longer than 2000 ms");
    expect((await compile({ "main.ts": `${RUNNABLE} // after a hang` })).modules).toHaveLength(1);
  });

  it("does not take the work of others down with it", async () => {
    const { transform } = esbuildTransform(systemClock());
    const hang = transform("hang.ts", ENDLESS).catch((error: GantryError) => error.code);
    let hung = true;
    void hang.then(() => {
      hung = false;
    });
    // One after the other, so that one of them is under way when the deadline stops the service.
    const slow = `export default () => [${"(a,".repeat(3_000)}1${")".repeat(3_000)}];`;
    const work: Promise<unknown>[] = [];
    while (hung) {
      work.push(transform("slow.ts", `${slow} // ${work.length}`));
      await Promise.race([work.at(-1), hang]);
    }
    expect(await hang).toBe("CODE_COMPILER");
    const settled = await Promise.allSettled(work);
    expect(settled.filter(({ status }) => status === "rejected")).toEqual([]);
  });

  it("whose process has died is started anew", async () => {
    const { transform } = esbuildTransform(systemClock());
    await transform("a.ts", "1");
    const services = childrenNamed("esbuild");
    expect(services.length).toBeGreaterThan(0);
    for (const pid of services) process.kill(pid, "SIGKILL");
    await eventually(() => childrenNamed("esbuild").length === 0);
    expect((await transform("a.ts", "1 as number")).code).toBe("1;\n");
  });
});

function childrenNamed(name: string): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "latin1").trim().split(" ").filter(Boolean);
  return children.map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, "latin1").trim() === name;
    } catch {
      return false;
    }
  });
}

describe("programs that come at once", () => {
  it("are compiled COMPILES_MAX at a time, COMPILES_WAITING_MAX wait in turn, and one more is refused", async () => {
    const begun: string[] = [];
    const finish: (() => void)[] = [];
    const slow = createCompiler({
      transform: (_, source) => {
        begun.push(source);
        return new Promise((resolve) =>
          finish.push(() => resolve({ code: source, map: '{"version":3,"mappings":""}' })),
        );
      },
      close: async () => {},
    });
    const sources = Array.from({ length: COMPILES_MAX + COMPILES_WAITING_MAX }, (_, i) => `export default ${i};`);
    const compile = (source: string) =>
      slow.compile({ entry: "a.js", modules: { "a.js": source } }, { code_bytes_max: 1_000, modules_max: 1 });
    const all = sources.map(compile);
    await eventually(() => begun.length === COMPILES_MAX, "the first programs are being compiled");
    await expect(compile("export default -1;")).rejects.toMatchObject({ code: "CODE_COMPILER" });
    for (let done = 0; done < sources.length; done++) {
      await eventually(() => finish.length > 0, "another program's turn");
      expect(begun.length - done).toBeLessThanOrEqual(COMPILES_MAX);
      finish.shift()?.();
    }
    expect((await Promise.all(all)).length).toBe(sources.length);
    expect(begun).toEqual(sources);
    const after = compile("export default -2;");
    await eventually(() => finish.length > 0, "a turn after the rush");
    finish.shift()?.();
    expect((await after).entry).toBe("a.js");
  });
});
