import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { Identity, RouteEnv, Scope } from "../identity/contract.ts";
import { isId } from "../kernel/ids.ts";
import { DELIVERIES_PAGE_DEFAULT, DELIVERIES_PAGE_MAX, WEBHOOK_EVENTS } from "./contract.ts";
import type { WebhookList } from "./webhook_list.ts";

export interface WebhookRouteDeps {
  webhooks: WebhookList;
  identity: Pick<Identity, "demand">;
}

/** More characters than any id has. */
const ID_CHARS_MAX = 64;
/** So many words are read of a list of events; what they must be is said by the room. */
const EVENTS_READ_MAX = 32;
/** Bounded before it is parsed; what is right is said by the room, without repeating it. */
const URL_READ_MAX = 8_192;

const id = z
  .string()
  .max(ID_CHARS_MAX)
  .openapi({ param: { name: "id", in: "path" }, example: "whk_01j9zq3v6we8k9m4t2x7c5d0ab" });
const params = z.object({ id });
const count = z.int().min(0);
const instant = z.int().openapi({ description: "Milliseconds UTC." });

export const webhook = z
  .strictObject({
    id: z.string(),
    url: z.string().openapi({ description: "Scheme, host and port; `/…` stands for a path, which is not shown." }),
    events: z.array(z.enum(WEBHOOK_EVENTS)),
    created_by: z.string(),
    created_at: instant,
    waiting: count.openapi({ description: "Notices that wait to be sent, or sent again." }),
    dead: count.openapi({ description: "Notices that were given up." }),
  })
  .openapi("Webhook");

export const created = webhook
  .extend({ secret: z.string().openapi({ description: "`whsec_…`: shown once, and signs each notice." }) })
  .openapi("CreatedWebhook");

export const delivery = z
  .strictObject({
    id: z.string().openapi({ description: "The header `webhook-id` of every attempt." }),
    event: z.enum([...WEBHOOK_EVENTS, "webhook.test"]),
    state: z.enum(["waiting", "delivered", "dead"]),
    attempts: count,
    status: z.int().nullable().openapi({ description: "Of the last answer." }),
    error: z.string().nullable().openapi({ description: "What was wrong with the last attempt." }),
    created_at: instant,
    due_at: instant.nullable().openapi({ description: "When it is sent, or sent again." }),
    settled_at: instant.nullable(),
  })
  .openapi("Delivery");

const json = (schema: z.ZodType, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
const tags = ["webhooks"];
const path = "/v1/webhooks";

const listRoute = {
  method: "get",
  path,
  tags,
  summary: "The tenant's webhooks",
  responses: { 200: json(z.strictObject({ items: z.array(webhook) }), "All of them, oldest first.") },
} as const;

const createWebhookRoute = {
  method: "post",
  path,
  tags,
  summary: "Have a URL told what happens to approvals",
  request: {
    body: {
      required: true,
      content: {
        "application/json": {
          schema: z.strictObject({
            url: z.string().max(URL_READ_MAX),
            events: z
              .array(z.string().max(ID_CHARS_MAX))
              .max(EVENTS_READ_MAX)
              .optional()
              .openapi({ description: `Default all: ${WEBHOOK_EVENTS.join(", ")}.` }),
          }),
        },
      },
    },
  },
  responses: { 201: json(created, "The webhook, and its secret, which is never shown again.") },
} as const;

const removeRoute = {
  method: "delete",
  path: `${path}/{id}`,
  tags,
  summary: "Remove a webhook, with what it was to be told",
  request: { params },
  responses: { 204: { description: "It is told nothing more." } },
} as const;

const testRoute = {
  method: "post",
  path: `${path}/{id}/test`,
  tags,
  summary: "Send a webhook one notice",
  request: { params },
  responses: { 202: json(delivery, "The notice is on its way; what became of it stands among the deliveries.") },
} as const;

const deliveriesRoute = {
  method: "get",
  path: `${path}/{id}/deliveries`,
  tags,
  summary: "What became of the notices to a webhook",
  request: {
    params,
    query: z.strictObject({
      cursor: z
        .string()
        .refine((value) => isId("msg", value), "is the `next` of the page before")
        .optional(),
      limit: z
        .string()
        .regex(/^[1-9]\d{0,2}$/, "must be a whole number")
        .transform(Number)
        .refine((value) => value <= DELIVERIES_PAGE_MAX, `must be from 1 to ${DELIVERIES_PAGE_MAX}`)
        .optional()
        .openapi({ type: "integer", minimum: 1, maximum: DELIVERIES_PAGE_MAX, default: DELIVERIES_PAGE_DEFAULT }),
    }),
  },
  responses: {
    200: json(z.strictObject({ items: z.array(delivery), next: z.string().optional() }), "One page, newest first."),
  },
} as const;

/** Seen with `gate:read`, changed with `webhook:manage`. */
export function webhookRoutes({ webhooks, identity }: WebhookRouteDeps): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  const demanding = (scope: Scope): MiddlewareHandler<RouteEnv> => {
    return (c, next) => {
      identity.demand(c.get("who"), scope);
      return next();
    };
  };
  const guarded = <R extends Parameters<typeof createRoute>[0]>(route: R, scope: Scope) =>
    createRoute({ ...route, middleware: demanding(scope) });

  app.openapi(guarded(listRoute, "gate:read"), async (c) => {
    return c.json({ items: await webhooks.list(c.get("who")) }, 200);
  });
  app.openapi(guarded(createWebhookRoute, "webhook:manage"), async (c) => {
    const { url, events } = c.req.valid("json");
    return c.json(await webhooks.create(c.get("who"), { url, ...(events === undefined ? {} : { events }) }), 201);
  });
  app.openapi(guarded(removeRoute, "webhook:manage"), async (c) => {
    await webhooks.remove(c.get("who"), c.req.valid("param").id);
    return c.body(null, 204);
  });
  app.openapi(guarded(testRoute, "webhook:manage"), async (c) => {
    return c.json(await webhooks.test(c.get("who"), c.req.valid("param").id), 202);
  });
  app.openapi(guarded(deliveriesRoute, "gate:read"), async (c) => {
    const { cursor, limit } = c.req.valid("query");
    const query = { ...(cursor === undefined ? {} : { cursor }), ...(limit === undefined ? {} : { limit }) };
    return c.json(await webhooks.deliveries(c.get("who"), c.req.valid("param").id, query), 200);
  });
  return app;
}
