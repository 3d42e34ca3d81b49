import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { RouteEnv } from "../identity/contract.ts";
import { NEXT_STEPS } from "../kernel/errors.ts";
import { OPEN_PATHS, TOKEN_PATHS } from "./contract.ts";

type App = OpenAPIHono<RouteEnv>;
type Document = ReturnType<App["getOpenAPI31Document"]>;

const PATH = "/v1/openapi.json";
/** What the rooms serve: any of it may be refused. */
const ROOMS = /^\/(v1|log)\//;

const count = z.number().int();
/** `application/problem+json` (RFC 9457) with the members that every refusal of ours may have. */
const problem = z
  .strictObject({
    type: z.string().openapi({ example: "urn:gantry:error:REQUEST_INVALID" }),
    status: count,
    code: z.string(),
    title: z.string(),
    detail: z.string(),
    request: z.string().optional(),
    run: z.string().optional(),
    snapshot: z.string().optional(),
    reasons: z.array(z.strictObject({ code: z.string(), detail: z.string() })).optional(),
    problems: z
      .array(z.strictObject({ at: z.string(), line: count.optional(), column: count.optional(), text: z.string() }))
      .optional(),
    next_steps: z
      .array(
        z.strictObject({
          kind: z.enum(NEXT_STEPS),
          text: z.string(),
          command: z.string().optional(),
          rule: z.record(z.string(), z.unknown()).optional(),
          needs: z.literal("contract-change").optional(),
        }),
      )
      .optional(),
    retry_after_ms: count.optional(),
  })
  .openapi("Problem");

/** Serves the description of every route, made from the schemas that judge the requests. Needs no token. */
export function openapiRoute(app: App, version: string): void {
  let document: Document | undefined;
  app.openAPIRegistry.register("Problem", problem);
  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    description: "A Gantry token, `gtr_…`.",
  });
  app.get(PATH, (c) => {
    document ??= describe(app, version);
    return c.json(document);
  });
}

function describe(app: App, version: string): Document {
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Gantry", version, description: "Runs agent-written code: jailed, bounded, decided and recorded." },
  });
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    const operations = [item.get, item.put, item.post, item.delete, item.patch];
    for (const operation of operations) {
      if (operation === undefined || !ROOMS.test(path)) continue;
      const needs_token = TOKEN_PATHS.some((each) => path.startsWith(each)) && !OPEN_PATHS.includes(path);
      if (needs_token) operation.security = [{ token: [] }];
      operation.responses = {
        ...operation.responses,
        default: {
          description: "A refusal; `code` says which.",
          content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
        },
      };
    }
  }
  return document;
}

export interface Operation {
  /** Upper case. */
  method: string;
  pattern: RegExp;
}

/** Every documented operation, to tell an unknown path from a wrong method. */
export function operationsOf(app: App): Operation[] {
  const routes = app.openAPIRegistry.definitions.flatMap((each) => (each.type === "route" ? [each.route] : []));
  const operations = routes.map(({ method, path }) => ({
    method: method.toUpperCase(),
    pattern: new RegExp(`^${path.replaceAll(/[.*+?^$()|[\]\\]/g, "\\$&").replaceAll(/\{[^}]+\}/g, "[^/]+")}$`),
  }));
  return [...operations, { method: "GET", pattern: /^\/v1\/openapi\.json$/ }];
}

/** The schema that judged a part of this request, if it is one of ours. */
export function schemaOf(app: App, c: Context<RouteEnv>, target: string): z.core.$ZodType | undefined {
  const routed = c.req.routePath.replaceAll(/:([^/]+)/g, "{$1}");
  const method = c.req.method.toLowerCase();
  for (const each of app.openAPIRegistry.definitions) {
    if (each.type !== "route" || each.route.path !== routed || each.route.method !== method) continue;
    const { request } = each.route;
    const media = request?.body?.content["application/json"];
    const body = media !== undefined && "schema" in media ? media.schema : undefined;
    const schema = target === "json" ? body : request?.query;
    if (schema !== undefined && "_zod" in schema) return schema as z.core.$ZodType;
  }
  return undefined;
}
