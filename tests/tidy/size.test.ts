import ts from "typescript";
import { describe, expect, it } from "vitest";
import { CODE, nodes, parse, place, type Source, sources, TESTS } from "./source.ts";

const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

function longFunctions(source: Source): string[] {
  const file = parse(source);
  const line = (position: number) => file.getLineAndCharacterOfPosition(position).line;
  return nodes(file)
    .filter((node) => ts.isFunctionLike(node) && "body" in node && node.body !== undefined)
    .map((node) => ({ at: place(file, node), lines: line(node.getEnd()) - line(node.getStart()) + 1 }))
    .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
    .map(({ at, lines }) => `${at} has ${lines} lines`);
}

const code = (lines: number) => `function f() {\n${"  f();\n".repeat(lines - 2)}}`;

describe("sizes", () => {
  it(`no file has more than ${FILE_LINES_MAX} lines`, () => {
    const long = sources(CODE)
      .map(({ path, text }) => ({ path, lines: text.trimEnd().split("\n").length }))
      .filter(({ lines }) => lines > FILE_LINES_MAX);
    expect(long).toEqual([]);
  });

  // A test's callback is a list of tests, so that its length says nothing.
  it(`no function has more than ${FUNCTION_LINES_MAX} lines`, () => {
    expect(sources(CODE, TESTS).flatMap(longFunctions)).toEqual([]);
  });

  it("are counted: a function at the limit passes, one line more does not", () => {
    expect(longFunctions({ path: "a.ts", text: code(FUNCTION_LINES_MAX) })).toEqual([]);
    expect(longFunctions({ path: "a.ts", text: code(FUNCTION_LINES_MAX + 1) })).toEqual(["a.ts:1 has 71 lines"]);
  });
});
