import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { ActorId } from "../kernel/ids.ts";
import { ACTOR_KINDS, type RouteEnv } from "./contract.ts";
import type { Directory } from "./directory.ts";
import type { ActorRequest, IdentityRegistry } from "./identity.ts";
import type { KeyRequest } from "./keys.ts";
import {
  actorRequest,
  actorSchema,
  body,
  idParam,
  idText,
  json,
  keyRequest,
  keySchema,
  listOf,
  pageAsked,
  pageOf,
  pageQuery,
} from "./route_schemas.ts";

const tags = ["identity"];

const listActorsRoute = createRoute({
  method: "get",
  path: "/v1/actors",
  tags,
  summary: "Humans, agents and services of the tenant; `actor:manage`",
  request: {
    query: z.strictObject({
      ...pageQuery,
      kind: z.enum(ACTOR_KINDS).optional(),
      state: z.enum(["active", "suspended", "gone"]).optional(),
    }),
  },
  responses: { 200: json(listOf(actorSchema), "One page, oldest first.") },
});

const createActorRoute = createRoute({
  method: "post",
  path: "/v1/actors",
  tags,
  summary: "Create an actor; `actor:manage`",
  request: { body: body(actorRequest) },
  responses: { 201: json(actorSchema, "The actor.") },
});

const getActorRoute = createRoute({
  method: "get",
  path: "/v1/actors/{id}",
  tags,
  summary: "One actor: oneself, one's own, or with `actor:manage` any",
  request: { params: idParam },
  responses: { 200: json(actorSchema, "The actor.") },
});

const patchActorRoute = createRoute({
  method: "patch",
  path: "/v1/actors/{id}",
  tags,
  summary: "Suspend or resume an actor; `actor:manage`",
  request: { params: idParam, body: body(z.strictObject({ state: z.enum(["active", "suspended"]) })) },
  responses: { 200: json(actorSchema, "The actor; while suspended, no token that has it in its chain is good.") },
});

const listKeysRoute = createRoute({
  method: "get",
  path: "/v1/actor-keys",
  tags,
  summary: "Registered public keys: one's own, or with `actor:manage` all of the tenant",
  request: { query: z.strictObject({ ...pageQuery, actor: idText.optional() }) },
  responses: { 200: json(listOf(keySchema), "One page, oldest first, revoked ones too.") },
});

const registerKeyRoute = createRoute({
  method: "post",
  path: "/v1/actor-keys",
  tags,
  summary: "Register a public key by which an actor signs tasks or code",
  request: { body: body(keyRequest) },
  responses: { 201: json(keySchema, "The key; `kid` goes into the header of what it signs.") },
});

const revokeKeyRoute = createRoute({
  method: "delete",
  path: "/v1/actor-keys/{id}",
  tags,
  summary: "Revoke a key: what it signs is refused from now on",
  request: { params: idParam },
  responses: { 200: json(z.strictObject({ kid: z.string(), state: z.literal("revoked") }), "The key is revoked.") },
});

/** Actors and their keys over HTTP. */
export function actorRoutes(deps: { identity: IdentityRegistry; directory: Directory }): OpenAPIHono<RouteEnv> {
  const { identity, directory } = deps;
  const app = new OpenAPIHono<RouteEnv>();
  app.openapi(listActorsRoute, async (c) => {
    const { kind, state, ...query } = c.req.valid("query");
    const { shown, ...page } = pageAsked(query);
    const items = await directory.actors(c.get("who"), { ...page, kind, state });
    return c.json(
      pageOf(items, shown, ({ id }) => id),
      200,
    );
  });
  app.openapi(createActorRoute, async (c) => {
    const made = await identity.createActor(c.get("who"), c.req.valid("json") as ActorRequest);
    return c.json(await directory.actor(c.get("who"), made.id), 201);
  });
  app.openapi(getActorRoute, async (c) => {
    return c.json(await directory.actor(c.get("who"), c.req.valid("param").id), 200);
  });
  app.openapi(patchActorRoute, async (c) => {
    const { id } = c.req.valid("param");
    await identity.setActorState(c.get("who"), id as ActorId, c.req.valid("json").state);
    return c.json(await directory.actor(c.get("who"), id), 200);
  });
  app.openapi(listKeysRoute, async (c) => {
    const query = c.req.valid("query");
    const { shown, ...page } = pageAsked(query);
    const items = await directory.keys(c.get("who"), { ...page, actor: query.actor });
    return c.json(
      pageOf(items, shown, ({ kid }) => kid),
      200,
    );
  });
  app.openapi(registerKeyRoute, async (c) => {
    return c.json(await identity.registerKey(c.get("who"), c.req.valid("json") as KeyRequest), 201);
  });
  app.openapi(revokeKeyRoute, async (c) => {
    const { id } = c.req.valid("param");
    await identity.revokeKey(c.get("who"), id);
    return c.json({ kid: id, state: "revoked" } as const, 200);
  });
  return app;
}
