import type { OpenAPIHono } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import type { Redteam } from "./redteam.ts";
import { body, type Demand, guardedBy, json, newRoutes } from "./route_parts.ts";
import { redteamRecord, redteamRequest } from "./wire.ts";

const tags = ["egress"];

const recordRoute = {
  method: "post",
  path: "/v1/redteam",
  tags,
  summary: "Record what became of hostile programs, by the rows of their runs",
  request: { body: body(redteamRequest) },
  responses: { 201: json(redteamRecord, "It stands in the ledger.") },
} as const;

/** With `egress:manage`. */
export function redteamRoutes({
  redteam,
  identity,
}: {
  redteam: Pick<Redteam, "record">;
  identity: Demand;
}): OpenAPIHono<RouteEnv> {
  const app = newRoutes();
  app.openapi(guardedBy(identity)(recordRoute, "egress:manage"), async (c) => {
    return c.json(await redteam.record(c.get("who"), c.req.valid("json")), 201);
  });
  return app;
}
