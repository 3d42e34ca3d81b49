import { describe, expect, it } from "vitest";
import { UsageError } from "../config.ts";
import { ORIGIN_CHARS_MAX, SUCCESSION_REASON_CHARS_MAX } from "../evidence/contract.ts";
import { checkedAsked } from "./succeed_command.ts";

describe("what a succession is told", () => {
  it("has a reason of up to SUCCESSION_REASON_CHARS_MAX, and none longer", () => {
    const reason = "x".repeat(SUCCESSION_REASON_CHARS_MAX);
    expect(checkedAsked({ reason })).toEqual({ reason, origin: undefined, actor: undefined });
    expect(() => checkedAsked({ reason: `${reason}x` })).toThrow(UsageError);
  });

  it.each([undefined, "", "  "])("is refused without a reason, as %j", (reason) => {
    expect(() => checkedAsked(reason === undefined ? {} : { reason })).toThrow("--reason says why");
  });

  it("may name the successor, as a key can be called", () => {
    const origin = "a".repeat(ORIGIN_CHARS_MAX);
    expect(checkedAsked({ reason: "why", origin }).origin).toBe(origin);
    for (const bad of [`${origin}a`, "two words", "a+b", ""]) {
      expect(() => checkedAsked({ reason: "why", origin: bad })).toThrow("--origin is a name");
    }
  });
});
