import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import { type Clock, within } from "../kernel/clock.ts";
import { READY_CHECK_MS } from "./contract.ts";

/** By name: a sentence that says why the server is not ready, or undefined. */
export type HealthChecks = Record<string, () => string | undefined | Promise<string | undefined>>;

const cause = z.strictObject({ name: z.string(), detail: z.string() });
const readiness = z.strictObject({ ready: z.boolean(), causes: z.array(cause) }).openapi("Readiness");
const json = (schema: z.ZodType, description: string) => ({
  description,
  content: { "application/json": { schema } },
});

const liveRoute = createRoute({
  method: "get",
  path: "/healthz",
  tags: ["health"],
  summary: "Is the process alive?",
  responses: { 200: json(z.strictObject({ status: z.literal("ok") }), "It is.") },
});
const readyRoute = createRoute({
  method: "get",
  path: "/readyz",
  tags: ["health"],
  summary: "Can it take runs?",
  responses: { 200: json(readiness, "It can."), 503: json(readiness, "It cannot; `causes` says why.") },
});

/** `/healthz` and `/readyz`, without a token. */
export function healthRoutes(checks: HealthChecks, clock: Clock): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  app.openapi(liveRoute, (c) => c.json({ status: "ok" as const }, 200));
  app.openapi(readyRoute, async (c) => {
    const answers = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => ({ name, detail: await ask(check, clock) })),
    );
    const causes = answers.flatMap(({ name, detail }) => (detail === undefined ? [] : [{ name, detail }]));
    const ready = causes.length === 0;
    return c.json({ ready, causes }, ready ? 200 : 503, { "cache-control": "no-store" });
  });
  return app;
}

async function ask(check: HealthChecks[string], clock: Clock): Promise<string | undefined> {
  try {
    const late = () => `has not answered for ${READY_CHECK_MS} ms`;
    return await within(clock, READY_CHECK_MS, Promise.resolve(check()), late);
  } catch {
    // Whatever it was may be internal; that the check failed is cause enough.
    return "could not be checked";
  }
}
