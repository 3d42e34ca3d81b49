import { expect, it } from "vitest";
import { redactTokens } from "./log.ts";

const secret = "A".repeat(36);

it.each(["hum", "agt", "svc", "lnk"])("a token of kind %s leaves no line", (kind) => {
  const line = `Bearer gtr_${kind}_${secret}, and again: gtr_${kind}_${secret}.`;
  expect(redactTokens(line)).toBe(`Bearer gtr_${kind}_[redacted], and again: gtr_${kind}_[redacted].`);
});

it("a lease leaves no line", () => {
  expect(redactTokens(`env GITHUB_TOKEN=gl_${"a".repeat(38)}!`)).toBe("env GITHUB_TOKEN=gl_[redacted]!");
});

it("other text stays as it is", () => {
  for (const line of ["nothing here", "gtr_", "gtr_hum_short", `xgtr_hum_${secret}`])
    expect(redactTokens(line)).toBe(line);
});
