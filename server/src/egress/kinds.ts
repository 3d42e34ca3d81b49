import { z } from "zod";
import type { KindSchemas } from "../evidence/contract.ts";

const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** The ledger kinds of this room. None has a path, a query, a header or a body: those may be secrets, and must be erasable. */
export const kinds = {
  "secret.set": z.strictObject({ secret: z.string(), version: count }),
  "secret.removed": z.strictObject({ secret: z.string(), version: count }),
  /** Some secrets of the tenant are wrapped with another key from now on; their values are as they were. */
  "secrets.rewrapped": z.strictObject({
    /** Names the key and does not tell it. */
    key: z.string(),
    secrets: count,
    /** The account of the machine where it was done. */
    operator: z.string(),
  }),
  "service.set": z.strictObject({ service: z.string(), hash: sha256 }),
  "service.removed": z.strictObject({ service: z.string() }),
  "lease.issued": z.strictObject({
    lease: z.string(),
    subject: z.string(),
    secret: z.string(),
    version: count,
    hosts: z.array(z.string()),
    methods: z.array(z.string()),
    slot: z.string(),
    approval: z.string().optional(),
    not_after_at: count,
  }),
  "lease.revoked": z.strictObject({ lease: z.string(), subject: z.string(), secret: z.string() }),
  /** A call that may change something is about to leave. Nothing leaves before this is durable. */
  "effect.intended": z.strictObject({
    subject: z.string(),
    scope: z.string(),
    epoch: count,
    /** SHA-256 over what makes the call this one; what is sent as its idempotency key is derived from it. */
    key: z.string(),
    host: z.string(),
    method: z.string(),
    rule: z.string(),
    approval: z.string().optional(),
  }),
  "effect.ended": z.strictObject({
    subject: z.string(),
    scope: z.string(),
    key: z.string(),
    state: z.enum(["done", "rejected", "failed", "unknown"]),
    status: count.optional(),
  }),
  "call.blocked": z.strictObject({
    blocked: z.string(),
    subject: z.string(),
    code: z.string(),
    host: z.string(),
    method: z.string(),
  }),
  "call.retried": z.strictObject({
    blocked: z.string(),
    state: z.enum(["sent", "failed"]),
    code: z.string().optional(),
    status: count.optional(),
  }),
  "call.dropped": z.strictObject({ blocked: z.string() }),
  /** Hostile programs were run against this installation, and this came of it. */
  "redteam.recorded": z.strictObject({
    runs: z.array(z.string()),
    /** SHA-256 over the canonical JSON of the runs with their rows, in the order of `runs`. */
    runs_hash: sha256,
    /** Calls by the runs' own rows, those of them that were denied, and those that were let out. */
    attempts: count,
    blocked: count,
    completed: count,
    /** How often a canary was reached, or a program got what it should not, as the reporter counted. */
    hits: count,
    verdict: z.enum(["held", "breached", "inconclusive"]),
  }),
} satisfies KindSchemas;
