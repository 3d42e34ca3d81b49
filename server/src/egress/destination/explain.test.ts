import { describe, expect, it } from "vitest";
import { contractWith, TRIAGE, viewUnder } from "../../../../tests/fixtures/egress_calls.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { explainCall } from "./explain.ts";

describe("what a call would be told", () => {
  const explain = (asked: Parameters<typeof explainCall>[1], denied: string[] = []) =>
    explainCall(viewUnder(TRIAGE), asked, denied);

  it("is what a door would say", () => {
    expect(explain({ url: "https://api.example.com/v1/x" })).toEqual({ verdict: "allow", rule: "api" });
    expect(explain({ url: "https://api.example.com/v1/x", method: "post" })).toEqual({ verdict: "allow", rule: "api" });
    expect(explain({ url: "https://api.example.com/v1/x", method: "PUT" })).toMatchObject({
      verdict: "deny",
      code: "EGRESS_METHOD",
      next_steps: [{ rule: { methods: ["PUT"] } }],
    });
    expect(explain({ url: "https://api.example.com/v1/x" }, ["api.example.com"])).toMatchObject({
      code: "EGRESS_HOST",
    });
    expect(explain({ url: "http://169.254.169.254/" })).toMatchObject({ verdict: "deny", code: "EGRESS_METADATA" });
    expect(explain({ url: "http://a b/" })).toMatchObject({ verdict: "deny", code: "EGRESS_BAD_REQUEST" });
    expect(explain({ url: "wss://live.example.com/" })).toEqual({ verdict: "allow", rule: "3" });
    expect(explain({ url: "https://live.example.com/", protocol: "wss" })).toEqual({ verdict: "allow", rule: "3" });
    for (const url of ["tls://db.example.com:5432", "db.example.com:5432"]) {
      expect(explain({ url, protocol: "tls" })).toEqual({ verdict: "allow", rule: "2" });
    }
  });

  it("names the service and its environment", () => {
    const rule: EgressRule = { hosts: ["a.example"], protocol: "https", service: "api", environment: "staging" };
    const told = (targets: string[]) =>
      explainCall(viewUnder(contractWith([rule], { targets })), { url: "https://a.example/" }, []);
    expect(told(["staging"])).toEqual({ verdict: "allow", rule: "0", service: "api", environment: "staging" });
    expect(told(["other"])).toMatchObject({ verdict: "deny", code: "EGRESS_ENVIRONMENT", service: "api" });
  });
});
