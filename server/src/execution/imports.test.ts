import { beforeAll, describe, expect, it } from "vitest";
import type { GantryError } from "../kernel/errors.ts";
import { findCycle, type Linked, lexerReady, link } from "./imports.ts";

const EMPTY_MAP = JSON.stringify({ version: 3, sources: ["main.js"], names: [], mappings: "" });

/** A script whose compiled code is its source. */
function linkCode(code: string, names: string[] = [], name = "main.js"): Linked {
  return link({ name, source: code, code, map: EMPTY_MAP }, new Set([name, ...names]));
}

function refusal(code: string, names: string[] = [], name = "main.js"): GantryError {
  try {
    linkCode(code, names, name);
  } catch (error) {
    return error as GantryError;
  }
  throw new Error(`not refused: ${code}`);
}

beforeAll(lexerReady);

describe("relative imports", () => {
  it.each([
    ["./lib", "lib.ts", "./lib.ts"],
    ["./lib.js", "lib.ts", "./lib.ts"],
    ["./lib.mjs", "lib.mts", "./lib.mts"],
    ["./lib.jsx", "lib.tsx", "./lib.tsx"],
    ["./lib.js", "lib.js", "./lib.js"],
    ["./dir", "dir/index.ts", "./dir/index.ts"],
    ["./dir/../lib", "lib.js", "./lib.js"],
    ["./data.json", "data.json", "./data.json"],
    ["./m.wasm", "m.wasm", "./m.wasm"],
    ["./.hidden", ".hidden.ts", "./.hidden.ts"],
    ["./..odd", "..odd.ts", "./..odd.ts"],
  ])("%s means %s", (specifier, module, spelled) => {
    const linked = linkCode(`import x from ${JSON.stringify(specifier)};`, [module]);
    expect(linked.needs).toEqual([module]);
    expect(linked.code).toBe(`import x from ${JSON.stringify(spelled)};`);
  });

  it("a file is preferred to the index of a directory, and an exact name to both", () => {
    const names = ["lib", "lib.ts", "lib/index.ts"];
    expect(linkCode('import "./lib";', names).needs).toEqual(["lib"]);
    expect(linkCode('import "./lib";', names.slice(1)).needs).toEqual(["lib.ts"]);
    expect(linkCode('import "./lib";', names.slice(2)).needs).toEqual(["lib/index.ts"]);
  });

  it("are seen from the module's own directory", () => {
    const names = ["main.ts", "a/c/deep.ts", "b.ts"];
    const linked = linkCode('import "../b"; import "./c/deep"; import "../main";', names, "a/x.js");
    expect(linked.needs).toEqual(["b.ts", "a/c/deep.ts", "main.ts"]);
    expect(linked.code).toBe('import "../b.ts"; import "./c/deep.ts"; import "../main.ts";');
  });

  it("may not leave the program's own directory", () => {
    for (const specifier of ["../up", "../../etc/passwd", "./a/../../up"]) {
      expect(refusal(`import ${JSON.stringify(specifier)};`).parts.detail).toContain(
        "leaves the program's own directory",
      );
    }
  });

  it("keep everything around them as it is", () => {
    const names = ["a.ts", "b.ts"];
    const code = `/* "./a" */ import A, { x as y } from './a'; const s = "import './b'";\nexport * from "./b"; export { z as "q r" } from "./b";`;
    const linked = linkCode(code, names);
    expect(linked.code).toBe(
      `/* "./a" */ import A, { x as y } from "./a.ts"; const s = "import './b'";\nexport * from "./b.ts"; export { z as "q r" } from "./b.ts";`,
    );
    expect(linked.needs).toEqual(["a.ts", "b.ts"]);
  });
});

describe("dynamic imports", () => {
  it("with a literal name are rewritten, and are not among what must be evaluated first", () => {
    const linked = linkCode("const m = await import('./lib');", ["lib.ts"]);
    expect(linked.code).toBe('const m = await import("./lib.ts");');
    expect(linked).toMatchObject({ needs: [], computed: false });
  });

  it("with a template that has no holes are literal", () => {
    expect(linkCode("await import(`./lib`);", ["lib.ts"]).code).toBe('await import("./lib.ts");');
  });

  it("with a literal name that is missing are refused", () => {
    expect(refusal('await import("./nope");').code).toBe("CODE_IMPORT");
  });

  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a guest's template, not ours
  it.each(["import(name)", "import('./' + name)", "import(`./${name}`)", "import(`${name}`)"])(
    "%s is computed and left alone",
    (code) => {
      const linked = linkCode(`${code};`);
      expect(linked).toMatchObject({ code: `${code};`, computed: true, needs: [] });
    },
  );

  it("of the runtime are noted", () => {
    expect(linkCode('await import("node:path");').runtime).toEqual(["node:path"]);
  });
});

describe("import attributes", () => {
  it.each([
    ['import d from "./d.json" with { type: "json" };', 'import d from "./d.json";'],
    ['import d from "./d.json"\n  with { type: "json" }; f();', 'import d from "./d.json"; f();'],
    ['export * from "./d.json" with { type: "json" };', 'export * from "./d.json";'],
    ['export { default } from "./d.json" with { type: "json" };', 'export { default } from "./d.json";'],
    ['await import("./d.json", { with: { type: "json" } });', 'await import("./d.json");'],
    ['await import("./d.json", );', 'await import("./d.json");'],
  ])("%j becomes %j", (code, expected) => {
    expect(linkCode(code, ["d.json"]).code).toBe(expected);
  });
});

describe("imports of the runtime", () => {
  it.each(["node:fs", "node:fs/promises", "node:assert/strict", "cloudflare:workers", "cloudflare:sockets"])(
    "%s exists in an isolate",
    (name) => expect(linkCode(`import x from "${name}";`)).toMatchObject({ runtime: [name], needs: [] }),
  );

  it.each(["node:child_process", "node:worker_threads", "node:inspector", "node:", "cloudflare:email", "cloudflare:x"])(
    "%s does not, and is refused",
    (name) => expect(refusal(`import x from "${name}";`).parts.detail).toContain("does not exist in an isolate"),
  );

  it.each([
    "workerd:unsafe",
    "gantry:config",
    "gantry:wrapper",
    "data:text/javascript,1",
    "http://a.example/x.js",
    "file:///etc/passwd",
  ])("%s is refused", (name) =>
    expect(refusal(`import x from "${name}";`).parts.detail).toContain("only modules of the program can"),
  );

  it.each(["lodash", "@scope/pkg", "lib.ts", "fs", "/etc/passwd", ""])("the bare name %j is refused", (name) => {
    expect(refusal(`import x from "${name}";`, ["lib.ts"]).parts.detail).toContain("is a package name");
  });

  it("an escape in a specifier does not get past the list", () => {
    expect(refusal('import x from "gantr\\u0079:config";').code).toBe("CODE_IMPORT");
    expect(refusal('await import("gantr\\x79:config");').code).toBe("CODE_IMPORT");
  });
});

describe("what else the lexer sees", () => {
  it("names what is exported", () => {
    const code = "export const a = 1; export default () => a; export { a as b }; export class C {}";
    expect(linkCode(code).exports.sort()).toEqual(["C", "a", "b", "default"]);
  });

  it("import.meta is not an import", () => {
    expect(linkCode("console.log(import.meta.url);")).toMatchObject({ needs: [], computed: false });
  });

  it("brackets 1,000 deep are followed, and deeper ones refused as the program's fault", () => {
    const nested = (depth: number): string => `export default ${"[".repeat(depth)}${"]".repeat(depth)};`;
    expect(linkCode(nested(1_000)).exports).toEqual(["default"]);
    const error = refusal(nested(5_000));
    expect(error.code).toBe("CODE_SYNTAX");
    expect(error.parts.problems?.[0]?.at).toBe("main.js");
  });

  it("of a module with 100,000 wrong imports, 32 are told, in time that does not grow with their square", () => {
    const began = performance.now();
    const error = refusal('import "a";'.repeat(100_000));
    expect(error.parts.problems).toHaveLength(32);
    // It took a minute and a half for a tenth of them when each was placed on its own.
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it("a module that is imported often is needed once", () => {
    expect(linkCode('import "./a";'.repeat(10_000), ["a.ts"]).needs).toEqual(["a.ts"]);
  });
});

describe("circles of imports", () => {
  const graph = (edges: Record<string, string[]>): Map<string, string[]> => new Map(Object.entries(edges));

  it("there is none in a tree, nor where two paths meet", () => {
    expect(findCycle(graph({ a: ["b", "c"], b: ["d"], c: ["d"], d: [] }))).toBeUndefined();
    expect(findCycle(graph({}))).toBeUndefined();
  });

  it("are named along their path, without the way that leads into them", () => {
    expect(findCycle(graph({ main: ["a"], a: ["b"], b: ["c"], c: ["a"] }))).toEqual(["a", "b", "c", "a"]);
    expect(findCycle(graph({ a: ["a"] }))).toEqual(["a", "a"]);
    expect(findCycle(graph({ main: ["leaf", "x"], leaf: [], x: ["main"] }))).toEqual(["main", "x", "main"]);
  });

  it("modules without scripts, as JSON, end a path", () => {
    expect(findCycle(graph({ a: ["data.json"] }))).toBeUndefined();
  });

  it("a chain of 2,000 needs no stack of ours, closed to a circle or not", () => {
    const chain = new Map(Array.from({ length: 2_000 }, (_, i) => [`m${i}`, [`m${i + 1}`]]));
    expect(findCycle(chain)).toBeUndefined();
    expect(findCycle(chain.set("m1999", ["m0"]))).toHaveLength(2_001);
  });
});
