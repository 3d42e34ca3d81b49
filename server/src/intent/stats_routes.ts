import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Identity, RouteEnv } from "../identity/contract.ts";
import { STATS_WINDOW_MS, STATS_WINDOW_MS_MAX, STATS_WINDOW_MS_MIN } from "./contract.ts";
import { demanding, whole } from "./routes.ts";
import type { RunFigures } from "./stats.ts";
import { figures } from "./stats_shapes.ts";

const tags = ["runs"];

const statsRoute = {
  method: "get",
  path: "/v1/stats",
  tags,
  summary: "What the tenant's runs do now and did in a window of time; with `ops:read`, how the machine is",
  request: {
    query: z.strictObject({
      window_ms: whole(STATS_WINDOW_MS_MIN, STATS_WINDOW_MS_MAX)
        .optional()
        .openapi({ description: `Runs that ended so recently are counted; default ${STATS_WINDOW_MS}.` }),
    }),
  },
  responses: { 200: { description: "The figures.", content: { "application/json": { schema: figures } } } },
} as const;

/** `GET /v1/stats`, for `run:read`. */
export function statsRoutes({
  figures: counted,
  identity,
}: {
  figures: Pick<RunFigures, "get">;
  identity: Pick<Identity, "demand">;
}): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  app.openapi(createRoute({ ...statsRoute, middleware: demanding(identity, "run:read") }), async (c) => {
    return c.json(await counted.get(c.get("who"), c.req.valid("query").window_ms ?? STATS_WINDOW_MS), 200);
  });
  return app;
}
