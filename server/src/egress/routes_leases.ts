import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import type { LeaseList } from "./contract.ts";
import { type Demand, guardedBy, json, newRoutes } from "./route_parts.ts";
import { identified, leaseView } from "./wire.ts";

const path = "/v1/leases";
const tags = ["leases"];

const listRoute = {
  method: "get",
  path,
  tags,
  summary: "Which runs may use which secrets, or could a moment ago",
  responses: {
    200: json(
      z.strictObject({ items: z.array(leaseView) }),
      "Newest first, those whose time has not run out; of one that was ended before, when.",
    ),
  },
} as const;

const revokeRoute = {
  method: "delete",
  path: `${path}/{id}`,
  tags,
  summary: "End a lease before its time",
  request: { params: identified("lse_01j9zq3v6we8k9m4t2x7c5d0ab") },
  responses: { 204: { description: "No call uses it any more; what was under way with it is cut." } },
} as const;

/** Listed with `egress:read`, revoked with `secret:manage`. */
export function leaseRoutes({ leases, identity }: { leases: LeaseList; identity: Demand }): OpenAPIHono<RouteEnv> {
  const app = newRoutes();
  const guarded = guardedBy(identity);
  app.openapi(guarded(listRoute, "egress:read"), async (c) => {
    return c.json({ items: await leases.list(c.get("who")) }, 200);
  });
  app.openapi(guarded(revokeRoute, "secret:manage"), async (c) => {
    await leases.revoke(c.get("who"), c.req.valid("param").id);
    return c.body(null, 204);
  });
  return app;
}
