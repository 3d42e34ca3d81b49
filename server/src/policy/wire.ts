import { z } from "@hono/zod-openapi";
import { CONTRACT_BYTES_MAX, type ContractSummary, type ContractVersion } from "./contract.ts";
import type { Explanation } from "./explain/explain.ts";

// What this room says over HTTP.

const body = z.record(z.string(), z.unknown());
const contract = body.openapi({ description: "Complete: inherited keys are filled in." });
const snapshot = z.string().openapi({ description: "Names the state that a run would be decided against now." });

const suspension = z
  .strictObject({
    metric: z.string(),
    counted: z.int(),
    runs: z.int(),
    entry: z.string().openapi({ description: "The run's end that crossed the line." }),
    at: z.int(),
  })
  .openapi("ContractSuspension");
const proposal = z
  .strictObject({ version: z.int(), approval: z.string(), statement_hash: z.string() })
  .openapi("ContractProposal");

export const summarySchema = z
  .strictObject({
    name: z.string(),
    version: z.int(),
    class: z.string(),
    built_in: z.boolean(),
    state: z.enum(["active", "suspended"]),
    suspension: suspension.nullable(),
    pending: proposal.nullable().openapi({ description: "A version that waits for people." }),
    snapshot,
    contract,
  })
  .openapi("ContractSummary");

export const versionSchema = z
  .strictObject({
    name: z.string(),
    version: z.int(),
    class: z.string(),
    built_in: z.boolean(),
    state: z.enum(["pending", "active", "suspended", "retired"]),
    suspension: suspension.nullable(),
    snapshot,
    contract,
    hash: z.string(),
    source: z.string().nullable().openapi({ description: "The document as it was applied." }),
    approval: z.string().nullable(),
    created_by: z.string().nullable(),
    created_at: z.int().nullable(),
  })
  .openapi("ContractVersion");

export const deltaSchema = z
  .strictObject({
    loosens: z.boolean(),
    lines: z.array(
      z.strictObject({
        at: z.string(),
        change: z.enum(["added", "removed", "widened", "narrowed"]),
        loosens: z.boolean(),
        text: z.string(),
      }),
    ),
  })
  .openapi("ContractDelta");

const nextSteps = z.array(
  z.strictObject({
    kind: z.enum(["command", "change", "wait", "read"]),
    text: z.string(),
    command: z.string().optional(),
  }),
);

export const appliedSchema = z
  .strictObject({
    changed: z.boolean().openapi({ description: "False: the active version says the same already." }),
    contract: versionSchema,
    delta: deltaSchema,
  })
  .openapi("AppliedContract");

export const proposedSchema = z
  .strictObject({
    changed: z.boolean().openapi({ description: "False: this very proposal waits already." }),
    contract: versionSchema,
    delta: deltaSchema,
    approval: z.string(),
    statement_hash: z.string(),
    next_steps: nextSteps,
  })
  .openapi("ProposedContract");

export const diffSchema = z
  .strictObject({
    name: z.string(),
    version: z.int().nullable().openapi({ description: "The active version that it was compared with." }),
    delta: deltaSchema,
  })
  .openapi("ContractDiff");

export const snapshotSchema = z
  .strictObject({
    id: z.string(),
    body: body.openapi({ description: "Its RFC 8785 canonical JSON has the SHA-256 that is the id." }),
  })
  .openapi("Snapshot");

const verdict = z.enum(["allow", "deny", "needs_human"]);
const ref = z.strictObject({ name: z.string(), version: z.int() });
const gate = z.strictObject({
  on: z.string(),
  name: z.string(),
  quorum: z.int(),
  not_after_ms: z.int(),
  execute_before_ms: z.int(),
});

export const explanationSchema = z
  .strictObject({
    contract: ref,
    snapshot: z.string(),
    request: body,
    verdict,
    reasons: z.array(z.strictObject({ code: z.string(), detail: z.string() })),
    gates: z.array(gate),
    rules: z.array(
      z.strictObject({
        at: z.string().openapi({ description: "JSON pointer into the complete contract." }),
        code: z.string().nullable(),
        line: z.int().nullable().openapi({ description: "Of the document; null: it does not say it." }),
        text: z.string(),
      }),
    ),
    allowed_by: z.array(z.string()).openapi({ description: "What would allow it." }),
    now: z
      .strictObject({ contract: ref, snapshot: z.string(), verdict })
      .nullable()
      .openapi({ description: "By the version that is active now, when that is another." }),
  })
  .openapi("PolicyExplanation");

export const reportSchema = z
  .strictObject({
    cases: z.array(
      z.strictObject({
        name: z.string(),
        contract: z.string(),
        action: z.string(),
        resource: z.string(),
        expect: verdict,
        got: verdict,
        codes: z.array(z.string()),
        ok: z.boolean(),
        detail: z.string(),
      }),
    ),
    passed: z.int(),
    failed: z.int(),
  })
  .openapi("PolicyTestReport");

const DOCUMENT_NAME_CHARS_MAX = 200;
export const documentSchema = z
  .strictObject({
    name: z.string().min(1).max(DOCUMENT_NAME_CHARS_MAX).openapi({ description: "How problems call it." }),
    text: z.string().max(CONTRACT_BYTES_MAX).openapi({ description: "YAML or JSON." }),
  })
  .openapi("PolicyDocument");

export function summaryWire(summary: ContractSummary): z.infer<typeof summarySchema> {
  return { ...summary, contract: { ...summary.contract } };
}
export function versionWire(version: ContractVersion): z.infer<typeof versionSchema> {
  return { ...version, contract: { ...version.contract } };
}
export function explanationWire(explanation: Explanation): z.infer<typeof explanationSchema> {
  return { ...explanation, request: { ...explanation.request } };
}
