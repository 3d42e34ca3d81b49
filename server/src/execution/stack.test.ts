import { afterAll, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { esbuildTransform } from "./adapters/esbuild.ts";
import { createCompiler } from "./compiler.ts";
import type { CompiledCode } from "./contract.ts";
import { readableStack, translatePlaces } from "./stack.ts";

const compiler = createCompiler(esbuildTransform(systemClock()));
afterAll(() => compiler.close());

const LIMITS = { code_bytes_max: 1e9, modules_max: 512 };
/** The third line of the source is the second of what is compiled: the type takes the first two away. */
const SOURCE = "type A =\n  number;\nconst a: A = 1; export default () => { throw a; };";

async function code(modules: Record<string, string> = {}): Promise<CompiledCode> {
  return compiler.compile({ entry: "main.ts", modules: { "main.ts": SOURCE, ...modules } }, LIMITS);
}

describe("places in compiled code", () => {
  it("become places of the source", async () => {
    expect(translatePlaces("at main.ts:1:7", await code())).toBe("at main.ts:3:7");
    expect(translatePlaces("main.ts:1:1 and (main.ts:1:7)", await code())).toBe("main.ts:3:1 and (main.ts:3:7)");
  });

  it("of modules that are not the program's stay as they are", async () => {
    for (const text of ["other.ts:1:7", "node:internal:1:1", "x/main.ts:1:7", "12:30:15", "main.ts:1", ""]) {
      expect(translatePlaces(text, await code())).toBe(text);
    }
  });

  it("a text of name characters only, or of a thousand places, takes no time to speak of", async () => {
    const long = await code({ "a.ts": `${"f(1);\n".repeat(20_000)}export const f = 1;` });
    const began = performance.now();
    translatePlaces("a".repeat(8_192), long);
    const translated = translatePlaces("a.ts:1:1 ".repeat(900), long);
    // It took 54 s when the map was read anew for each.
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(translated.match(/a\.ts:1:1/g)).toHaveLength(900);
  });
});

describe("a stack as its author reads it", () => {
  it("has no frames of ours, and all of the guest's", async () => {
    const stack = [
      "Error: gantry: says no, at host.js:1:1",
      "    at boom (main.ts:1:7)",
      "    at Object.run (gantry:wrapper:20:11)",
      "    at async Run.run (gantry:wrapper:59:16)",
      "    at host.js:100:3",
      "    at async value (host.js:1:2)",
      "    at my-host.js:1:2",
      "    at f (lib/host.js:1:2)",
    ].join("\n");
    expect(readableStack(stack, await code())).toBe(
      [
        "Error: gantry: says no, at host.js:1:1",
        "    at boom (main.ts:3:7)",
        "    at my-host.js:1:2",
        "    at f (lib/host.js:1:2)",
      ].join("\n"),
    );
  });

  it("shows frames of a module of the guest's that is called like our host", async () => {
    const named = await code({ "host.js": "export const a = 1;" });
    expect(readableStack("E\n    at f (host.js:1:7)", named)).toContain("at f (host.js:1:");
  });

  it("has at most 16 lines", async () => {
    const lines = (n: number): string => Array.from({ length: n }, (_, i) => `    at f${i} (x.js:1:1)`).join("\n");
    expect(readableStack(lines(16), await code()).split("\n")).toHaveLength(16);
    expect(readableStack(lines(17), await code()).split("\n")).toHaveLength(16);
  });
});
