import { z } from "zod";
import type { KindSchemas } from "../evidence/contract.ts";
import { LIMIT_NAMES, type LimitName } from "../kernel/limits.ts";
import { ISOLATIONS } from "../policy/contract.ts";
import { BUDGETS } from "./budgets.ts";
import { LANES, TERMINATIONS } from "./contract.ts";

const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const limits = z.strictObject(
  Object.fromEntries(LIMIT_NAMES.map((name) => [name, count])) as Record<LimitName, typeof count>,
);
const code_facts = z.strictObject({
  modules: count,
  bytes: count,
  imports: z.array(z.string()),
  hosts: z.array(z.string()),
  dynamic_code: z.boolean(),
  wasm: z.boolean(),
  secrets: z.array(z.string()),
  /** Names and hosts that did not fit. */
  dropped: count,
});

/** Where a run stands among those that started each other; absent for one that no run started. */
const tree = { parent: z.string().optional(), root: z.string().optional(), depth: count.optional() };

/**
 * What the ledger says of a run. Tenant, chain, contract, snapshot and decision are the entry's own members.
 * A run has one `run.ended`; one that got a slot has a `run.admitted` for each attempt before it.
 */
export const kinds = {
  /** The run waits for a slot, or waits again after `attempt - 1` lost ones. */
  "run.queued": z.strictObject({
    run: z.string(),
    attempt: count,
    lane: z.enum(LANES),
    /** The caller asked for the interactive lane and accepted the other. */
    downgraded: z.boolean(),
    expires_at: count,
    ...tree,
  }),
  /** The run waits for people; what they are shown has the hash. */
  "run.parked": z.strictObject({
    run: z.string(),
    approval: z.string(),
    gate: z.string(),
    quorum: count,
    statement_hash: sha256,
    code_hash: sha256,
    input_hash: sha256,
    target: z.string().optional(),
    /** SHA-256 of the idempotency key. */
    key_hash: sha256.optional(),
    ...tree,
  }),
  /** The run has a slot. Nothing leaves its process before this is durable. */
  "run.admitted": z.strictObject({
    run: z.string(),
    attempt: count,
    code_hash: sha256,
    input_hash: sha256,
    /** SHA-256 of the idempotency key. */
    key_hash: sha256.optional(),
    limits,
    lane: z.enum(LANES),
    isolation: z.enum(ISOLATIONS),
    session: z.string().optional(),
    deadline_at: count,
    target: z.string().optional(),
    /** What people approved, used up by this. */
    approval: z.string().optional(),
    ...tree,
    code_facts,
  }),
  /** A run was refused past a budget, and never was one. Refusals alike are counted for a while and told together. */
  "run.refused": z.strictObject({
    code: z.string(),
    budget: z.enum(BUDGETS),
    used: count,
    limit: count,
    /** Refusals since the entry before, this one included. */
    count: count.min(1),
    code_hash: sha256,
    ...tree,
  }),
  /** The run is over. Its result is released after this is durable. */
  "run.ended": z.strictObject({
    run: z.string(),
    attempt: count,
    termination: z.enum(TERMINATIONS),
    /** The code of the error. */
    code: z.string().optional(),
    code_hash: sha256,
    isolation: z.enum(ISOLATIONS).optional(),
    jail: z.enum(["unshare", "bwrap", "none"]).optional(),
    runner: z.string().optional(),
    /** The actor who cancelled it. */
    cancelled_by: z.string().optional(),
    /** A human reversed what an agent had begun. */
    override: z.enum(["cancel", "decline"]).optional(),
    startup_ms: count.optional(),
    completion_ms: count.optional(),
    cpu_ms: count.optional(),
    rss_peak_mb: count.optional(),
    output_bytes: count.optional(),
    result_hash: sha256.optional(),
    /** SHA-256 over the kept lines of this attempt as NDJSON. */
    log_hash: sha256.optional(),
    log_bytes: count.optional(),
    log_dropped: count.optional(),
    egress: z
      .array(
        z.strictObject({
          host: z.string(),
          method: z.string(),
          count,
          verdict: z.enum(["allowed", "denied"]),
          /** Why it was denied, or how it failed. */
          code: z.string().optional(),
          /** The rule that let it out, and the pattern of its that the path fits. */
          rule: z.string().optional(),
          path: z.string().optional(),
          request_bytes: count.optional(),
          response_bytes: count.optional(),
          /** Of the tenant's catalogue. */
          service: z.string().optional(),
          environment: z.string().optional(),
        }),
      )
      .optional(),
    /** SHA-256 of the private log of what it called, NDJSON. */
    egress_log_hash: sha256.optional(),
  }),
} satisfies KindSchemas;
export type RunEnded = z.output<(typeof kinds)["run.ended"]>;
export type RunParked = z.output<(typeof kinds)["run.parked"]>;
export type RunQueued = z.output<(typeof kinds)["run.queued"]>;
export type RunRefused = z.output<(typeof kinds)["run.refused"]>;
export type RunAdmitted = z.output<(typeof kinds)["run.admitted"]>;
