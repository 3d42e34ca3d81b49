import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { TenantId } from "../kernel/ids.ts";
import type { RouteEnv, SettingGate, TenantSettings } from "./contract.ts";
import type { Directory } from "./directory.ts";
import type { IdentityRegistry } from "./identity.ts";
import {
  actorSchema,
  body,
  created_no_store,
  idParam,
  json,
  listOf,
  mintedToken,
  pageAsked,
  pageOf,
  pageQuery,
  settingsSchema,
  tenantSchema,
  tenantViewSchema,
} from "./route_schemas.ts";

export interface TenantRouteDeps {
  identity: IdentityRegistry;
  directory: Directory;
  gate: SettingGate;
}

const tags = ["identity"];

const ownRoute = {
  method: "get",
  path: "/v1/tenant",
  tags,
  summary: "The caller's tenant and its settings; `contract:read`",
  responses: { 200: json(tenantViewSchema, "`ETag` is the settings' revision.") },
} as const;

const changeRoute = {
  method: "patch",
  path: "/v1/tenant",
  tags,
  summary: "Change settings of the caller's tenant; `contract:propose`",
  request: {
    headers: z.object({
      "if-match": z
        .string()
        .regex(/^(\d{1,9}|"\d{1,9}")$/, 'is the revision that you have read, as "3"')
        .openapi({ description: "The `settings_rev` that the change is made to." }),
    }),
    body: body(settingsSchema.partial()),
  },
  responses: {
    200: json(tenantViewSchema, "Nothing loosens: the settings hold now."),
    202: json(
      z.strictObject({
        state: z.literal("pending"),
        approval: z.string(),
        statement_hash: z.string(),
        tenant: tenantViewSchema,
        next_steps: z.array(z.strictObject({ kind: z.literal("command"), text: z.string(), command: z.string() })),
      }),
      "Something loosens: it holds when people have approved it.",
    ),
    412: { description: "The settings have another revision by now." },
  },
} as const;

const listRoute = createRoute({
  method: "get",
  path: "/v1/tenants",
  tags,
  summary: "Every tenant of this installation; `tenant:manage`",
  request: { query: z.strictObject(pageQuery) },
  responses: { 200: json(listOf(tenantSchema), "One page, oldest first.") },
});

const createTenantRoute = createRoute({
  method: "post",
  path: "/v1/tenants",
  tags,
  summary: "Create a tenant with a human owner; `tenant:manage`",
  request: { body: body(z.strictObject({ slug: z.string().max(64) })) },
  responses: {
    201: json(
      z.strictObject({
        tenant: tenantSchema,
        owner: actorSchema.pick({ id: true, kind: true, name: true }),
        token: mintedToken,
      }),
      "The tenant, and its owner's token, shown once. It decides nothing that takes a human's own login.",
    ),
  },
});

const stateRoute = createRoute({
  method: "patch",
  path: "/v1/tenants/{id}",
  tags,
  summary: "Suspend or resume a tenant; `tenant:manage`",
  request: { params: idParam, body: body(z.strictObject({ state: z.enum(["active", "suspended"]) })) },
  responses: { 200: json(tenantSchema, "The tenant.") },
});

/** The caller's tenant, and for who operates the installation all tenants. */
export function tenantRoutes({ identity, directory, gate }: TenantRouteDeps): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  const middleware: MiddlewareHandler<RouteEnv> = (c, next) => {
    identity.demand(c.get("who"), c.req.method === "GET" ? "contract:read" : "contract:propose");
    return next();
  };
  app.openapi(createRoute({ ...ownRoute, middleware }), async (c) => {
    const tenant = await directory.tenant(c.get("who"));
    return c.json(tenant, 200, { etag: `"${tenant.settings_rev}"` });
  });
  app.openapi(createRoute({ ...changeRoute, middleware }), async (c) => {
    const rev = Number(c.req.valid("header")["if-match"].replaceAll('"', ""));
    const settings = c.req.valid("json") as Partial<TenantSettings>;
    const answer = await identity.changeSettings(c.get("who"), gate, { rev, settings });
    if (answer.done) return c.json(answer.tenant, 200, { etag: `"${answer.tenant.settings_rev}"` });
    const { tenant, approval, statement_hash } = answer;
    const next_steps = [
      { kind: "command" as const, text: "A human approves it", command: `gantry approve ${approval}` },
    ];
    return c.json({ state: "pending" as const, approval, statement_hash, tenant, next_steps }, 202);
  });
  app.openapi(listRoute, async (c) => {
    const { shown, ...page } = pageAsked(c.req.valid("query"));
    const items = await directory.tenants(c.get("who"), page);
    return c.json(
      pageOf(items, shown, ({ id }) => id),
      200,
    );
  });
  app.openapi(createTenantRoute, async (c) => {
    const { tenant, owner, token } = await identity.createTenant(c.get("who"), c.req.valid("json").slug);
    const shown = { id: owner.id, kind: owner.kind, name: owner.name };
    return c.json({ tenant, owner: shown, token }, 201, created_no_store);
  });
  app.openapi(stateRoute, async (c) => {
    const id = c.req.valid("param").id as TenantId;
    await identity.setTenantState(c.get("who"), id, c.req.valid("json").state);
    return c.json(await directory.someTenant(c.get("who"), id), 200);
  });
  return app;
}
