import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { TokenId } from "../kernel/ids.ts";
import type { RouteEnv } from "./contract.ts";
import type { Directory } from "./directory.ts";
import type { IdentityRegistry, TokenRequest } from "./identity.ts";
import {
  body,
  created_no_store,
  idParam,
  idText,
  json,
  listOf,
  meView,
  mintedToken,
  pageAsked,
  pageOf,
  pageQuery,
  scopeList,
  tokenRequest,
  tokenSchema,
} from "./route_schemas.ts";

export interface IdentityRouteDeps {
  identity: IdentityRegistry;
  directory: Directory;
  /** Whose failed logins are counted together; undefined: nobody's are. */
  addressOf(c: Context): string | undefined;
}

const tags = ["identity"];

const loginRoute = createRoute({
  method: "post",
  path: "/v1/login",
  tags,
  summary: "Use a login link; the one route under /v1/ that needs no token",
  security: [],
  request: { body: body(z.strictObject({ link: z.string().max(256) })) },
  responses: {
    200: json(
      z.strictObject({
        token: mintedToken,
        tenant: z.string(),
        actor: z.string(),
        scopes: scopeList,
      }),
      "A human's own token, for 12 hours. The link is spent.",
    ),
    410: { description: "The link was used, has expired or was never made." },
    429: { description: "Too many failed logins from this address." },
  },
});

const meRoute = createRoute({
  method: "get",
  path: "/v1/me",
  tags,
  summary: "Who the token says that you are",
  responses: { 200: json(meView, "Tenant, actor, chain and scopes.") },
});

const listTokensRoute = createRoute({
  method: "get",
  path: "/v1/tokens",
  tags,
  summary: "Tokens without their secrets: one's own, or with `actor:manage` all of the tenant",
  request: { query: z.strictObject({ ...pageQuery, actor: idText.optional() }) },
  responses: { 200: json(listOf(tokenSchema), "One page, oldest first, ended ones too.") },
});

const mintRoute = createRoute({
  method: "post",
  path: "/v1/tokens",
  tags,
  summary: "Mint a token with scopes that the caller holds; `token:mint`",
  request: { body: body(tokenRequest) },
  responses: { 201: json(mintedToken, "The token, shown once.") },
});

const revokeRoute = createRoute({
  method: "delete",
  path: "/v1/tokens/{id}",
  tags,
  summary: "Revoke a token and all that were minted below it",
  request: { params: idParam },
  responses: { 200: json(z.strictObject({ revoked: z.number().int() }), "How many ended now.") },
});

/** Logins, oneself and tokens over HTTP. */
export function identityRoutes({ identity, directory, addressOf }: IdentityRouteDeps): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  app.openapi(loginRoute, async (c) => {
    const { who, token } = await identity.login(c.req.valid("json").link, addressOf(c));
    return c.json({ token, tenant: who.tenant, actor: who.actor, scopes: [...who.scopes] }, 200, created_no_store);
  });
  app.openapi(meRoute, async (c) => c.json(await directory.me(c.get("who")), 200));
  app.openapi(listTokensRoute, async (c) => {
    const query = c.req.valid("query");
    const { shown, ...page } = pageAsked(query);
    const items = await directory.tokens(c.get("who"), { ...page, actor: query.actor });
    return c.json(
      pageOf(items, shown, ({ id }) => id),
      200,
    );
  });
  app.openapi(mintRoute, async (c) => {
    const asked = c.req.valid("json") as TokenRequest; // JSON has no undefined members
    return c.json(await identity.mintToken(c.get("who"), asked), 201, created_no_store);
  });
  app.openapi(revokeRoute, async (c) => {
    const revoked = await identity.revokeToken(c.get("who"), c.req.valid("param").id as TokenId);
    return c.json({ revoked }, 200);
  });
  return app;
}
