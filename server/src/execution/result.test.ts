import { describe, expect, it } from "vitest";
import type { HostOutcome } from "../../../isolate/src/protocol.ts";
import type { CompiledCode } from "./contract.ts";
import { type HostAnswer, judgeAnswer } from "./result.ts";

const CODE = { hash: "", entry: "main.ts", modules: [], facts: {} } as unknown as CompiledCode;

function judge(outcome: HostOutcome | undefined, body: string | Buffer, head?: HostAnswer["head"]) {
  const said = { status: 500, begun: 5, started: 7, is_silent: true };
  return judgeAnswer({ outcome, head, body: Buffer.from(body as string), ...said }, CODE);
}

const fault = (parts: object): string => JSON.stringify({ name: "Error", message: "no", ...parts });

describe("judging what the host answered", () => {
  it("a value is its JSON text as it came", () => {
    expect(judge("value", '{"a": 1}')).toEqual({ ending: "completed", result: '{"a": 1}' });
  });

  it.each(["", "undefined", "{", "NaN", "[1] 2"])("%j is no JSON, whatever the wrapper said", (body) => {
    expect(judge("value", body)).toMatchObject({ ending: "threw", error: { code: "RUN_RESULT_NOT_JSON" } });
  });

  it.each<[HostOutcome, string, string]>([
    ["threw", "threw", "RUN_THREW"],
    ["not_json", "threw", "RUN_RESULT_NOT_JSON"],
    ["never_settles", "threw", "RUN_NEVER_SETTLES"],
    ["load_failed", "load_failed", "RUN_LOAD_FAILED"],
    ["no_entry", "load_failed", "CODE_NO_ENTRY"],
  ])("%s ends %s with %s", (outcome, ending, code) => {
    expect(judge(outcome, fault({}))).toMatchObject({ ending, error: { code } });
  });

  it("output that is too long has an ending and no result", () => {
    expect(judge("output_exceeded", "")).toEqual({ ending: "output_exceeded" });
  });

  it("what was thrown is quoted, and cut", () => {
    const { error } = judge(
      "threw",
      fault({ name: "N".repeat(200), message: "m".repeat(5_000), stack: "s".repeat(9_000) }),
    );
    expect(error?.name).toHaveLength(128);
    expect(error?.detail).toHaveLength(128 + 2 + 4_096);
    expect(error?.stack).toHaveLength(4_096);
  });

  it("a fault without texts is one all the same", () => {
    expect(judge("threw", "{}").error?.detail).toBe("undefined: undefined");
  });

  it("a top level that failed is told in one line, without the engine's own words around it", () => {
    const message = "Failed to start Worker:\nUncaught TypeError: a is not a function\n  at main.js:1:7";
    expect(judge("load_failed", fault({ message })).error?.detail).toBe(
      "The code did not load: TypeError: a is not a function at main.js:1:7",
    );
  });
});

describe("a Response as a result", () => {
  const head = (type?: string): HostAnswer["head"] => ({
    status: 201,
    headers: type === undefined ? [] : [["Content-Type", type]],
  });

  it.each<[string, string | undefined, string | Buffer, string]>([
    ["JSON that says so", "application/json; charset=utf-8", '{"a": 1}', '{"a": 1}'],
    ["JSON of a vendor", "application/problem+json", "[1]", "[1]"],
    ["text that only says that it is JSON", "application/json", "{oops", '"{oops"'],
    ["text", "text/plain", 'a "b"', '"a \\"b\\""'],
    ["text without a type", undefined, "1", '"1"'],
    ["no body", undefined, "", '""'],
    ["bytes", "application/json", Buffer.of(0xff, 0xfe), '{"base64":"//4="}'],
  ])("%s", (_, type, body, result) => {
    expect(judge("http", body, head(type))).toEqual({ ending: "completed", result, http: head(type) });
  });

  it("without a head has no http", () => {
    expect(judge("http", "x")).toEqual({ ending: "completed", result: '"x"' });
  });
});
