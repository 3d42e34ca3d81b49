import { expect, expectTypeOf, it } from "vitest";
import type { z } from "zod";
import type * as approvals from "../../sdk/src/approval_types.ts";
import type * as egress from "../../sdk/src/egress_types.ts";
import type * as identity from "../../sdk/src/identity_types.ts";
import type * as policy from "../../sdk/src/policy_types.ts";
import type * as stats from "../../sdk/src/stats.ts";
import type * as wire from "../../sdk/src/types.ts";
import type {
  BlockedCallView,
  EgressVerdict,
  LeaseView,
  SecretView,
  ServiceEntry,
} from "../../server/src/egress/contract.ts";
import type { RedteamRecord } from "../../server/src/egress/redteam.ts";
import type {
  blockedCall,
  leaseView,
  redteamRecord,
  secretView,
  serviceEntry,
  verdictRequest,
  verdictView,
} from "../../server/src/egress/wire.ts";
import type { WitnessView } from "../../server/src/evidence/witness/witnesses.ts";
import type { DeliveryView, WebhookView } from "../../server/src/gates/contract.ts";
import type { created, delivery, webhook } from "../../server/src/gates/webhook_routes.ts";
import type { approvalView, debtView, voteKey } from "../../server/src/gates/wire.ts";
import type {
  actorRequest,
  actorSchema,
  chainLink,
  keyRequest,
  keySchema,
  meView,
  mintedToken,
  settingsSchema,
  tenantSchema,
  tenantViewSchema,
  tokenRequest,
  tokenSchema,
} from "../../server/src/identity/route_schemas.ts";
import {
  type LANES,
  type LogLine,
  type Page,
  type RUN_STATES,
  type RunCalls,
  type RunError,
  type RunRequest,
  type RunView,
  runRequest,
  runView,
  type TERMINATIONS,
} from "../../server/src/intent/contract.ts";
import type { Figures } from "../../server/src/intent/stats_shapes.ts";
import type { ProblemBody } from "../../server/src/kernel/errors.ts";
import type { ISOLATIONS } from "../../server/src/policy/contract.ts";
import type {
  appliedSchema,
  diffSchema,
  documentSchema,
  explanationSchema,
  proposedSchema,
  reportSchema,
  summarySchema,
  versionSchema,
} from "../../server/src/policy/wire.ts";
import { small_limits } from "../fixtures/run_facts.ts";

/** What the server's schemas accept and give is exactly what the SDK's types promise. The compiler is the judge. */
it("the types of requests and answers are the same on both sides of the wire", () => {
  expectTypeOf<RunRequest>().toEqualTypeOf<wire.RunRequest>();
  expectTypeOf<RunView>().toEqualTypeOf<wire.RunView>();
  expectTypeOf<RunCalls>().toEqualTypeOf<wire.RunCalls>();
  expectTypeOf<LogLine>().toEqualTypeOf<wire.LogLine>();
  expectTypeOf<Page<RunView>>().toEqualTypeOf<wire.Page<wire.RunView>>();
  expectTypeOf<Figures>().toEqualTypeOf<stats.Figures>();
  expectTypeOf<WitnessView>().toEqualTypeOf<wire.Witness>();
  expectTypeOf<z.infer<typeof summarySchema>>().toEqualTypeOf<policy.ContractSummary>();
  expectTypeOf<z.infer<typeof versionSchema>>().toEqualTypeOf<policy.ContractVersion>();
  expectTypeOf<z.infer<typeof appliedSchema>>().toEqualTypeOf<policy.AppliedContract>();
  expectTypeOf<z.infer<typeof proposedSchema>>().branded.toEqualTypeOf<policy.ProposedContract>();
  expectTypeOf<z.infer<typeof diffSchema>>().toEqualTypeOf<policy.ContractDiff>();
  expectTypeOf<z.infer<typeof explanationSchema>>().toEqualTypeOf<policy.PolicyExplanation>();
  expectTypeOf<z.infer<typeof reportSchema>>().toEqualTypeOf<policy.PolicyTestReport>();
  expectTypeOf<z.infer<typeof documentSchema>>().toEqualTypeOf<policy.PolicyDocument>();
  expectTypeOf<ProblemBody>().toEqualTypeOf<wire.ProblemDocument>();
  expectTypeOf<RunError>().branded.toEqualTypeOf<wire.RunError>();
  expectTypeOf<(typeof ISOLATIONS)[number]>().toEqualTypeOf<wire.Isolation>();
  expectTypeOf<(typeof LANES)[number]>().toEqualTypeOf<wire.Lane>();
  expectTypeOf<(typeof RUN_STATES)[number]>().toEqualTypeOf<wire.RunState>();
  expectTypeOf<(typeof TERMINATIONS)[number]>().toEqualTypeOf<wire.Termination>();
});

/** A schema says `| undefined` of a member that may be absent; on the wire, in JSON, these are one. */
type Written<T> = { [K in keyof T]: Exclude<T[K], undefined> };

it("what is said of what leaves a run is, too", () => {
  expectTypeOf<z.infer<typeof secretView>>().toEqualTypeOf<egress.Secret>();
  expectTypeOf<z.infer<typeof leaseView>>().toEqualTypeOf<egress.Lease>();
  expectTypeOf<z.infer<typeof blockedCall>>().toEqualTypeOf<egress.BlockedEgressCall>();
  expectTypeOf<z.infer<typeof redteamRecord>>().toEqualTypeOf<egress.RedteamRecord>();
  expectTypeOf<Written<Required<z.infer<typeof serviceEntry>>>>().toEqualTypeOf<Required<egress.EgressService>>();
  expectTypeOf<Written<Required<z.infer<typeof verdictRequest>>>>().toEqualTypeOf<Required<egress.EgressQuestion>>();
  expectTypeOf<keyof z.infer<typeof verdictView>>().toEqualTypeOf<keyof egress.EgressVerdict>();
  // What the room gives fits what the routes promise.
  expectTypeOf<SecretView>().toExtend<egress.Secret>();
  expectTypeOf<LeaseView>().toExtend<egress.Lease>();
  expectTypeOf<BlockedCallView>().toExtend<egress.BlockedEgressCall>();
  expectTypeOf<ServiceEntry>().toEqualTypeOf<egress.EgressService>();
  expectTypeOf<EgressVerdict>().toEqualTypeOf<egress.EgressVerdict>();
  expectTypeOf<RedteamRecord>().toExtend<egress.RedteamRecord>();
});

it("what is said of approvals and webhooks is, too", () => {
  expectTypeOf<z.infer<typeof approvalView>>().toEqualTypeOf<approvals.Approval>();
  expectTypeOf<z.infer<typeof debtView>>().toEqualTypeOf<approvals.BreakGlass>();
  expectTypeOf<z.infer<typeof voteKey>>().toEqualTypeOf<approvals.VoteKey>();
  expectTypeOf<z.infer<typeof webhook>>().toEqualTypeOf<approvals.Webhook>();
  expectTypeOf<z.infer<typeof created>>().toEqualTypeOf<approvals.CreatedWebhook>();
  expectTypeOf<z.infer<typeof delivery>>().toEqualTypeOf<approvals.Delivery>();
  // What the rooms give fits what the routes promise.
  expectTypeOf<WebhookView>().toExtend<approvals.Webhook>();
  expectTypeOf<DeliveryView>().toExtend<approvals.Delivery>();
});

it("what is said of tenants, actors, tokens and keys is, too", () => {
  // A client knows scopes as texts: a newer server may have more.
  expectTypeOf<Omit<z.infer<typeof meView>, "scopes" | "chain">>().toEqualTypeOf<
    Omit<identity.Me, "scopes" | "chain">
  >();
  expectTypeOf<z.infer<typeof actorSchema>["kind"]>().toEqualTypeOf<identity.ActorKind>();
  expectTypeOf<keyof z.infer<typeof actorSchema>>().toEqualTypeOf<keyof identity.Actor>();
  expectTypeOf<keyof z.infer<typeof tokenSchema>>().toEqualTypeOf<keyof identity.Token>();
  expectTypeOf<z.infer<typeof mintedToken>>().toEqualTypeOf<identity.MintedToken>();
  expectTypeOf<z.infer<typeof keySchema>>().toEqualTypeOf<identity.ActorKey>();
  expectTypeOf<z.infer<typeof chainLink>>().toEqualTypeOf<identity.ChainLink>();
  expectTypeOf<z.infer<typeof tenantSchema>>().toEqualTypeOf<identity.Tenant>();
  expectTypeOf<z.infer<typeof tenantViewSchema>>().toEqualTypeOf<identity.OwnTenant>();
  expectTypeOf<z.infer<typeof settingsSchema>>().toEqualTypeOf<identity.TenantSettings>();
  expectTypeOf<keyof z.infer<typeof actorRequest>>().toEqualTypeOf<keyof identity.ActorRequest>();
  expectTypeOf<keyof z.infer<typeof tokenRequest>>().toEqualTypeOf<keyof identity.TokenRequest>();
  expectTypeOf<keyof z.infer<typeof keyRequest>>().toEqualTypeOf<keyof identity.KeyRequest>();
});

it("a request and a view with every member pass the server's schemas", () => {
  const request: Required<wire.RunRequest> = {
    code: { entry: "a.ts", modules: { "a.ts": "x", "b.wasm": { base64: "AGFzbQ==" } } },
    input: { n: 1.5 },
    contract: "scratch",
    isolation: "session",
    session: "s1",
    lane: "batch",
    limits: { cpu_ms: 1 },
    vars: { A: "b" },
    snapshot: "snp_0",
    on_busy: "delay",
    wait_ms: 0,
    expires_at: 1,
    retry: "if_lost",
    why: "because",
    prompt: "do it",
    target: "staging",
    task: "e30.e30.c2ln",
    code_signature: "e30.e30.c2ln",
  };
  expect(runRequest.parse(request)).toEqual(request);
  const limits: wire.Limits = small_limits;
  const view: Required<wire.RunView> = {
    id: "run_0",
    state: "ended",
    contract: { name: "scratch", version: 1 },
    snapshot: "snp_0",
    lane: "batch",
    isolation: "session",
    session: "s1",
    code_hash: "0",
    limits,
    attempt: 1,
    created_at: 1,
    chain: [{ actor: "act_0", kind: "human" }],
    termination: "threw",
    retry_class: "guest",
    result: null,
    error: { code: "RUN_THREW", detail: "x", problems: [{ at: "a.ts", line: 1, column: 1, text: "x" }] },
    http: { status: 200, headers: [["a", "b"]] },
    usage: { cpu_ms: 1, rss_peak_mb: 1, log_bytes: 1, log_dropped: 1, output_bytes: 1 },
    timing: { queued_ms: 1, startup_ms: 1.5, completion_ms: 1 },
    jail: "unshare",
    cold: false,
    blocked: [{ host: "a", method: "GET", count: 1 }],
    egress: [
      {
        host: "a",
        method: "GET",
        path: null,
        rule: null,
        verdict: "denied",
        code: "EGRESS_HOST",
        count: 1,
        request_bytes: 0,
        response_bytes: 0,
        service: "github-api",
        environment: "production",
      },
    ],
    evidence: { entries: [] },
    target: "staging",
    approval: "apr_0",
    statement_hash: "0",
    parent: "run_1",
    root: "run_1",
    depth: 1,
    next_steps: [{ kind: "command", text: "A human approves it", command: "gantry approve apr_0" }],
    position: 1,
    estimated_start_ms: 1,
  };
  expect(runView.parse(view)).toEqual(view);
});
