import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import type { Policy } from "../policy/contract.ts";
import type { BlockedCallList, Egress } from "./contract.ts";
import { body, type Demand, guardedBy, json, newRoutes } from "./route_parts.ts";
import { blockedCall, identified, verdictRequest, verdictView } from "./wire.ts";

const path = "/v1/egress/blocked";
const tags = ["egress"];
const params = identified("blk_01j9zq3v6we8k9m4t2x7c5d0ab");

const testRoute = {
  method: "post",
  path: "/v1/egress/test",
  tags,
  summary: "What a contract would say of a call; nothing is looked up or sent",
  request: { body: body(verdictRequest) },
  responses: { 200: json(verdictView, "The verdict, and the narrowest rule that would change a denial.") },
} as const;

const listRoute = {
  method: "get",
  path,
  tags,
  summary: "Calls that were stopped and kept, newest first",
  responses: { 200: json(z.strictObject({ items: z.array(blockedCall) }), "All that there are.") },
} as const;

const showRoute = {
  method: "get",
  path: `${path}/{id}`,
  tags,
  summary: "One call that was stopped and kept",
  request: { params },
  responses: { 200: json(blockedCall, "The call as it stands.") },
} as const;

const retryRoute = {
  method: "post",
  path: `${path}/{id}/retry`,
  tags,
  summary: "Send a call that was stopped, under the contract as it is now",
  request: { params },
  responses: { 200: json(blockedCall, "It was let go; `state` says how that ended.") },
} as const;

const dropRoute = {
  method: "delete",
  path: `${path}/{id}`,
  tags,
  summary: "Drop a call that was stopped: it is never sent",
  request: { params },
  responses: { 204: { description: "It is not sent any more." } },
} as const;

export interface CallRouteDeps {
  egress: Pick<Egress, "explain">;
  policy: Pick<Policy, "open">;
  blocked: BlockedCallList;
  identity: Demand;
}

/** Questions with `contract:read`; stopped calls are seen with `egress:read`, let go or dropped with `egress:manage`. */
export function callRoutes({ egress, policy, blocked, identity }: CallRouteDeps): OpenAPIHono<RouteEnv> {
  const app = newRoutes();
  const guarded = guardedBy(identity);
  app.openapi(guarded(testRoute, "contract:read"), async (c) => {
    const { contract, url, method, protocol } = c.req.valid("json");
    const { tenant } = c.get("who");
    const asked = {
      url,
      ...(method === undefined ? {} : { method }),
      ...(protocol === undefined ? {} : { protocol }),
    };
    const view = await policy.open(tenant, contract);
    return c.json(await egress.explain(tenant, view, asked), 200);
  });
  app.openapi(guarded(listRoute, "egress:read"), async (c) => {
    return c.json({ items: await blocked.list(c.get("who")) }, 200);
  });
  app.openapi(guarded(showRoute, "egress:read"), async (c) => {
    return c.json(await blocked.show(c.get("who"), c.req.valid("param").id), 200);
  });
  app.openapi(guarded(retryRoute, "egress:manage"), async (c) => {
    return c.json(await blocked.retry(c.get("who"), c.req.valid("param").id), 200);
  });
  app.openapi(guarded(dropRoute, "egress:manage"), async (c) => {
    await blocked.drop(c.get("who"), c.req.valid("param").id);
    return c.body(null, 204);
  });
  return app;
}
