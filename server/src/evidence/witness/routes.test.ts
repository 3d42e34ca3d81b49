import { OpenAPIHono } from "@hono/zod-openapi";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import type { Principal, RouteEnv } from "../../identity/contract.ts";
import { isGantryError, problemOf } from "../../kernel/errors.ts";
import { witnessRoutes } from "./routes.ts";
import type { WitnessView } from "./witnesses.ts";

const PATH = "/v1/evidence/witnesses";
const items: WitnessView[] = [{ sink: "file:/w", size: 3, lag_ms: 0, ok_at: 1, error: null }];

let ground: Ground;
let who: Principal;
let app: OpenAPIHono<RouteEnv>;

beforeAll(async () => {
  ground = await openGround();
  app = new OpenAPIHono<RouteEnv>();
  app.use(async (c, next) => {
    c.set("who", who);
    await next();
  });
  app.onError((error, c) => {
    if (isGantryError(error)) return c.json(problemOf(error), error.kind.status as 400);
    throw error;
  });
  app.route("/", witnessRoutes<Principal>({ witnesses: { list: async () => items }, identity: ground.identity }));
});
afterAll(() => ground.remove());

it("the operator sees all witnesses", async () => {
  who = ground.owner;
  const answer = await app.request(PATH);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ items });
});

it("seeing them needs ops:read, which the owner of a further tenant does not have", async () => {
  const token = await ground.identity.mintToken(ground.owner, { scopes: ["evidence:read"] });
  const other = await ground.identity.createTenant(ground.owner, "other");
  for (const secret of [token.secret, other.token.secret]) {
    who = await ground.identity.authenticate(secret);
    const answer = await app.request(PATH);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ code: "SCOPE_MISSING" });
  }
});

it("the route describes itself", () => {
  const { paths } = app.getOpenAPIDocument({ openapi: "3.0.0", info: { title: "t", version: "1" } });
  expect(Object.keys(paths)).toEqual([PATH]);
});
