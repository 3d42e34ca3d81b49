import { z } from "@hono/zod-openapi";

const count = z.number().int();

/** Calls alike of a run's door, in sum. */
export const egressRow = z
  .strictObject({
    host: z.string(),
    method: z.string(),
    path: z.string().nullable(),
    rule: z.string().nullable(),
    verdict: z.enum(["allowed", "denied"]),
    code: z.string().nullable(),
    count,
    request_bytes: count,
    response_bytes: count,
    service: z.string().optional(),
    environment: z.string().optional(),
  })
  .openapi("EgressRow");

/** One page of what a run called, call by call; `rows` is the whole in sum. */
export const runCalls = z
  .strictObject({
    rows: z.array(egressRow),
    /** Objects of the private log, oldest first: empty when there was no door, or when it was kept long enough. */
    lines: z.array(z.record(z.string(), z.unknown())),
    next: z.string().optional(),
  })
  .openapi("RunCalls");
