import { GantryApiError } from "@gantry/sdk";
import { describe, expect, it } from "vitest";
import { GantryError } from "../kernel/errors.ts";
import { type Logger, silentLogger } from "../kernel/log.ts";
import { mcp_errors } from "./contract.ts";
import { refused } from "./refusal.ts";

const textOf = (result: ReturnType<typeof refused>) => {
  const [block] = result.content;
  return block?.type === "text" ? block.text : "";
};
const problem = { type: "urn:x", status: 403, title: "No.", code: "EGRESS_HOST", detail: "No rule grants it." };

describe("a refusal", () => {
  it("of the API reads as an instruction: code, detail, reasons, places, next steps, and a rule to paste", () => {
    const error = new GantryApiError({
      ...problem,
      reasons: [{ code: "POLICY_X", detail: "because" }],
      problems: [{ at: "own.yaml", line: 3, column: 1, text: "is not known" }],
      next_steps: [
        { kind: "command", text: "Look", command: "gantry runs list" },
        { kind: "contract.egress.rule", text: "The narrowest rule", rule: { hosts: ["a.example"] } },
      ],
      run: "run_1",
      retry_after_ms: 1_000,
    });
    const result = refused(error, "run_code", silentLogger);
    expect(result.isError).toBe(true);
    expect(result.structuredContent).toMatchObject({
      refusal: { code: "EGRESS_HOST", run: "run_1", next_steps: [{}, { rule_yaml: '- hosts: ["a.example"]' }] },
    });
    const text = textOf(result);
    for (const each of [
      "Refused: EGRESS_HOST. No rule grants it.",
      "POLICY_X: because",
      "own.yaml:3:1: is not known",
      "1. Look: `gantry runs list` (in a terminal)",
      '- hosts: ["a.example"]',
      "add_egress",
      "run_1",
      "1000 ms",
    ]) {
      expect(text).toContain(each);
    }
  });

  it("of a tool itself has the same form", () => {
    const error = new GantryError(mcp_errors.ARGUMENTS, { detail: "Give one of both." });
    expect(textOf(refused(error, "x", silentLogger))).toBe("Refused: MCP_ARGUMENTS. Give one of both.");
  });

  it("of what nobody expected says nothing of the inside, which the log has", () => {
    const logged: object[] = [];
    const log: Logger = { ...silentLogger, error: (fields) => void logged.push(fields) };
    const cause = new Error("/etc/secret/place is not there");
    const result = refused(cause, "get_run", log);
    expect(JSON.stringify(result)).not.toContain("secret");
    expect(textOf(result)).toContain("MCP_INTERNAL");
    expect(logged).toEqual([{ tool: "get_run", error: cause }]);
  });

  it("of great length is cut", () => {
    const error = new GantryApiError({ ...problem, detail: "x".repeat(100_000) });
    expect(textOf(refused(error, "x", silentLogger)).length).toBeLessThan(3_000);
  });
});
