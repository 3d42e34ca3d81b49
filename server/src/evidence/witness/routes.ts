import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { WitnessReader } from "./witnesses.ts";

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface WitnessRouteDeps<Who> {
  witnesses: WitnessReader;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "ops:read"): void;
  };
}

const witnessSchema = z
  .strictObject({
    sink: z.string().openapi({ description: "As the configuration names it, without secrets." }),
    size: z.int().openapi({ description: "Of the newest checkpoint that it took; 0 when none." }),
    lag_ms: z.int().openapi({ description: "How long the oldest checkpoint that it lacks has waited." }),
    ok_at: z.int().nullable().openapi({ description: "When it was last known to hold the newest, milliseconds UTC." }),
    error: z.string().nullable().openapi({ description: "What was wrong at the last attempt." }),
  })
  .openapi("Witness");

const listRoute = {
  method: "get",
  path: "/v1/evidence/witnesses",
  summary: "How far the witnesses of this instance have come",
  responses: {
    200: {
      description: "All of them.",
      content: { "application/json": { schema: z.strictObject({ items: z.array(witnessSchema) }) } },
    },
  },
} as const;

interface WitnessEnv<Who> {
  Variables: { who: Who; request: string };
}

/** For `ops:read`: witnesses are the operator's, and belong to no tenant. */
export function witnessRoutes<Who>({ witnesses, identity }: WitnessRouteDeps<Who>): OpenAPIHono<WitnessEnv<Who>> {
  const app = new OpenAPIHono<WitnessEnv<Who>>();
  const middleware: MiddlewareHandler<WitnessEnv<Who>> = (c, next) => {
    identity.demand(c.get("who"), "ops:read");
    return next();
  };
  app.openapi(createRoute({ ...listRoute, middleware }), async (c) => c.json({ items: await witnesses.list() }, 200));
  return app;
}
