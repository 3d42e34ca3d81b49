import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { Identity, RouteEnv, Scope } from "../identity/contract.ts";
import { runCalls } from "./call_shapes.ts";
import {
  IDEMPOTENCY_KEY_MAX,
  type LogLine,
  logLine,
  RUN_STATES,
  RUNS_PAGE_MAX,
  type RunQuery,
  type RunRequest,
  type Runs,
  type RunView,
  runRequest,
  runView,
  sessionName,
  TERMINATIONS,
  WAIT_MS_MAX,
} from "./contract.ts";
import { ndjsonOf } from "./run_log.ts";

/** A whole number in a query; anything but digits is refused. */
export const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,16}$/, "must be a whole number")
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be from ${min} to ${max}`)
    .openapi({ type: "integer", minimum: min, maximum: max });

const id = z.string().openapi({ param: { name: "id", in: "path" }, example: "run_01j9zq3v6we8k9m4t2x7c5d0ab" });
const json = (schema: z.ZodType, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
const tags = ["runs"];

const submitRoute = {
  method: "post",
  path: "/v1/runs",
  tags,
  summary: "Run code, and wait for its end",
  request: {
    headers: z.object({
      "idempotency-key": z
        .string()
        .regex(/^[\x20-\x7e]+$/, "must be printable ASCII")
        .max(IDEMPOTENCY_KEY_MAX)
        .optional()
        .openapi({ description: "Equal key and equal request within 24 hours: the same run." }),
    }),
    body: { required: true, content: { "application/json": { schema: runRequest } } },
  },
  responses: {
    200: json(runView, "The run has ended, however it ended."),
    202: json(runView, "The run goes on, or waits for a slot or for people; `Location` names it."),
  },
} as const;

const listRoute = {
  method: "get",
  path: "/v1/runs",
  tags,
  summary: "The tenant's runs, newest first, without results",
  request: {
    query: z.strictObject({
      cursor: z.string().max(64).optional(),
      limit: whole(1, RUNS_PAGE_MAX).optional(),
      state: z.enum(RUN_STATES).optional(),
      termination: z.enum(TERMINATIONS).optional(),
      session: sessionName.optional(),
      root: z.string().max(64).optional(),
    }),
  },
  responses: {
    200: json(z.strictObject({ items: z.array(runView), next: z.string().optional() }), "One page."),
  },
} as const;

const getRoute = {
  method: "get",
  path: "/v1/runs/{id}",
  tags,
  summary: "One run",
  request: {
    params: z.object({ id }),
    query: z.strictObject({ wait_ms: whole(0, WAIT_MS_MAX).optional() }),
  },
  responses: { 200: json(runView, "The run as it stands; with its result when it has completed.") },
} as const;

const cancelRoute = {
  method: "post",
  path: "/v1/runs/{id}/cancel",
  tags,
  summary: "End a run; one that has ended is returned unchanged",
  request: { params: z.object({ id }) },
  responses: { 200: json(runView, "The run has ended."), 202: json(runView, "Its end is on the way.") },
} as const;

const logsRoute = {
  method: "get",
  path: "/v1/runs/{id}/logs",
  tags,
  summary: "The log of a run",
  request: {
    params: z.object({ id }),
    query: z.strictObject({
      after: whole(0, Number.MAX_SAFE_INTEGER).optional(),
      follow: z.enum(["0", "1", "false", "true"]).optional(),
    }),
    headers: z.object({ "last-event-id": whole(0, Number.MAX_SAFE_INTEGER).optional() }),
  },
  responses: {
    200: {
      description:
        "One line after another; with `follow`, until the run has ended. As events, `id` is the line's `seq`.",
      content: { "application/x-ndjson": { schema: logLine }, "text/event-stream": { schema: z.string() } },
    },
  },
} as const;

const callsRoute = {
  method: "get",
  path: "/v1/runs/{id}/egress",
  tags,
  summary: "What a run called, in sum and call by call",
  request: { params: z.object({ id }), query: z.strictObject({ cursor: z.string().max(64).optional() }) },
  responses: { 200: json(runCalls, "The sums, and one page of the calls; `next` is the cursor of the next.") },
} as const;

/** The HTTP surface of runs, for `app.route("/", …)`. */
export function runRoutes({ runs, identity }: { runs: Runs; identity: Pick<Identity, "demand"> }) {
  const app = new OpenAPIHono<RouteEnv>();
  const guarded = <R extends Parameters<typeof createRoute>[0]>(route: R, scope: Scope) =>
    createRoute({ ...route, middleware: demanding(identity, scope) });

  app.openapi(guarded(submitRoute, "run:submit"), async (c) => {
    const key = c.req.valid("header")["idempotency-key"];
    const ask = c.req.valid("json") as RunRequest; // JSON has no undefined members
    const task = c.get("task");
    const options = { ...(key === undefined ? {} : { key }), ...(task === undefined ? {} : { task }) };
    const view = await runs.submit(c.get("who"), ask, options);
    if (view.state === "ended") return c.json(view, 200);
    return c.json(view, 202, { location: `/v1/runs/${view.id}` });
  });
  app.openapi(guarded(listRoute, "run:read"), async (c) => {
    return c.json(await runs.list(c.get("who"), c.req.valid("query") as RunQuery), 200);
  });
  app.openapi(guarded(getRoute, "run:read"), async (c) => {
    const { wait_ms } = c.req.valid("query");
    return c.json<RunView, 200>(await runs.get(c.get("who"), c.req.valid("param").id, wait_ms ?? 0), 200);
  });
  app.openapi(guarded(cancelRoute, "run:cancel"), async (c) => {
    const view = await runs.cancel(c.get("who"), c.req.valid("param").id);
    return c.json(view, view.state === "ended" ? 200 : 202);
  });
  app.openapi(guarded(callsRoute, "run:read"), async (c) => {
    return c.json(await runs.calls(c.get("who"), c.req.valid("param").id, c.req.valid("query").cursor), 200);
  });
  app.openapi(guarded(logsRoute, "run:read"), async (c) => {
    const { after = 0, follow } = c.req.valid("query");
    const from = c.req.valid("header")["last-event-id"] ?? after;
    const { signal } = c.req.raw;
    const following = follow === "1" || follow === "true";
    const lines = await runs.logs(c.get("who"), c.req.valid("param").id, from, following, signal);
    const events = c.req.header("accept")?.includes("text/event-stream") ?? false;
    return c.body(streamOf(lines, events ? eventOf : ndjsonOf, events ? END_EVENT : ""), 200, {
      "content-type": events ? "text/event-stream" : "application/x-ndjson",
      "cache-control": "no-store",
      "x-accel-buffering": "no", // asks nginx not to hold lines back
    });
  });
  return app;
}

/** Lets a request pass whose caller has the scope. */
export function demanding(identity: Pick<Identity, "demand">, scope: Scope): MiddlewareHandler<RouteEnv> {
  return async (c, next) => {
    identity.demand(c.get("who"), scope);
    await next();
  };
}

const eventOf = (line: LogLine) => `id: ${line.seq}\ndata: ${ndjsonOf(line)}\n`;
/** Tells an EventSource, which would reconnect for ever, that nothing will come. */
const END_EVENT = "event: end\ndata: {}\n\n";

/** Pulled by the reader: a slow one holds no lines here. */
function streamOf(lines: AsyncIterable<LogLine>, text: (line: LogLine) => string, end: string): ReadableStream {
  const encoder = new TextEncoder();
  const iterator = lines[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (!done) return controller.enqueue(encoder.encode(text(value)));
      if (end !== "") controller.enqueue(encoder.encode(end));
      controller.close();
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
