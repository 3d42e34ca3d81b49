import { z } from "@hono/zod-openapi";
import { isStorableText } from "../kernel/canonical.ts";
import { APPROVAL_SUBJECTS } from "../policy/contract.ts";
import { APPROVAL_STATUSES, GLASS_MINUTES_DEFAULT, INDEPENDENCE_LEVELS, NOTE_CHARS_MAX } from "./contract.ts";

const instant = z.int().openapi({ description: "Milliseconds UTC." });
const hash = z.string().openapi({ description: "SHA-256, 64 hex digits." });

const statement = z
  .strictObject({
    v: z.literal(1),
    approval: z.string(),
    tenant: z.string(),
    gate: z.string(),
    action: z.strictObject({ name: z.string(), resource: z.string(), params_hash: hash }),
    action_hash: hash,
    code: z.strictObject({ code_hash: hash }).nullable(),
    snapshot: z.string().nullable(),
    contract: z.strictObject({ name: z.string(), version: z.int(), hash }).nullable(),
    target: z.string().nullable(),
    blast_radius: z.strictObject({
      hosts: z.array(z.string()),
      methods: z.array(z.string()),
      apps: z.array(z.string()),
      percent_max: z.int().nullable(),
      effects_max: z.int().nullable(),
      reversible: z.boolean(),
      rollback: z.string(),
    }),
    preview_hash: hash,
    quorum: z.int(),
    independence: z.enum(INDEPENDENCE_LEVELS),
    requester: z.string(),
    chain: z.array(z.strictObject({ actor: z.string(), kind: z.string(), via: z.string(), ref: z.string() })),
    authors: z.array(z.string()),
    not_after: instant,
    execute_before: z.int().openapi({ description: "Milliseconds from the deciding vote." }),
    nonce: z.string(),
  })
  .openapi("Statement", {
    description: "What is decided about. Votes name the SHA-256 of its RFC 8785 canonical JSON.",
  });

const preview = z
  .strictObject({
    summary: z.string(),
    why: z.string().nullable(),
    delta: z.array(z.strictObject({ at: z.string(), change: z.string(), loosens: z.boolean(), text: z.string() })),
    diff: z.string().nullable(),
    provenance: z.record(z.string(), z.string()),
    verdict: z.strictObject({ codes: z.array(z.string()), rule: z.string() }),
    rehearsal: z.string().nullable(),
  })
  .openapi("Preview");

export const debtView = z
  .strictObject({
    id: z.string(),
    approval: z.string(),
    actor: z.string(),
    reason: z.string(),
    until_at: instant,
    debt: z.enum(["open", "closed"]),
    closed_by: z.string().nullable(),
    closed_note: z.string().nullable(),
    at: instant,
  })
  .openapi("BreakGlass");

const voteView = z.strictObject({
  actor: z.string(),
  vote: z.enum(["approve", "decline"]),
  note: z.string().nullable(),
  at: instant,
  proofs: z.array(z.strictObject({ kind: z.literal("service"), kid: z.string(), jws: z.string() })),
});

const similarDecision = z.strictObject({
  id: z.string(),
  status: z.enum(APPROVAL_STATUSES),
  requester: z.string(),
  resource: z.string(),
  target: z.string().nullable(),
  decided_at: instant,
});

export const approvalView = z
  .strictObject({
    id: z.string(),
    status: z.enum(APPROVAL_STATUSES),
    subject: z.enum(APPROVAL_SUBJECTS),
    subject_id: z.string(),
    run: z.string().nullable(),
    statement,
    statement_hash: hash,
    preview: preview.openapi({ description: "In lists, delta, diff and rehearsal are left empty." }),
    votes: z.array(voteView),
    excluded: z.array(z.string()).openapi({ description: "Actors who may not vote." }),
    code: z.string().nullable(),
    created_at: instant,
    decided_at: instant.nullable(),
    execute_before_at: instant.nullable(),
    executed_at: instant.nullable(),
    superseded_by: z.string().nullable(),
    break_glass: debtView.nullable(),
    similar: z.array(similarDecision).optional(),
  })
  .openapi("Approval");

const note = z.string().max(NOTE_CHARS_MAX).refine(isStorableText, "has U+0000 or a lone surrogate");
const seen = z
  .string()
  .regex(/^[0-9a-f]{64}$/, "is SHA-256, 64 hex digits")
  .openapi({ description: "Of the statement that was read: what is decided is exactly that." });

export const voteRequest = z
  .strictObject({ vote: z.enum(["approve", "decline"]), statement_hash: seen, note: note.optional() })
  .openapi("VoteRequest");

/** More characters than a reason may have: what is right is said by the room. */
const REASON_READ_CHARS = 8_192;
export const glassRequest = z
  .strictObject({
    reason: z.string().max(REASON_READ_CHARS).refine(isStorableText, "has U+0000 or a lone surrogate"),
    minutes: z.number().default(GLASS_MINUTES_DEFAULT).openapi({ type: "integer" }),
    statement_hash: seen,
  })
  .openapi("BreakGlassRequest");

export const closeRequest = z.strictObject({ note: note.min(1, "says what was found") }).openapi("ReviewClose");

export const voteKey = z
  .strictObject({
    kid: z.string(),
    alg: z.literal("EdDSA"),
    public_key: z.string().openapi({ description: "SubjectPublicKeyInfo, PEM." }),
  })
  .openapi("VoteKey");
