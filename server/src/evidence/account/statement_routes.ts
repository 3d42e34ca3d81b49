import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { TenantId } from "../../kernel/ids.ts";
import { ENTRY_REF_CHARS_MAX } from "../contract.ts";
import type { RunStatements } from "./statement.ts";

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface StatementRouteDeps<Who extends { tenant: TenantId }> {
  statements: Pick<RunStatements, "key" | "statement">;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "evidence:read" | "evidence:export"): void;
  };
}

const envelope = z
  .object({
    payloadType: z.string().openapi({ example: "application/vnd.in-toto+json" }),
    payload: z.string().openapi({ description: "Base64 of an in-toto Statement v1." }),
    signatures: z.array(z.object({ keyid: z.string(), sig: z.string() })),
  })
  .openapi("Envelope");

const statementRoute = {
  method: "get",
  path: "/v1/evidence/runs/{run}/statement",
  summary: "What the ledger says of an ended run, signed: DSSE over an in-toto Statement v1",
  request: { params: z.object({ run: z.string().max(ENTRY_REF_CHARS_MAX) }) },
  responses: {
    200: { description: "The envelope.", content: { "application/json": { schema: envelope } } },
    409: { description: "The run has not ended, or its end is not sealed yet." },
  },
} as const;

const keyRoute = {
  method: "get",
  path: "/v1/evidence/statement-key",
  summary: "The public key of statements; whoever verifies trusts keys from elsewhere",
  responses: {
    200: {
      description: "`keyid` is SHA-256 of the key as DER, hex; `public_key` is PEM.",
      content: { "application/json": { schema: z.object({ keyid: z.string(), public_key: z.string() }) } },
    },
  },
} as const;

interface StatementEnv<Who> {
  Variables: { who: Who; request: string };
}

/** Statements over HTTP: `evidence:export`; their key for `evidence:read`. */
export function statementRoutes<Who extends { tenant: TenantId }>(
  deps: StatementRouteDeps<Who>,
): OpenAPIHono<StatementEnv<Who>> {
  const { statements, identity } = deps;
  const app = new OpenAPIHono<StatementEnv<Who>>();
  const demanding =
    (scope: "evidence:read" | "evidence:export"): MiddlewareHandler<StatementEnv<Who>> =>
    (c, next) => {
      identity.demand(c.get("who"), scope);
      return next();
    };
  app.openapi(createRoute({ ...statementRoute, middleware: demanding("evidence:export") }), async (c) => {
    return c.json(await statements.statement(c.req.valid("param").run, c.get("who").tenant), 200);
  });
  app.openapi(createRoute({ ...keyRoute, middleware: demanding("evidence:read") }), async (c) => {
    return c.json(await statements.key(), 200);
  });
  return app;
}
