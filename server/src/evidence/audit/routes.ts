import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { GantryError, isGantryError, problemOf } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { errors, NOTE_BYTES_MAX } from "../contract.ts";
import type { Audits } from "./report.ts";

const NDJSON = "application/x-ndjson";

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface AuditRouteDeps<Who extends { tenant: TenantId }> {
  audits: Audits;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "evidence:audit"): void;
  };
}

interface AuditEnv<Who> {
  Variables: { who: Who; request: string };
}

const auditRoute = {
  method: "post",
  path: "/v1/evidence/audits",
  summary: "Compares the whole store, of every tenant, with its ledger and with what was signed",
  request: {
    body: {
      content: {
        "application/json": {
          schema: z.strictObject({
            checkpoint: z
              .string()
              .max(NOTE_BYTES_MAX)
              .optional()
              .openapi({ description: "A checkpoint that was kept elsewhere: the log must agree with it." }),
          }),
        },
      },
      required: true,
    },
  },
  responses: {
    200: {
      description:
        "NDJSON: `{progress: {part, done, total}}` from time to time, then one `{result}`: `{ok, size, root, compared, " +
        "counts, first_bad}`; or one `{error}` when the store could not be read to its end.",
      content: { [NDJSON]: { schema: z.string() } },
    },
    429: { description: "An audit goes on." },
  },
} as const;

/** Audits over HTTP, for `evidence:audit`. An audit ends when its caller leaves. */
export function auditRoutes<Who extends { tenant: TenantId }>(deps: AuditRouteDeps<Who>): OpenAPIHono<AuditEnv<Who>> {
  const app = new OpenAPIHono<AuditEnv<Who>>();
  const middleware: MiddlewareHandler<AuditEnv<Who>> = (c, next) => {
    deps.identity.demand(c.get("who"), "evidence:audit");
    return next();
  };
  app.openapi(createRoute({ ...auditRoute, middleware }), async (c) => {
    const { checkpoint } = c.req.valid("json");
    const lines = await begin(deps.audits, checkpoint);
    return c.body(lines, 200, { "content-type": NDJSON, "cache-control": "no-store" });
  });
  return app;
}

/**
 * The answer's lines. Resolves when the audit has begun, so that what refuses it still has a status of its own.
 * @throws EVIDENCE_AUDITS EVIDENCE_BAD_NOTE
 */
async function begin(audits: Audits, saved: string | undefined): Promise<ReadableStream<Uint8Array>> {
  const left = new AbortController();
  const encoder = new TextEncoder();
  let lines: ReadableStreamDefaultController<Uint8Array> | undefined;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      lines = controller;
    },
    cancel() {
      left.abort(new GantryError(errors.AUDITS, { detail: "The caller has left." }));
    },
  });
  const say = (line: object): void => {
    if (!left.signal.aborted) lines?.enqueue(encoder.encode(`${JSON.stringify(line)}\n`));
  };
  let begun = (): void => {};
  const has_begun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const audit = audits.audit({
    ...(saved === undefined ? {} : { saved }),
    signal: left.signal,
    progress(progress) {
      say({ progress });
      begun();
    },
  });
  await Promise.race([has_begun, audit]);
  audit
    .then(
      (result) => say({ result }),
      (error: unknown) => say({ error: isGantryError(error) ? problemOf(error) : { title: "The audit failed." } }),
    )
    .finally(() => {
      if (!left.signal.aborted) lines?.close();
    });
  return stream;
}
