import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import { TOKEN_PATTERN } from "../kernel/log.ts";

const patterns = z.strictObject({
  patterns: z.array(z.strictObject({ name: z.string(), regex: z.string() })),
});

const route = createRoute({
  method: "get",
  path: "/.well-known/gantry-tokens",
  tags: ["health"],
  summary: "What a token looks like, for secret scanners",
  responses: {
    200: { description: "Regular expressions.", content: { "application/json": { schema: patterns } } },
  },
});

/** Lets a secret scanner find our tokens in what people publish. */
export function tokenPatternRoute(): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  const body = { patterns: [{ name: "Gantry token", regex: TOKEN_PATTERN.source }] };
  app.openapi(route, (c) => c.json(body, 200, { "cache-control": "public, max-age=86400" }));
  return app;
}
