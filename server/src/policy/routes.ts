import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { Identity, RouteEnv } from "../identity/contract.ts";
import type { ContractSummary, Policy, SnapshotBody } from "./contract.ts";

const NAME_CHARS_MAX = 63;
const SNAPSHOT_ID = /^snp_[0-9a-f]{64}$/;

export interface PolicyRouteDeps {
  policy: Policy;
  identity: Pick<Identity, "demand">;
}

const summarySchema = z
  .object({
    name: z.string(),
    version: z.int(),
    class: z.string(),
    built_in: z.boolean(),
    snapshot: z.string().openapi({ description: "Names the state that a run would be decided against now." }),
    contract: z.record(z.string(), z.unknown()).openapi({ description: "Complete: inherited keys are filled in." }),
  })
  .openapi("ContractSummary");

const listRoute = {
  method: "get",
  path: "/v1/contracts",
  summary: "Active contracts: the built-in ones, then the tenant's by name",
  responses: {
    200: {
      description: "All of them, on one page.",
      content: { "application/json": { schema: z.object({ items: z.array(summarySchema) }) } },
    },
  },
} as const;

const getRoute = {
  method: "get",
  path: "/v1/contracts/{name}",
  summary: "The active version of one contract",
  request: { params: z.object({ name: z.string().max(NAME_CHARS_MAX) }) },
  responses: { 200: { description: "The contract.", content: { "application/json": { schema: summarySchema } } } },
} as const;

const snapshotSchema = z
  .object({
    id: z.string(),
    body: z
      .record(z.string(), z.unknown())
      .openapi({ description: "Its RFC 8785 canonical JSON has the SHA-256 that is the id." }),
  })
  .openapi("Snapshot");

const snapshotRoute = {
  method: "get",
  path: "/v1/snapshots/{id}",
  summary: "What a snapshot's id is the hash of",
  request: { params: z.object({ id: z.string().regex(SNAPSHOT_ID, "a snapshot id is snp_ and 64 hex digits") }) },
  responses: { 200: { description: "The snapshot.", content: { "application/json": { schema: snapshotSchema } } } },
} as const;

/** Contracts over HTTP, for `contract:read`; a caller sees the built-in ones and its own tenant's. */
export function policyRoutes({ policy, identity }: PolicyRouteDeps): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  const middleware: MiddlewareHandler<RouteEnv> = (c, next) => {
    identity.demand(c.get("who"), "contract:read");
    return next();
  };
  app.openapi(createRoute({ ...listRoute, middleware }), async (c) => {
    return c.json({ items: (await policy.list(c.get("who").tenant)).map(wire) }, 200);
  });
  app.openapi(createRoute({ ...getRoute, middleware }), async (c) => {
    return c.json(wire(await policy.get(c.get("who").tenant, c.req.valid("param").name)), 200);
  });
  app.openapi(createRoute({ ...snapshotRoute, middleware }), async (c) => {
    const { id } = c.req.valid("param");
    const body: SnapshotBody = await policy.snapshot(c.get("who").tenant, id);
    return c.json({ id, body: { ...body } }, 200);
  });
  return app;
}

function wire(summary: ContractSummary): z.infer<typeof summarySchema> {
  return { ...summary, contract: { ...summary.contract } };
}
