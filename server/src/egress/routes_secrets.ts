import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import type { SecretList } from "./contract.ts";
import { body, type Demand, guardedBy, json, newRoutes } from "./route_parts.ts";
import { named, secretValue, secretView } from "./wire.ts";

const path = "/v1/secrets";
const tags = ["secrets"];
const params = named("github-token");

const listRoute = {
  method: "get",
  path,
  tags,
  summary: "The tenant's secrets, without their values",
  responses: { 200: json(z.strictObject({ items: z.array(secretView) }), "All of them, by name.") },
} as const;

const setRoute = {
  method: "put",
  path: `${path}/{name}`,
  tags,
  summary: "Make a secret, or a new version of it",
  request: { params, body: body(secretValue) },
  responses: { 200: json(secretView, "It is sealed; nothing gives its value back.") },
} as const;

const removeRoute = {
  method: "delete",
  path: `${path}/{name}`,
  tags,
  summary: "Remove a secret, and revoke its leases",
  request: { params },
  responses: { 204: { description: "It is gone." } },
} as const;

/** Listed with `egress:read`, changed with `secret:manage`. */
export function secretRoutes({ secrets, identity }: { secrets: SecretList; identity: Demand }): OpenAPIHono<RouteEnv> {
  const app = newRoutes();
  const guarded = guardedBy(identity);
  app.openapi(guarded(listRoute, "egress:read"), async (c) => {
    return c.json({ items: await secrets.list(c.get("who")) }, 200);
  });
  app.openapi(guarded(setRoute, "secret:manage"), async (c) => {
    const given = c.req.valid("json");
    const value = "value" in given ? Buffer.from(given.value, "utf8") : Buffer.from(given.value_base64, "base64");
    try {
      return c.json(await secrets.set(c.get("who"), c.req.valid("param").name, value), 200);
    } finally {
      value.fill(0);
    }
  });
  app.openapi(guarded(removeRoute, "secret:manage"), async (c) => {
    await secrets.remove(c.get("who"), c.req.valid("param").name);
    return c.body(null, 204);
  });
  return app;
}
