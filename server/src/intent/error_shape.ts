import { z } from "@hono/zod-openapi";
import { NEXT_STEPS } from "../kernel/errors.ts";

const count = z.number().int();
const reason = z.strictObject({ code: z.string(), detail: z.string() });
const problem = z.strictObject({
  at: z.string(),
  line: count.optional(),
  column: count.optional(),
  text: z.string(),
});
/** What a caller can do about it. */
export const next_step = z.strictObject({
  kind: z.enum(NEXT_STEPS),
  text: z.string(),
  command: z.string().optional(),
  rule: z.record(z.string(), z.unknown()).optional(),
  needs: z.literal("contract-change").optional(),
});
/** The error of a run: the members of a problem document, and what the guest said. */
export const runError = z
  .strictObject({
    type: z.string().optional(),
    status: count.optional(),
    code: z.string(),
    title: z.string().optional(),
    detail: z.string(),
    request: z.string().optional(),
    run: z.string().optional(),
    snapshot: z.string().optional(),
    reasons: z.array(reason).optional(),
    problems: z.array(problem).optional(),
    next_steps: z.array(next_step).optional(),
    retry_after_ms: count.optional(),
    name: z.string().optional(),
    stack: z.string().optional(),
  })
  .openapi("RunError");
