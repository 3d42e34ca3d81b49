import { SourceMap } from "node:module";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { esbuildTransform } from "./adapters/esbuild.ts";
import { decodeMap } from "./source_map.ts";

const compiler = esbuildTransform(systemClock());
afterAll(() => compiler.close());

describe("a source map", () => {
  it("gives the places that node:module's gives, for whatever esbuild writes", async () => {
    const line = fc.constantFrom(
      "const a: number = f(1, 2);",
      "type T = { a: 1 };",
      "",
      "\texport function f(x?: string): void { g(x!); }",
      "enum E { A, B }",
      "/* a comment\n of two lines */ g();",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a guest's template, not ours
      "`a template\n of ${two} lines`;",
      "const ä = '€😀'; g(ä);",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 12 }), async (lines) => {
        const unique = lines.map((text, i) => text.replace(/\b([afE])\b(?=[: (])|\b(ä)\b/g, `$1$2${i}`));
        const { code, map } = await compiler.transform("a.ts", unique.join("\n")).catch(() => ({ code: "", map: "" }));
        if (map === "") return;
        const origin = decodeMap(map);
        const reference = new SourceMap(JSON.parse(map));
        for (const [at, text] of code.split("\n").entries()) {
          for (let column = 0; column <= text.length; column++) {
            const entry = reference.findEntry(at, column);
            const expected =
              "originalLine" in entry ? { line: entry.originalLine, column: entry.originalColumn } : undefined;
            expect(origin(at, column)).toEqual(expected);
          }
        }
      }),
    );
  });

  it("without mappings finds nothing", () => {
    const origin = decodeMap('{"version":3,"mappings":""}');
    expect(origin(0, 0)).toBeUndefined();
    expect(origin(99, 99)).toBeUndefined();
  });

  it("of 100,000 lines is decoded in a moment", () => {
    const origin = decodeMap(
      JSON.stringify({ mappings: "AAAA,CAAC,CAAC;".padEnd(15) + "AACA,CAAC,CAAC;".repeat(100_000) }),
    );
    const began = performance.now();
    expect(origin(99_999, 2)).toEqual({ line: 99_999, column: expect.any(Number) });
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
