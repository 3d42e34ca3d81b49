import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { matchedRoutes } from "hono/route";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Identity, RouteEnv } from "../identity/contract.ts";
import { RUN_BODY_BYTES_MAX } from "../intent/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Ids } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import { MCP_BODY_BYTES_MAX, MCP_PATH } from "../mcp/contract.ts";
import { account } from "./accounting.ts";
import { addressOf } from "./address.ts";
import { bearerOf } from "./bearer.ts";
import { bodyHeaders, bodyOfKnownLength, bodyOfUnknownLength } from "./body.ts";
import {
  BODY_BYTES_MAX,
  errors,
  LOGIN_BODY_BYTES_MAX,
  OPEN_PATHS,
  REQUEST_ID_HEADER,
  TASK_BODY_BYTES_MAX,
  TOKEN_PATHS,
} from "./contract.ts";
import { type HealthChecks, healthRoutes } from "./health.ts";
import { inProcess } from "./in_process.ts";
import { jsonFault } from "./json_fault.ts";
import { metricsRoutes, type Prometheus } from "./metrics.ts";
import { openapiRoute, operationsOf, schemaOf } from "./openapi.ts";
import { invalidRequest } from "./problems.ts";
import { asRefused, refusalOf } from "./refusals.ts";
import { mayBringTask, taskAuthentication } from "./task.ts";
import { tokenPatternRoute } from "./token_patterns.ts";

export interface AppDeps {
  identity: Pick<Identity, "authenticate" | "authenticateTask" | "demand">;
  /** What the rooms offer; paths are whole. Every path under `TOKEN_PATHS` but `OPEN_PATHS` needs a token. */
  routes: OpenAPIHono<RouteEnv>[];
  /** What is no API but a client of this one, as pages for people are: made with a way to ask it. Paths are whole. */
  clients?: (api: ReturnType<typeof inProcess>) => Hono[];
  /** Why the server is not ready, by name. */
  checks: HealthChecks;
  prometheus: Pick<Prometheus, "render">;
  metrics: Metrics;
  clock: Clock;
  ids: Ids;
  log: Logger;
  /** As OpenAPI's `info.version`. */
  version: string;
}

/** Paths whose bodies have a limit of their own. */
const BODY_LIMITS: Record<string, number> = {
  "/v1/runs": RUN_BODY_BYTES_MAX,
  "/v1/login": LOGIN_BODY_BYTES_MAX,
  [MCP_PATH]: MCP_BODY_BYTES_MAX,
};
const bodyMax = (c: Context<RouteEnv>) =>
  mayBringTask(c) ? TASK_BODY_BYTES_MAX : (BODY_LIMITS[c.req.path] ?? BODY_BYTES_MAX);

/**
 * The whole HTTP surface. A request meets, in this order: its id, the size and type of its body, its token or signed
 * task, the route's scope, the route's schema. Every refusal is `application/problem+json`.
 */
export function createApp(d: AppDeps): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>({
    defaultHook: (result, c) => {
      if (result.success) return;
      throw invalidRequest(result.error.issues, result.target, schemaOf(app, c, result.target));
    },
  });
  app.use(accounting(d));
  app.use(bodyHeaders(bodyMax));
  app.route("/", healthRoutes(d.checks, d.clock));
  app.route("/", tokenPatternRoute());
  app.route("/", metricsRoutes(d.prometheus, d.identity));
  openapiRoute(app, d.version);
  for (const path of TOKEN_PATHS) {
    app.use(`${path}*`, authentication(d.identity), bodyOfUnknownLength(bodyMax), bodyOfKnownLength());
  }
  app.use("/v1/runs", taskAuthentication(d.identity));
  for (const routes of d.routes) app.route("/", routes);
  for (const client of d.clients?.(inProcess(app.fetch)) ?? []) app.route("/", client);
  app.onError(async (error, c) => answerError(d.log, await asGantryError(error, c), c));
  app.notFound((c) => answerUnknown(app, d.log, c));
  return app;
}

/** Gives the request its id, and counts it by route and status when it is answered. */
function accounting(d: AppDeps): MiddlewareHandler<RouteEnv> {
  return async (c, next) => {
    const request = d.ids("req");
    const from = d.clock.monotonic();
    c.set("request", request);
    c.header(REQUEST_ID_HEADER, request);
    await next();
    const path = matchedRoutes(c).at(-1)?.path ?? "*";
    const route = path.endsWith("*") ? "unmatched" : path;
    account(d, { request, method: c.req.method, route, status: c.res.status, from });
  };
}

function authentication(identity: AppDeps["identity"]): MiddlewareHandler<RouteEnv> {
  return async (c, next) => {
    if (!OPEN_PATHS.includes(c.req.path) && !mayBringTask(c)) {
      c.set("who", await identity.authenticate(bearerOf(c), addressOf(c)));
    }
    await next();
  };
}

async function asGantryError(error: unknown, c: Context<RouteEnv>): Promise<GantryError> {
  if (error instanceof HTTPException && error.status === 400) {
    // A body that broke off cannot be read again, and nobody is there to read the answer.
    const fault = jsonFault(await c.req.text().catch(() => ""));
    const detail = `The body ${fault.text}, in line ${fault.line}, column ${fault.column}.`;
    return new GantryError(errors.JSON, { detail, problems: [{ at: "", ...fault }] });
  }
  if (error instanceof HTTPException && error.status === 415) {
    return new GantryError(errors.CONTENT_TYPE, { detail: "Send application/json." });
  }
  return asRefused(error);
}

function answerError(log: Logger, error: GantryError, c: Context<RouteEnv>): Response {
  const { status, headers, text } = refusalOf(log, error, c.get("request"));
  return c.body(text, status as ContentfulStatusCode, headers);
}

/** No such path, or a path that exists under other methods, which `Allow` then names (RFC 9110, 15.5.6). */
function answerUnknown(app: OpenAPIHono<RouteEnv>, log: Logger, c: Context<RouteEnv>): Response {
  const { path, method } = c.req;
  const known = operationsOf(app).filter(({ pattern }) => pattern.test(path));
  const shown = JSON.stringify(path.slice(0, 200));
  if (known.length === 0) {
    const detail = `There is nothing at ${shown}; /v1/openapi.json lists what is.`;
    return answerError(log, new GantryError(errors.UNKNOWN_PATH, { detail }), c);
  }
  const allow = [...new Set(known.map((each) => each.method))].join(", ");
  const detail = `${shown} does not know ${method}; it knows ${allow}.`;
  const answer = answerError(log, new GantryError(errors.METHOD, { detail }), c);
  answer.headers.set("allow", allow);
  return answer;
}
