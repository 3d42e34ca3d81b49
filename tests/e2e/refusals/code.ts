import { MB, modules, type Refusal, raw, run, source } from "./refusal.ts";

/** Code that is judged before anything runs. */
export const code: Refusal[] = [
  {
    what: "a syntax error",
    send: source("export default () => {\n  const x = ;\n};\n"),
    status: 400,
    code: "CODE_SYNTAX",
    at: { at: "main.ts", line: 2, column: 13 },
    says: /main\.ts:2:13.*\n2 \| {3}const x = ;\n {2}\| {13}\^/s,
  },
  {
    what: "a syntax error in TypeScript, in another module",
    send: modules("main.ts", {
      "main.ts": 'import { f } from "./lib/f.ts";\nexport default f;\n',
      "lib/f.ts": "export function f(a: number {\n  return a;\n}\n",
    }),
    status: 400,
    code: "CODE_SYNTAX",
    at: { at: "lib/f.ts", line: 1, column: 29 },
    says: /\^/,
  },
  {
    what: "JSON that is none, in a module",
    send: modules("main.ts", { "main.ts": "export default () => 1", "a.json": "{,}" }),
    status: 400,
    code: "CODE_SYNTAX",
    at: { at: "a.json" },
  },
  {
    what: "no default export",
    send: source("export const main = () => 1;"),
    status: 400,
    code: "CODE_NO_ENTRY",
    at: { at: "main.ts" },
    says: /it exports main.*export default async function/s,
  },
  {
    what: "an entry that is not among the modules",
    send: modules("start.ts", { "main.ts": "export default () => 1" }),
    status: 400,
    code: "CODE_NO_ENTRY",
    says: /"start\.ts".*main\.ts/,
  },
  {
    what: "a missing import",
    send: modules("main.ts", { "main.ts": 'import a from "./a";\nexport default a;\n', "b.ts": "export default 1" }),
    status: 400,
    code: "CODE_IMPORT",
    at: { at: "main.ts", line: 1, column: 15 },
    says: /b\.ts/,
  },
  {
    what: "an import that leaves the program's directory",
    send: source('import a from "../../etc/passwd";\nexport default a;\n'),
    status: 400,
    code: "CODE_IMPORT",
    at: { at: "main.ts", line: 1, column: 15 },
    says: /leaves/,
  },
  {
    what: "an import of a package",
    send: source('import lodash from "lodash";\nexport default lodash;\n'),
    status: 400,
    code: "CODE_IMPORT",
    says: /package name/,
  },
  {
    what: "an import of what no isolate has",
    send: source('import { exec } from "node:child_process";\nexport default exec;\n'),
    status: 400,
    code: "CODE_IMPORT",
    says: /node:child_process/,
  },
  {
    what: "imports in a circle",
    send: modules("main.ts", {
      "main.ts": 'import { b } from "./b.ts";\nexport const a = 1;\nexport default () => b;\n',
      "b.ts": 'import { a } from "./main.ts";\nexport const b = a;\n',
    }),
    status: 400,
    code: "CODE_CYCLE",
    at: { at: "main.ts" },
    says: /main\.ts -> b\.ts -> main\.ts/,
  },
  ...["../up.ts", "/etc/passwd", "a/../../b.ts", "./a.ts", "a//b.ts", "C:\\x.ts", "a\u0000.ts", "a/__proto__/b.ts"].map(
    (name): Refusal => ({
      what: `a module named ${JSON.stringify(name)}`,
      send: modules("main.ts", { "main.ts": "export default () => 1", [name]: "export {}" }),
      status: 400,
      code: "CODE_NAME",
      at: { at: name },
    }),
  ),
  {
    what: "a module named __proto__",
    send: raw('{"code":{"entry":"main.ts","modules":{"main.ts":"export default () => 1","__proto__":"x"}}}'),
    status: 400,
    code: "CODE_NAME",
    at: { at: "/code/modules/__proto__" },
  },
  {
    what: "code one byte over the default limit",
    send: () => source(`export default () => 1;//${"x".repeat(4 * MB - 25 + 1)}`),
    status: 413,
    code: "CODE_TOO_LARGE",
    says: /4194305 bytes; at most 4194304/,
  },
  {
    what: "code one byte over the limit that the request names",
    send: run({ limits: { code_bytes_max: 21 } }),
    status: 413,
    code: "CODE_TOO_LARGE",
    says: /22 bytes; at most 21/,
  },
  {
    what: "65 modules",
    send: () => modules("m0.js", many(65)),
    status: 413,
    code: "CODE_TOO_LARGE",
    says: /65 modules; at most 64/,
  },
  {
    what: "10,001 modules",
    send: () => modules("m0.js", many(10_001)),
    status: 413,
    code: "CODE_TOO_LARGE",
    says: /10001 modules; at most 64/,
  },
];

function many(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`m${i}.js`, "export default () => 1"]));
}
