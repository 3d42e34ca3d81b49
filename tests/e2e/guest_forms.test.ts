import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Gantry } from "../../sdk/src/client.ts";
import type { ModuleSource, RunRequest, RunView } from "../../sdk/src/types.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

let server: TestServer;
let gantry: Gantry;

beforeAll(async () => {
  server = await startServer();
  gantry = new Gantry({ url: server.url, token: server.token });
});
afterAll(() => server.dispose());

async function ended(code: RunRequest["code"], rest: Omit<RunRequest, "code"> = {}): Promise<RunView> {
  const run = await gantry.runs.submit({ code, ...rest });
  return run.state === "ended" ? run : gantry.runs.wait(run.id);
}

async function resultOf(code: RunRequest["code"], rest: Omit<RunRequest, "code"> = {}): Promise<unknown> {
  const run = await ended(code, rest);
  expect(run.error).toBeUndefined();
  expect(run.termination).toBe("completed");
  return run.result;
}

const wasm = readFileSync(new URL("../../examples/wasm-checksum/crc32.wasm", import.meta.url)).toString("base64");

describe("the four forms of a program", () => {
  const vars = { NAME: "Ada" };
  const forms: [form: string, source: string][] = [
    [
      "a function",
      "export default async function (input, env, ctx) { return { input, env: { ...env }, run: ctx.run }; }",
    ],
    [
      "an object with run",
      "export default { async run(input, env, ctx) { return { input, env: { ...env }, run: ctx.run }; } };",
    ],
    [
      "a class",
      `import { WorkerEntrypoint } from "cloudflare:workers";
       export default class extends WorkerEntrypoint {
         run(input) { return { input, env: { ...this.env }, run: this.ctx.run }; }
       }`,
    ],
    [
      "an object with fetch",
      `export default { async fetch(request, env, ctx) {
         return Response.json({ input: await request.json(), env: { ...env }, run: ctx.run });
       } };`,
    ],
  ];

  it.each(forms)("%s gets its input, its variables and its run's id", async (_form, source) => {
    const run = await ended({ source }, { input: { n: [1, null, "é"] }, vars });
    expect(run.error).toBeUndefined();
    expect(run.result).toEqual({ input: { n: [1, null, "é"] }, env: vars, run: run.id });
  });

  it("a class with fetch answers as an object with fetch does", async () => {
    const source = `import { WorkerEntrypoint } from "cloudflare:workers";
      export default class extends WorkerEntrypoint { fetch(request) { return new Response(request.method); } }`;
    expect(await resultOf({ source })).toBe("POST");
  });

  it("this is the object itself, so that methods can call each other", async () => {
    const source = "export default { half: (n) => n / 2, run(input) { return this.half(input); } };";
    expect(await resultOf({ source }, { input: 8 })).toBe(4);
  });

  it("a run without input gets null, and undefined as a result becomes null", async () => {
    expect(await resultOf({ source: "export default (input) => input === null" })).toBe(true);
    expect(await resultOf({ source: "export default () => {}" })).toBe(null);
  });
});

describe("ctx", () => {
  it("deadline is when the wall limit will be reached", async () => {
    const source =
      "export default (_, __, ctx) => ({ left: ctx.deadline - Date.now(), whole: Number.isInteger(ctx.deadline) })";
    const { left, whole } = (await resultOf({ source }, { limits: { wall_ms: 20_000 } })) as {
      left: number;
      whole: boolean;
    };
    expect(whole).toBe(true);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(20_000);
  });

  it("the run is over only when waitUntil has settled, and what fails there is in the log", async () => {
    const source = `export default (_, __, ctx) => {
      ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 120)).then(() => console.log("late")));
      ctx.waitUntil(Promise.reject(new Error("lost")));
      return "early";
    };`;
    const run = await ended({ source });
    expect(run).toMatchObject({ termination: "completed", result: "early" });
    expect(run.timing?.completion_ms).toBeGreaterThanOrEqual(110);
    const lines: string[] = [];
    for await (const { text } of gantry.runs.logs(run.id)) lines.push(text);
    expect(lines.some((text) => text.includes("late"))).toBe(true);
    expect(lines.some((text) => text.includes("lost"))).toBe(true);
  });

  it("waitUntil holds a Response's run open too", async () => {
    const source = `export default { fetch(_, __, ctx) {
      ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 120)).then(() => console.log("late")));
      return new Response("early");
    } };`;
    const run = await ended({ source });
    expect(run).toMatchObject({ termination: "completed", result: "early" });
    expect(run.usage?.log_bytes).toBeGreaterThan(0);
  });
});

describe("a Response", () => {
  const respond = (expression: string) => ended({ source: `export default { fetch: (request) => ${expression} };` });

  it("status and headers are told, an error status is no error of the run", async () => {
    const run = await respond(
      "new Response('no such thing', { status: 404, headers: [['x-one', '1'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']] })",
    );
    expect(run).toMatchObject({ termination: "completed", result: "no such thing", http: { status: 404 } });
    const headers = run.http?.headers ?? [];
    expect(headers).toContainEqual(["x-one", "1"]);
    expect(headers.filter(([name]) => name === "set-cookie")).toEqual([
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
    ]);
  });

  it("JSON is a value, text is a string, other bytes are base64", async () => {
    expect((await respond("Response.json({ a: 1 })")).result).toEqual({ a: 1 });
    expect((await respond("new Response('a, ü')")).result).toBe("a, ü");
    const binary = await respond(
      "new Response(new Uint8Array([0, 255, 1, 254]), { headers: { 'content-type': 'application/octet-stream' } })",
    );
    expect(binary.result).toEqual({ base64: "AP8B/g==" });
    expect(binary.http?.status).toBe(200);
  });

  it("an empty body is an empty string", async () => {
    const run = await respond("new Response('', { status: 201 })");
    expect(run).toMatchObject({ termination: "completed", http: { status: 201 }, result: "" });
  });

  it.each([204, 205, 304])("status %i, which has no body, is an empty string", async (status) => {
    const run = await respond(`new Response(null, { status: ${status} })`);
    expect(run).toMatchObject({ termination: "completed", http: { status }, result: "" });
  });

  it("the request is a POST with the input as JSON", async () => {
    const source = `export default { async fetch(request) {
      return Response.json([request.method, request.headers.get("content-type"), await request.text()]);
    } };`;
    const result = await resultOf({ source }, { input: { a: "é" } });
    expect(result).toEqual(["POST", "application/json", '{"a":"é"}']);
  });

  it("what fetch throws is the run's error, with the guest's own stack", async () => {
    const source = "export default {\n  fetch() {\n    throw new RangeError('too far');\n  },\n};\n";
    const run = await ended({ source });
    expect(run).toMatchObject({ termination: "threw", error: { code: "RUN_THREW", name: "RangeError" } });
    expect(run.error?.detail).toContain("too far");
    expect(run.error?.stack).toContain("main.ts:3:11");
  });
});

describe("modules", () => {
  const program = (modules: Record<string, ModuleSource>, entry = "main.ts") => ({ entry, modules });

  it("TypeScript in directories, with types, enums, and imports in every spelling", async () => {
    const code = program(
      {
        "app/main.ts": `
        import { area, type Shape } from "../lib/shapes";
        import { round } from "../lib/round.js";
        import names from "../lib";
        export default function (input: Shape[]): string[] {
          return input.map((shape: Shape) => names[shape.kind] + " " + round(area(shape), 1));
        }`,
        "lib/shapes.ts": `
        export enum Kind { Square, Circle }
        export interface Shape { kind: Kind; size: number }
        export const area = ({ kind, size }: Shape): number => kind === Kind.Square ? size ** 2 : Math.PI * size ** 2;`,
        "lib/round.ts": "export const round = (n: number, digits: number): string => n.toFixed(digits);",
        "lib/index.ts": 'export default ["square", "circle"] as const satisfies string[];',
      },
      "app/main.ts",
    );
    const input = [
      { kind: 0, size: 2 },
      { kind: 1, size: 1 },
    ];
    expect(await resultOf(code, { input })).toEqual(["square 4.0", "circle 3.1"]);
  });

  it("JavaScript modules and dynamic imports", async () => {
    const code = program(
      {
        "main.js": 'export default async (n) => (await import("./twice.mjs")).default(n);',
        "twice.mjs": "export default (n) => 2 * n;",
      },
      "main.js",
    );
    expect(await resultOf(code, { input: 21 })).toBe(42);
  });

  it("JSON, text, WebAssembly and bytes", async () => {
    const code = program({
      "main.ts": `
        import config from "./data/config.json";
        import poem from "./data/poem.txt";
        import bytes from "./data/bytes.bin";
        import module from "./crc32.wasm";
        export default async () => {
          const instance = await WebAssembly.instantiate(module, {});
          return {
            config, poem, bytes: [...new Uint8Array(bytes)],
            wasm: [module instanceof WebAssembly.Module, Object.keys(instance.exports).length > 0],
          };
        };`,
      "data/config.json": '{"deep":{"list":[1,2]}}',
      "data/poem.txt": "roses – ü\n",
      "data/bytes.bin": { base64: "AAEC/w==" },
      "crc32.wasm": { base64: wasm },
    });
    expect(await resultOf(code)).toEqual({
      config: { deep: { list: [1, 2] } },
      poem: "roses – ü\n",
      bytes: [0, 1, 2, 255],
      wasm: [true, true],
    });
  });

  it("the runtime's own modules: node: and cloudflare:", async () => {
    const source = `import { createHash } from "node:crypto";
      import { Buffer } from "node:buffer";
      import path from "node:path/posix";
      export default () => [createHash("sha256").update("a").digest("hex").slice(0, 8), Buffer.from("é").length, path.join("a", "..", "b")];`;
    expect(await resultOf({ source })).toEqual(["ca978112", 2, "b"]);
  });

  it("an error in a module is told at its place in the TypeScript source", async () => {
    const run = await ended(
      program({
        "main.ts": 'import { check } from "./lib/check.ts";\nexport default (input: number) => check(input);\n',
        "lib/check.ts":
          "interface Wide {\n  a: number;\n}\n\nexport function check(n: number): Wide {\n  if (n > 1) throw new TypeError('too many');\n  return { a: n };\n}\n",
      }),
      { input: 2 },
    );
    expect(run).toMatchObject({ termination: "threw", error: { name: "TypeError", code: "RUN_THREW" } });
    expect(run.error?.stack).toMatch(/lib\/check\.ts:6:20/);
    expect(run.error?.stack).toMatch(/main\.ts:2:\d+/);
    expect(run.error?.stack).not.toMatch(/gantry:|wrapper/);
  });

  it("at 64 modules a program runs", async () => {
    const modules = Object.fromEntries(
      Array.from({ length: 64 }, (_, i) => [
        `m${i}.ts`,
        i === 63 ? "export default () => 63" : `import next from "./m${i + 1}.ts";\nexport default () => next();`,
      ]),
    );
    expect(await resultOf(program(modules, "m0.ts"))).toBe(63);
  });
});

describe("vars", () => {
  it("64 of them, each up to 5,120 bytes, nothing else in env", async () => {
    const vars = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`V${i}`, "x".repeat(i === 0 ? 5_120 : i)]));
    const source = "export default (_, env) => Object.entries(env).map(([name, text]) => [name, text.length]);";
    const result = (await resultOf({ source }, { vars })) as [string, number][];
    expect(Object.fromEntries(result)).toEqual(
      Object.fromEntries(Object.entries(vars).map(([name, text]) => [name, text.length])),
    );
  });
});
