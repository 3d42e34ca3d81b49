import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import type { ServiceEntry, ServiceList } from "./contract.ts";
import { body, type Demand, guardedBy, json, newRoutes } from "./route_parts.ts";
import { named, serviceEntry, serviceFields } from "./wire.ts";

const path = "/v1/egress/services";
const tags = ["egress"];
const params = named("github-api");

const listRoute = {
  method: "get",
  path,
  tags,
  summary: "The catalogue of services that rules may name",
  responses: { 200: json(z.strictObject({ items: z.array(serviceEntry) }), "All of them, by name.") },
} as const;

const setRoute = {
  method: "put",
  path: `${path}/{name}`,
  tags,
  summary: "Put a service into the catalogue, or change it",
  request: { params, body: body(serviceFields) },
  responses: { 200: json(serviceEntry, "It holds for contracts that are applied from now on.") },
} as const;

const removeRoute = {
  method: "delete",
  path: `${path}/{name}`,
  tags,
  summary: "Take a service out of the catalogue",
  request: { params },
  responses: { 204: { description: "Contracts that were applied keep what they say." } },
} as const;

/** Listed with `egress:read`, changed with `egress:manage`. */
export function serviceRoutes({
  services,
  identity,
}: {
  services: ServiceList;
  identity: Demand;
}): OpenAPIHono<RouteEnv> {
  const app = newRoutes();
  const guarded = guardedBy(identity);
  app.openapi(guarded(listRoute, "egress:read"), async (c) => {
    return c.json({ items: await services.list(c.get("who")) }, 200);
  });
  app.openapi(guarded(setRoute, "egress:manage"), async (c) => {
    // JSON has no undefined members.
    const entry = { ...c.req.valid("json"), name: c.req.valid("param").name } as ServiceEntry;
    return c.json(await services.set(c.get("who"), entry), 200);
  });
  app.openapi(guarded(removeRoute, "egress:manage"), async (c) => {
    await services.remove(c.get("who"), c.req.valid("param").name);
    return c.body(null, 204);
  });
  return app;
}
