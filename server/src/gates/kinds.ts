import { z } from "zod";
import { APPROVAL_SUBJECTS } from "../policy/contract.ts";
import { INDEPENDENCE_LEVELS } from "./contract.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const ended = { approval: z.string(), subject: z.enum(APPROVAL_SUBJECTS), subject_id: z.string() };

/** The ledger kinds of this room. Notes and reasons are private fields: people's words are erasable. */
export const kinds = {
  "approval.requested": z.strictObject({
    ...ended,
    gate: z.string(),
    action_hash: sha256,
    statement_hash: sha256,
    quorum: z.int(),
    independence: z.enum(INDEPENDENCE_LEVELS),
    not_after_at: z.int(),
  }),
  "approval.voted": z.strictObject({
    approval: z.string(),
    vote: z.enum(["approve", "decline"]),
    statement_hash: sha256,
    /** Approvals so far, this one included. */
    approvals: z.int(),
    /** SHA-256 of the service proof's compact JWS. */
    proof_hash: sha256,
    override: z.literal("decline").optional(),
  }),
  "approval.approved": z.strictObject({ ...ended, execute_before_at: z.int() }),
  "approval.declined": z.strictObject(ended),
  "approval.expired": z.strictObject({ ...ended, code: z.string() }),
  "approval.superseded": z.strictObject({ ...ended, code: z.string(), by: z.string().nullable() }),
  "approval.executed": z.strictObject({ ...ended, action_hash: sha256 }),
  /** A vote, a break-glass or a use that was refused. */
  "approval.refused": z.strictObject({
    approval: z.string(),
    what: z.enum(["vote", "break_glass", "execute", "effect"]),
    code: z.string(),
    run: z.string().optional(),
  }),
  "glass.broken": z.strictObject({
    ...ended,
    glass: z.string(),
    statement_hash: sha256,
    until_at: z.int(),
    override: z.literal("break_glass"),
  }),
  "debt.closed": z.strictObject({ glass: z.string(), approval: z.string() }),
  "attendance.stated": z.strictObject({ until_at: z.int() }),
  "webhook.created": z.strictObject({ webhook: z.string(), events: z.array(z.string()), url_hash: sha256 }),
  "webhook.deleted": z.strictObject({ webhook: z.string() }),
} as const;
