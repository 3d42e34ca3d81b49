import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import type { Identity, RouteEnv, Scope } from "../identity/contract.ts";
import type { Applied, ContractDocument } from "./contract.ts";
import type { ContractPolicy } from "./policy.ts";
import {
  appliedSchema,
  type deltaSchema,
  diffSchema,
  proposedSchema,
  snapshotSchema,
  summarySchema,
  summaryWire,
  versionSchema,
  versionWire,
} from "./wire.ts";

const NAME_CHARS_MAX = 63;
const SNAPSHOT_ID = /^snp_[0-9a-f]{64}$/;
const tags = ["policy"];

export interface PolicyRouteDeps {
  policy: ContractPolicy;
  identity: Pick<Identity, "demand">;
}

const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
const name = z.string().max(NAME_CHARS_MAX);
/** The document itself: JSON is YAML, so both are read as one text, whose lines problems name. */
const document = {
  content: {
    "application/yaml": { schema: z.string().openapi({ description: "A contract document." }) },
    "application/json": { schema: z.record(z.string(), z.unknown()) },
  },
  required: true,
} as const;

const listRoute = {
  method: "get",
  path: "/v1/contracts",
  tags,
  summary: "Active contracts: the built-in ones, then the tenant's by name",
  responses: { 200: json(z.object({ items: z.array(summarySchema) }), "All of them, on one page.") },
} as const;

const getRoute = {
  method: "get",
  path: "/v1/contracts/{name}",
  tags,
  summary: "The active version of one contract",
  request: { params: z.object({ name }) },
  responses: { 200: json(summarySchema, "The contract. `ETag` is its version.") },
} as const;

const versionRoute = {
  method: "get",
  path: "/v1/contracts/{name}/{version}",
  tags,
  summary: "Any version of one contract, with its document",
  request: { params: z.object({ name, version: z.coerce.number().int().positive().max(999_999_999) }) },
  responses: { 200: json(versionSchema, "The version.") },
} as const;

const applyRoute = {
  method: "put",
  path: "/v1/contracts/{name}",
  tags,
  summary: "Apply a contract: at once when it tightens, by people when it loosens; `contract:propose`",
  request: {
    params: z.object({ name }),
    headers: z.object({
      "if-match": z
        .string()
        .regex(/^(\d{1,9}|"\d{1,9}")$/, 'is the version that you have read, as "3"; "0": there is none')
        .optional(),
    }),
    body: document,
  },
  responses: {
    200: json(appliedSchema, "It is active now, or was already. `ETag` is its version."),
    202: json(proposedSchema, "It loosens what holds: it waits for people."),
  },
} as const;

const diffRoute = {
  method: "post",
  path: "/v1/contracts/{name}/diff",
  tags,
  summary: "What a document would change, and whether that would wait for people. Nothing is applied",
  request: { params: z.object({ name }), body: document },
  responses: { 200: json(diffSchema, "What loosens comes first.") },
} as const;

const snapshotRoute = {
  method: "get",
  path: "/v1/snapshots/{id}",
  tags,
  summary: "What a snapshot's id is the hash of",
  request: { params: z.object({ id: z.string().regex(SNAPSHOT_ID, "a snapshot id is snp_ and 64 hex digits") }) },
  responses: { 200: json(snapshotSchema, "The snapshot.") },
} as const;

/** Contracts over HTTP, for `contract:read` and `contract:propose`; a caller sees the built-in ones and its own tenant's. */
export function policyRoutes({ policy, identity }: PolicyRouteDeps): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  const demand = (scope: Scope): MiddlewareHandler<RouteEnv> => {
    return (c, next) => {
      identity.demand(c.get("who"), scope);
      return next();
    };
  };
  const middleware = demand("contract:read");
  app.openapi(createRoute({ ...listRoute, middleware }), async (c) => {
    return c.json({ items: (await policy.list(c.get("who").tenant)).map(summaryWire) }, 200);
  });
  app.openapi(createRoute({ ...getRoute, middleware }), async (c) => {
    const found = await policy.get(c.get("who").tenant, c.req.valid("param").name);
    c.header("ETag", `"${found.version}"`);
    return c.json(summaryWire(found), 200);
  });
  app.openapi(createRoute({ ...versionRoute, middleware }), async (c) => {
    const { name, version } = c.req.valid("param");
    return c.json(versionWire(await policy.version(c.get("who").tenant, name, version)), 200);
  });
  app.openapi(createRoute({ ...applyRoute, middleware: demand("contract:propose") }), async (c) => {
    const { name } = c.req.valid("param");
    const match = c.req.valid("header")["if-match"];
    const if_version = match === undefined ? undefined : Number(match.replaceAll('"', ""));
    const applied = await policy.apply(await documentOf(c, name), c.get("who"), { name, if_version });
    if (applied.proposal !== null) return c.json(proposedWire(applied, applied.proposal), 202);
    c.header("ETag", `"${applied.contract.version}"`);
    const { changed, contract, delta } = applied;
    return c.json({ changed, contract: versionWire(contract), delta }, 200);
  });
  app.openapi(createRoute({ ...diffRoute, middleware }), async (c) => {
    const { name } = c.req.valid("param");
    const { version, delta } = await policy.diff(await documentOf(c, name), c.get("who"), name);
    return c.json({ name, version, delta }, 200);
  });
  app.openapi(createRoute({ ...snapshotRoute, middleware }), async (c) => {
    const { id } = c.req.valid("param");
    return c.json({ id, body: { ...(await policy.snapshot(c.get("who").tenant, id)) } }, 200);
  });
  return app;
}

/** The text as it was sent: its lines are what problems, and later explanations, name. */
async function documentOf(c: Context<RouteEnv>, name: string): Promise<ContractDocument> {
  return { name: `contract ${name}`, text: await c.req.text() };
}

function proposedWire(
  { changed, contract, delta }: Applied,
  { approval, statement_hash }: NonNullable<Applied["proposal"]>,
): z.infer<typeof proposedSchema> {
  return {
    changed,
    contract: versionWire(contract),
    delta: delta satisfies z.infer<typeof deltaSchema>,
    approval,
    statement_hash,
    next_steps: [
      { kind: "command", text: "See what people are asked", command: `gantry approvals show ${approval}` },
      { kind: "wait", text: "It is active when enough people have approved; until then what is active stays so." },
    ],
  };
}
