import { describe, expect, it } from "vitest";
import { defineErrors, GantryError, hasCode, isGantryError, problemOf } from "./errors.ts";

const errors = defineErrors("TEA", {
  COLD: { status: 409, retry: "later", whose: "gantry", title: "The tea is cold." },
  SPILT: { status: 500, retry: "never", whose: "caller", title: "The tea is spilt." },
});

describe("an error", () => {
  it("has the code of its noun and its key", () => {
    expect(errors.COLD).toEqual({
      code: "TEA_COLD",
      status: 409,
      retry: "later",
      whose: "gantry",
      title: "The tea is cold.",
    });
    const error = new GantryError(errors.COLD, { detail: "It stood for an hour." });
    expect(error.code).toBe("TEA_COLD");
    expect(error.message).toBe("TEA_COLD: It stood for an hour.");
    expect("cause" in error).toBe(false);
    const cause = new Error("draught");
    expect(new GantryError(errors.COLD, { detail: "x", cause }).cause).toBe(cause);
  });

  it("is known by its shape, also from another copy of the module", () => {
    const elsewhere = { kind: { code: "TEA_COLD" }, parts: { detail: "x" } };
    expect(isGantryError(elsewhere)).toBe(true);
    expect(hasCode(elsewhere, errors.COLD)).toBe(true);
    expect(hasCode(elsewhere, errors.SPILT)).toBe(false);
  });

  it.each([
    [null],
    [undefined],
    ["TEA_COLD"],
    [new Error("x")],
    [{ kind: null, parts: {} }],
    [{ kind: {}, parts: {} }],
    [{ kind: { code: 1 }, parts: {} }],
  ])("is not %j", (value) => {
    expect(isGantryError(value)).toBe(false);
    expect(hasCode(value, errors.COLD)).toBe(false);
  });

  it("shows a caller everything but its internal part and its cause", () => {
    const parts = {
      detail: "It stood for an hour.",
      reasons: [{ code: "window_open", detail: "The window is open." }],
      problems: [{ at: "/cup", text: "is empty" }],
      next_steps: [{ kind: "wait" as const, text: "Make another" }],
      run: "run_1",
      snapshot: "snp_1",
      retry_after_ms: 5,
    };
    const error = new GantryError(errors.COLD, {
      ...parts,
      internal: { secret: "sugar" },
      cause: new Error("draught"),
    });
    expect(problemOf(error, "req_1")).toEqual({
      type: "urn:gantry:error:TEA_COLD",
      status: 409,
      code: "TEA_COLD",
      title: "The tea is cold.",
      request: "req_1",
      ...parts,
    });
  });

  it("has no member for what it does not know", () => {
    const body = problemOf(new GantryError(errors.SPILT, { detail: "Everywhere." }));
    expect(Object.keys(body).sort()).toEqual(["code", "detail", "status", "title", "type"]);
  });
});
