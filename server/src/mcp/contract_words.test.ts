import type { ContractSummary } from "@gantry/sdk";
import { describe, expect, it } from "vitest";
import { wordsOf } from "./contract_words.ts";

const summary = (contract: object, more: Partial<ContractSummary> = {}): ContractSummary => ({
  name: "tickets",
  version: 3,
  class: "controlled-mutation",
  built_in: false,
  state: "active",
  suspension: null,
  pending: null,
  snapshot: "snp_0",
  contract: { extends: "staging-mutation", isolation: "process", limits: { cpu_ms: 100 }, ...contract },
  ...more,
});

describe("a contract in words", () => {
  it("says where runs may call, how, and with which credential", () => {
    const egress = [
      {
        id: "read",
        hosts: ["tickets.example.com"],
        protocol: "https",
        ports: [443],
        methods: ["GET", "POST"],
        paths: ["/v1/*"],
        secret: { name: "tickets-token", slot: "bearer" },
        effect: true,
      },
    ];
    const words = wordsOf(summary({ egress, budgets: { egress_calls_max: 50 } })).join("\n");
    expect(words).toContain("at most 50 calls");
    expect(words).toContain(
      "- read: GET, POST tickets.example.com by https, port 443, paths /v1/*; env.TICKETS_TOKEN is its credential (bearer); each call is recorded before it leaves",
    );
  });

  it("says what is not there: no call, no target, nobody who must approve", () => {
    const words = wordsOf(summary({ egress: [], targets: [], gates: [] })).join("\n");
    expect(words).toContain("Runs call nothing outside.");
    expect(words).toContain("Runs act on no environment");
    expect(words).toContain("No action under it waits for people.");
  });

  it("says what a request must carry, who must approve, and that it is suspended or about to change", () => {
    const gates = [{ on: "*", name: "any", quorum: 2 }];
    const pending = { version: 4, approval: "apr_1", statement_hash: "00" };
    const suspension = { metric: "denied_ratio", counted: 1, runs: 2, entry: "ent_1", at: 0 };
    const contract = { require: ["why"], gates, targets: ["staging"] };
    const words = wordsOf(summary(contract, { pending, state: "suspended", suspension })).join("\n");
    for (const each of [
      "carry: why",
      "Every action waits until 2 people approve",
      "SUSPENDED (denied_ratio)",
      "apr_1",
      "staging",
    ]) {
      expect(words).toContain(each);
    }
  });
});
