import { describe, expect, it } from "vitest";
import { kinds } from "../../egress/kinds.ts";
import { kinds as intent_kinds } from "../../intent/kinds.ts";
import { isTold, tellEntry } from "./timeline_kinds.ts";
import { plainText } from "./told.ts";

const sha = "0".repeat(64);
const at = Date.UTC(2026, 0, 2, 3, 4, 5);

/** One entry of each kind, as the room would write it, with each member that changes what is told. */
const samples: Record<keyof typeof kinds, { data: Record<string, unknown>; says: string }> = {
  "secret.set": {
    data: { secret: "github-token", version: 2 },
    says: "The secret github-token was set; it is version 2 now.",
  },
  "secret.removed": {
    data: { secret: "github-token", version: 2 },
    says: "The secret github-token was removed, as it was in version 2.",
  },
  "secrets.rewrapped": {
    data: { key: "00112233aabbccdd", secrets: 2, operator: "gantry@host-1" },
    says: "2 secrets are wrapped with the key 00112233aabbccdd from now on, by gantry@host-1 at the machine.",
  },
  "service.set": {
    data: { service: "github-api", hash: sha },
    says: `The service github-api was put into the catalogue. What it says has the SHA-256 ${sha}.`,
  },
  "service.removed": {
    data: { service: "github-api" },
    says: "The service github-api was taken out of the catalogue.",
  },
  "lease.issued": {
    data: {
      lease: "lse_1",
      subject: "run_1",
      secret: "github-token",
      version: 2,
      hosts: ["api.github.com"],
      methods: ["GET", "POST"],
      slot: "bearer",
      approval: "apr_1",
      not_after_at: at,
    },
    says:
      "run_1 got a lease of the secret github-token, version 2: lse_1. " +
      "It is good for GET, POST to api.github.com, as bearer, until 2026-01-02T03:04:05.000Z. People approved it: apr_1.",
  },
  "lease.revoked": {
    data: { lease: "lse_1", subject: "run_1", secret: "github-token" },
    says: "The lease lse_1 of run_1 was revoked; it was of the secret github-token.",
  },
  "effect.intended": {
    data: {
      subject: "run_1",
      scope: "run_1",
      epoch: 1,
      key: sha,
      host: "api.github.com",
      method: "POST",
      rule: "write",
      approval: "apr_1",
    },
    says:
      "run_1 was about to change something: POST api.github.com, let out by the rule write. " +
      `It is the call ${sha} of run_1, attempt 1. People approved it: apr_1.`,
  },
  "effect.ended": {
    data: { subject: "run_1", scope: "run_1", key: sha, state: "done", status: 201 },
    says:
      "A call of run_1 that may have changed something: it was answered 201. It is not made again. " +
      `It is the call ${sha} of run_1.`,
  },
  "call.blocked": {
    data: { blocked: "blk_1", subject: "run_1", code: "EGRESS_METHOD", host: "api.github.com", method: "POST" },
    says:
      "A call of run_1 was stopped and kept: POST api.github.com, EGRESS_METHOD. " +
      "It waits as blk_1 until somebody lets it go or drops it.",
  },
  "call.retried": {
    data: { blocked: "blk_1", state: "sent", status: 201 },
    says: "The stopped call blk_1 was let go; it was answered 201.",
  },
  "call.dropped": {
    data: { blocked: "blk_1" },
    says: "The stopped call blk_1 was dropped: it is never sent.",
  },
  "redteam.recorded": {
    data: {
      runs: ["run_1", "run_2"],
      runs_hash: sha,
      attempts: 90,
      blocked: 90,
      completed: 0,
      hits: 0,
      verdict: "held",
    },
    says:
      "2 hostile programs were run, and nothing got out. They made 90 calls, of which 90 were blocked and 0 let out. " +
      "What should not be reached was reached 0 times, as the reporter counted. " +
      `The runs are run_1, run_2; they and their rows have the SHA-256 ${sha}.`,
  },
};

describe("every kind of egress", () => {
  it.each(Object.keys(kinds) as (keyof typeof kinds)[])("%s is told", (kind) => {
    const { data, says } = samples[kind];
    expect(kinds[kind].parse(data)).toEqual(data);
    expect(isTold(kind)).toBe(true);
    const { text, details } = tellEntry({ kind, data });
    expect([text, ...details].map(plainText).join(" ")).toBe(says);
  });
});

const saidOf = (kind: `${string}.${string}`, data: Record<string, unknown>) => {
  const { text, details, gaps } = tellEntry({ kind, data });
  return [text, ...details, ...gaps].map(plainText);
};

describe("what a run called", () => {
  const ended = { run: "run_1", attempt: 1, termination: "completed", code_hash: sha, cpu_ms: 1 };
  const rows = [
    {
      host: "api.github.com",
      method: "GET",
      count: 2,
      verdict: "allowed",
      rule: "read",
      path: "/repos/**",
      response_bytes: 1_234,
      service: "github-api",
      environment: "production",
    },
    { host: "b.example", method: "GET", count: 1, verdict: "allowed", rule: "1", path: "*", code: "EGRESS_TIME" },
    { host: "evil.example", method: "POST", count: 3, verdict: "denied", code: "EGRESS_HOST" },
    { host: "old.example", method: "GET", count: 1, verdict: "denied" },
    { host: "*", method: "*", count: 7, verdict: "allowed" },
    { host: "*", method: "*", count: 9, verdict: "denied" },
  ];

  it("is told by host, rule and code, and what did not fit as a gap", () => {
    const data = { ...ended, egress: rows, egress_log_hash: sha };
    expect(intent_kinds["run.ended"].parse(data)).toEqual(data);
    expect(saidOf("run.ended", data).slice(2)).toEqual([
      "Called: GET api.github.com, 2 times, let out by the rule read for /repos/**, the service github-api of production; 0 bytes sent, 1234 received.",
      "Called: GET b.example, 1 times, let out by the rule 1; 0 bytes sent, 0 received; failed: EGRESS_TIME.",
      "Blocked: POST evil.example, 3 times, EGRESS_HOST.",
      "Blocked: GET old.example, 1 times, denied.",
      `What it called, one by one, is kept beside the ledger: ${sha} (SHA-256).`,
      "7 more calls that were let out did not fit into the entry; their hosts are not recorded.",
      "9 more calls that were blocked did not fit into the entry; their hosts are not recorded.",
    ]);
  });

  it.each([
    [{ state: "rejected", status: 503 }, "it was answered 503, which says that it may be made again."],
    [{ state: "failed" }, "it was never sent."],
    [{ state: "unknown" }, "whether it arrived is not known."],
    [{ state: "later" }, "later."],
  ])("and whether it changed something: %j", (how, says) => {
    const [text] = saidOf("effect.ended", { subject: "run_1", scope: "run_1", key: sha, ...how });
    expect(text).toBe(`A call of run_1 that may have changed something: ${says}`);
  });

  it("a retry that failed says why, and a red team says what its silence is worth", () => {
    expect(saidOf("call.retried", { blocked: "blk_1", state: "failed", code: "EGRESS_TIME" })).toEqual([
      "The stopped call blk_1 was let go, and failed: EGRESS_TIME.",
    ]);
    const sums = { runs: ["run_1"], runs_hash: sha, attempts: 1, blocked: 0, completed: 1, hits: 1 };
    const [breached] = saidOf("redteam.recorded", { ...sums, verdict: "breached" });
    expect(breached).toBe("1 hostile programs were run, and something got out.");
    const [nothing] = saidOf("redteam.recorded", { ...sums, verdict: "inconclusive" });
    expect(nothing).toContain("that says nothing: not all of them ran to their end, or none called.");
  });
});
