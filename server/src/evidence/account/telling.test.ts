import { describe, expect, it } from "vitest";
import { plain_facts, small_limits } from "../../../../tests/fixtures/run_facts.ts";
import { kinds as gate_kinds } from "../../gates/kinds.ts";
import { kinds as identity_kinds } from "../../identity/contract.ts";
import { kinds as intent_kinds } from "../../intent/kinds.ts";
import { kinds as policy_kinds } from "../../policy/contract.ts";
import { kinds as evidence_kinds } from "../kinds.ts";
import { isTold, tellEntry } from "./timeline_kinds.ts";
import { plainText } from "./told.ts";

/** Those of egress have a test of their own. */
const registered = { ...evidence_kinds, ...identity_kinds, ...policy_kinds, ...gate_kinds, ...intent_kinds };

const sha = "0".repeat(64);
const at = Date.UTC(2026, 0, 2, 3, 4, 5);
const about = { approval: "apr_1", subject: "run", subject_id: "run_1" };
const tree = { parent: "run_0", root: "run_00", depth: 2 };
const witness = { sink: "file:w", size: 7, since_at: at };

/** One entry of each kind, as its room would write it, with each member that changes what is told. */
const samples: Record<keyof typeof registered, { data: Record<string, unknown>; says: string }> = {
  "evidence.opened": {
    data: { entry: "ent_1", field: "why" },
    says: "The private value why of entry ent_1 was shown.",
  },
  "log.succeeded": {
    data: {
      old: { origin: "a", key: "a+1", size: 3 },
      new: { origin: "b", key: "b+1" },
      seen: [{ where: "w", origin: "a", size: 7, root: "r" }],
      reason: "The disk is gone.",
      operator: "root@host",
    },
    says: "The log a was ended at 3 entries, of 7 that were seen signed, and goes on as b, by root@host: The disk is gone.",
  },
  "key.rotated": { data: { old: "a", new: "b" }, says: "The log's key was rotated, from a to b." },
  "sink.lagged": {
    data: witness,
    says: "The witness file:w lacks checkpoints since 2026-01-02T03:04:05.000Z; it has the log to size 7.",
  },
  "sink.recovered": {
    data: witness,
    says: "The witness file:w has caught up to size 7; it had lagged since 2026-01-02T03:04:05.000Z.",
  },
  "tenant.created": { data: { tenant: "ten_1", slug: "acme" }, says: "Tenant ten_1 was created: acme." },
  "tenant.suspended": { data: { tenant: "ten_1" }, says: "Tenant ten_1 was suspended." },
  "tenant.resumed": { data: { tenant: "ten_1" }, says: "Tenant ten_1 may act again." },
  "tenant.changed": {
    data: { tenant: "ten_1", rev: 2, changed: ["approval_independence"], approval: "apr_1" },
    says: "Settings of tenant ten_1 were changed: approval_independence. They are revision 2 now. People approved it: apr_1.",
  },
  "actor.created": {
    data: { actor: "act_2", kind: "agent", name: "bot", owner: "act_1" },
    says: "Actor act_2 was created: agent, named bot. Actor act_1 answers for it.",
  },
  "actor.suspended": { data: { actor: "act_1" }, says: "Actor act_1 was suspended." },
  "actor.resumed": { data: { actor: "act_1" }, says: "Actor act_1 may act again." },
  "key.registered": {
    data: { key: "kid_1", actor: "act_2", uses: ["task", "code"] },
    says: "Key kid_1 of actor act_2 was registered, for task, code.",
  },
  "key.revoked": { data: { key: "kid_1", actor: "act_2" }, says: "Key kid_1 of actor act_2 was revoked." },
  "link.made": {
    data: { actor: "act_1", scopes: ["gate:approve"], expires_at: at },
    says: "A login link was made for actor act_1. Scopes: gate:approve. It expires 2026-01-02T03:04:05.000Z.",
  },
  "link.used": {
    data: { actor: "act_1", token: "tok_1" },
    says: "A login link of actor act_1 was used; it gave token tok_1.",
  },
  "token.minted": {
    data: { token: "tok_2", actor: "act_2", scopes: ["run:read"], parent: "tok_1", chain_hash: sha, expires_at: at },
    says: "Token tok_2 was minted for actor act_2. Scopes: run:read. It expires 2026-01-02T03:04:05.000Z. Token tok_1 minted it.",
  },
  "token.revoked": {
    data: { token: "tok_2", actor: "act_2", cause: "asked", override: "early_revoke" },
    says:
      "Token tok_2 of actor act_2 was revoked; cause: asked. " +
      "A human ended an agent's token before its time: early_revoke.",
  },
  "contract.applied": {
    data: {
      name: "ship",
      version: 3,
      hash: sha,
      extends: "production",
      class: "privileged",
      replaces: 2,
      approval: "apr_1",
    },
    says:
      "Contract ship, version 3, was applied. It replaces version 2. " +
      `It extends production. Its text has the SHA-256 ${sha}. People approved it: apr_1.`,
  },
  "contract.proposed": {
    data: { name: "ship", version: 4, hash: sha, replaces: 3, approval: "apr_2", loosens: ["/egress/0"] },
    says:
      "Contract ship, version 4, was proposed; it allows more, and waits for people: approval apr_2. " +
      `It would replace version 3. It loosens /egress/0. Its text has the SHA-256 ${sha}.`,
  },
  "contract.retired": {
    data: { name: "ship", version: 4, approval: "apr_2", code: "APPROVAL_DECLINED" },
    says: "Contract ship, version 4, came to nothing: approval apr_2 ended with APPROVAL_DECLINED.",
  },
  "contract.suspended": {
    data: { name: "ship", version: 3, metric: "denied_ratio", counted: 3, runs: 20, entry: "ent_9" },
    says:
      "Contract ship, version 3, suspended itself: its own condition on denied_ratio was crossed. " +
      "Of 20 runs in the window 3 counted. The entry that crossed it is ent_9.",
  },
  "approval.requested": {
    data: {
      ...about,
      gate: "deploy",
      action_hash: sha,
      statement_hash: sha,
      quorum: 2,
      independence: "independent",
      not_after_at: at,
    },
    says:
      "Approval apr_1 was asked for run run_1: gate deploy, by 2 people. " +
      `Independence independent. It waits until 2026-01-02T03:04:05.000Z. The action has the SHA-256 ${sha}, what is approved ${sha}.`,
  },
  "approval.voted": {
    data: { approval: "apr_1", vote: "approve", statement_hash: sha, approvals: 1, proof_hash: sha },
    says:
      "The vote on approval apr_1: approve. Approvals so far: 1. " +
      `It is about the statement ${sha}. The proof of it has the SHA-256 ${sha}.`,
  },
  "approval.approved": {
    data: { ...about, execute_before_at: at },
    says: "Approval apr_1 was given: run run_1 may start. It may until 2026-01-02T03:04:05.000Z.",
  },
  "approval.declined": { data: about, says: "Approval apr_1 was declined: run run_1 does not start." },
  "approval.expired": {
    data: { ...about, code: "APPROVAL_EXPIRED" },
    says: "Approval apr_1 of run run_1 expired: APPROVAL_EXPIRED.",
  },
  "approval.superseded": {
    data: { ...about, code: "APPROVAL_SUPERSEDED", by: "apr_2" },
    says: "Approval apr_1 of run run_1 is void: APPROVAL_SUPERSEDED. Approval apr_2 took its place.",
  },
  "approval.executed": {
    data: { ...about, action_hash: sha },
    says: `Approval apr_1 was used up: run run_1 started. The action has the SHA-256 ${sha}, as it was approved.`,
  },
  "approval.refused": {
    data: { approval: "apr_1", what: "vote", code: "APPROVAL_EXCLUDED", run: "run_1" },
    says: "A vote on approval apr_1 was refused: APPROVAL_EXCLUDED. It was about run run_1.",
  },
  "glass.broken": {
    data: { ...about, glass: "bgl_1", statement_hash: sha, until_at: at, override: "break_glass" },
    says:
      "The glass of approval apr_1 was broken: one human decided for all. run run_1 may start. " +
      `It holds until 2026-01-02T03:04:05.000Z. The statement is ${sha}. A review is owed: bgl_1.`,
  },
  "debt.closed": {
    data: { glass: "bgl_1", approval: "apr_1" },
    says: "The review bgl_1 of the broken glass of approval apr_1 was closed.",
  },
  "attendance.stated": {
    data: { until_at: at },
    says: "A human said that they watch, until 2026-01-02T03:04:05.000Z.",
  },
  "webhook.created": {
    data: { webhook: "whk_1", events: ["glass.broken"], url_hash: sha },
    says: `Webhook whk_1 was added. It is told of glass.broken. The keyed print of its URL is ${sha}.`,
  },
  "webhook.deleted": { data: { webhook: "whk_1" }, says: "Webhook whk_1 was removed." },
  "run.queued": {
    data: { run: "run_1", attempt: 1, lane: "batch", downgraded: false, expires_at: at, ...tree },
    says:
      "Run run_1 waits for a slot in the lane batch, attempt 1. It expires 2026-01-02T03:04:05.000Z. " +
      "Run run_0 started it; the first of these runs is run_00, this one 2 below.",
  },
  "run.parked": {
    data: {
      run: "run_1",
      approval: "apr_1",
      gate: "deploy",
      quorum: 2,
      statement_hash: sha,
      code_hash: sha,
      input_hash: sha,
      target: "production",
    },
    says:
      "Run run_1 waits for people: approval apr_1, gate deploy, 2 of them. " +
      `What they decide about has the SHA-256 ${sha}. Code ${sha}, input ${sha} (SHA-256). Target production.`,
  },
  "run.admitted": {
    data: {
      run: "run_1",
      attempt: 1,
      code_hash: sha,
      input_hash: sha,
      limits: small_limits,
      lane: "batch",
      isolation: "process",
      deadline_at: at,
      target: "production",
      approval: "apr_1",
      ...tree,
      code_facts: { ...plain_facts, dropped: 0 },
    },
    says:
      "Run run_1 got a slot: attempt 1, lane batch, isolation process. " +
      `Code ${sha}, input ${sha} (SHA-256). ` +
      `Limits: ${Object.entries(small_limits)
        .map(([name, value]) => `${name} ${value}`)
        .sort()
        .join(", ")}. Deadline 2026-01-02T03:04:05.000Z. Target production. People approved it: apr_1. ` +
      "Run run_0 started it; the first of these runs is run_00, this one 2 below.",
  },
  "run.refused": {
    data: { code: "LIMIT_TREE", budget: "tree_runs", used: 100, limit: 100, count: 3, code_hash: sha, ...tree },
    says:
      "A run was refused: LIMIT_TREE. The budget tree_runs is 100, and 100 of it was used. " +
      `It was refused 3 times since this was last told. Code ${sha} (SHA-256). ` +
      "Run run_0 started it; the first of these runs is run_00, this one 2 below.",
  },
  "run.ended": {
    data: {
      run: "run_1",
      attempt: 1,
      termination: "cancelled",
      code_hash: sha,
      cancelled_by: "act_1",
      override: "cancel",
    },
    says: "Run run_1 ended: cancelled, attempt 1. Cancelled by act_1. A human reversed what an agent had begun: cancel.",
  },
};

describe("every kind that a room registers", () => {
  it.each(Object.keys(registered) as (keyof typeof registered)[])("%s is told", (kind) => {
    const { data, says } = samples[kind];
    expect(registered[kind].parse(data)).toEqual(data);
    expect(isTold(kind)).toBe(true);
    const { text, details } = tellEntry({ kind, data });
    expect([text, ...details].map(plainText).join(" ")).toBe(says);
  });

  it("and no other, besides what main.ts records of timers", () => {
    expect(isTold("timer.parked")).toBe(true);
    expect(isTold("flag.raised")).toBe(false);
    expect(isTold("toString")).toBe(false);
  });
});

describe("what was refused about an approval", () => {
  it.each([
    ["vote", "A vote on approval apr_1 was refused: X."],
    ["break_glass", "Breaking the glass of approval apr_1 was refused: X."],
    ["execute", "The start under approval apr_1 was refused: X."],
    ["effect", "An effect under approval apr_1 was refused: X."],
    ["other", "A use (other) of approval apr_1 was refused: X."],
  ])("a %s is told as what it was", (what, says) => {
    const { text } = tellEntry({ kind: "approval.refused", data: { approval: "apr_1", what, code: "X" } });
    expect(plainText(text)).toBe(says);
  });
});
