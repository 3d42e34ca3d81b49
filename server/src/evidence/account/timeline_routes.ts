import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { TenantId } from "../../kernel/ids.ts";
import { ENTRY_REF_CHARS_MAX, TIMELINE_ENTRIES_MAX } from "../contract.ts";
import type { TimelineAsk, Timelines } from "./timeline.ts";
import { timelineJson, timelineMarkdown } from "./timeline_forms.ts";

const MARKDOWN = "text/markdown";

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface TimelineRouteDeps<Who extends { tenant: TenantId }> {
  timelines: Timelines;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "evidence:read"): void;
  };
}

const format = z.enum(["json", "md"]).default("json");
const lineSchema = z.object({
  entry: z.string(),
  index: z.int().optional().openapi({ description: "Absent while the entry waits to be sealed." }),
  at: z.int().openapi({ description: "Milliseconds UTC." }),
  kind: z.string(),
  chain: z.array(
    z.object({ actor: z.string(), kind: z.enum(["human", "agent", "service"]), name: z.string().optional() }),
  ),
  contract: z.object({ name: z.string(), version: z.int() }).optional(),
  snapshot: z.string().optional(),
  decision: z.object({ verdict: z.string(), codes: z.array(z.string()) }).optional(),
  text: z.string(),
  details: z.array(z.string()),
});
const timelineSchema = z
  .object({
    v: z.literal(1),
    ref: z.string().optional(),
    since: z.int().optional(),
    tenant: z.string(),
    lines: z.array(lineSchema),
    gaps: z.array(z.object({ entry: z.string().optional(), text: z.string() })),
  })
  .openapi("Timeline");

const responses = {
  200: {
    description: `At most ${TIMELINE_ENTRIES_MAX} entries are told; that there are more is one of the gaps.`,
    content: { "application/json": { schema: timelineSchema }, [MARKDOWN]: { schema: z.string() } },
  },
} as const;

const refRoute = {
  method: "get",
  path: "/v1/timelines/{ref}",
  summary: "What happened to a run, an actor, or anything that entries name, by the ledger alone",
  request: {
    params: z.object({ ref: z.string().min(1).max(ENTRY_REF_CHARS_MAX) }),
    query: z.strictObject({ format }),
  },
  responses,
} as const;

const sinceRoute = {
  method: "get",
  path: "/v1/timelines",
  summary: "What happened from a time on, by the ledger alone",
  request: {
    query: z.strictObject({
      since: z.coerce.number().int().min(0).openapi({ description: "Milliseconds UTC, inclusive." }),
      format,
    }),
  },
  responses,
} as const;

interface TimelineEnv<Who> {
  Variables: { who: Who; request: string };
}

/** Timelines over HTTP, for `evidence:read`; a caller sees those of its own tenant only. */
export function timelineRoutes<Who extends { tenant: TenantId }>(
  deps: TimelineRouteDeps<Who>,
): OpenAPIHono<TimelineEnv<Who>> {
  const { timelines, identity } = deps;
  const app = new OpenAPIHono<TimelineEnv<Who>>();
  /** Before the schema is judged: who may not read learns nothing about how to ask. */
  const middleware: MiddlewareHandler<TimelineEnv<Who>> = (c, next) => {
    identity.demand(c.get("who"), "evidence:read");
    return next();
  };
  const told = (ask: TimelineAsk, who: Who) => timelines.tell(ask, who.tenant);
  app.openapi(createRoute({ ...refRoute, middleware }), async (c) => {
    const timeline = await told({ ref: c.req.valid("param").ref }, c.get("who"));
    if (c.req.valid("query").format === "json") return c.json(timelineJson(timeline), 200);
    return c.body(timelineMarkdown(timeline), 200, { "content-type": `${MARKDOWN}; charset=utf-8` });
  });
  app.openapi(createRoute({ ...sinceRoute, middleware }), async (c) => {
    const timeline = await told({ since: c.req.valid("query").since }, c.get("who"));
    if (c.req.valid("query").format === "json") return c.json(timelineJson(timeline), 200);
    return c.body(timelineMarkdown(timeline), 200, { "content-type": `${MARKDOWN}; charset=utf-8` });
  });
  return app;
}
