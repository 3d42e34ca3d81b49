import { isApiError, type Me } from "@gantry/sdk";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { type Context, Hono } from "hono";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { aboutText, resourceMetadata } from "./about.ts";
import { apiOf, type Caller } from "./caller.ts";
import {
  type ApiPort,
  MCP_ABOUT_PATH,
  MCP_BODY_BYTES_MAX,
  MCP_INPUT_ELEMENTS_MAX,
  MCP_METADATA_PATH,
  MCP_PATH,
  MCP_SCOPES,
  mcp_errors,
} from "./contract.ts";
import { messageOf } from "./message.ts";
import { isOwnOrigin } from "./origin.ts";
import { INSTRUCTIONS, TOOLS } from "./tools.ts";
import { Waits } from "./waits.ts";

export interface McpParts {
  api: ApiPort;
  version: string;
  clock: Clock;
  log: Logger;
}

/**
 * The MCP endpoint, without state between two requests: any node answers any of them. A request meets, in this order:
 * where it comes from, its token, its body's size and shape, the protocol. Its tools ask the API as their caller.
 */
export function mcpRoutes({ api, version, clock, log }: McpParts): Hono {
  const app = new Hono();
  const waits = new Waits();
  // What a request has, by the only thing that the SDK hands through from it to the tools.
  const callers = new WeakMap<object, Caller>();
  const handler = createMcpHandler(
    ({ authInfo }) => {
      const caller = authInfo === undefined ? undefined : callers.get(authInfo);
      assert(caller !== undefined, "a request that reaches the protocol has a caller");
      return serverFor(caller, { version, clock, log, waits });
    },
    {
      maxRequestBodySize: MCP_BODY_BYTES_MAX,
      onerror: ({ message }) => log.debug({ message }, "an MCP request was not served"),
    },
  );
  app.get(MCP_METADATA_PATH, (c) => c.json(resourceMetadata(originOf(c), MCP_ABOUT_PATH)));
  app.get(MCP_ABOUT_PATH, (c) => c.text(aboutText(originOf(c))));
  app.all(MCP_PATH, async (c) => {
    const origin = originOf(c);
    demandOrigin(c.req.header("origin"), origin);
    const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(c.req.header("authorization") ?? "")?.[1];
    const { gantry, describe } = apiOf(api, c, token);
    const me = await gantry.session.me().catch((error: unknown) => challenge(error, token, origin));
    if (me instanceof Response) return me;
    if (c.req.method !== "POST") return c.body(null, 405, { allow: "POST" });
    const parsedBody = await messageOf(c.req.raw);
    const authInfo = { token: token ?? "", clientId: me.actor.id, scopes: me.scopes };
    callers.set(authInfo, { gantry, describe, origin, scopes: me.scopes });
    return handler.fetch(c.req.raw, { authInfo, parsedBody });
  });
  return app;
}

function serverFor(caller: Caller, deps: Omit<McpParts, "api"> & { waits: Waits }): McpServer {
  const server = new McpServer(
    { name: "gantry", title: "Gantry", version: deps.version },
    {
      instructions: INSTRUCTIONS,
      // Stated as it is: the list never changes while a server runs. So a stream of `subscriptions/listen`, which could
      // tell nothing, is ended by the SDK at once.
      capabilities: { tools: { listChanged: false } },
      maxToolInputElements: MCP_INPUT_ELEMENTS_MAX,
    },
  );
  for (const tool of TOOLS) tool.offer(server, { ...deps, caller });
  return server;
}

function originOf(c: Context): string {
  return new URL(c.req.url).origin;
}

/** @throws MCP_ORIGIN */
function demandOrigin(said: string | undefined, own: string): void {
  if (isOwnOrigin(said, own)) return;
  throw new GantryError(mcp_errors.ORIGIN, {
    detail: `The origin ${JSON.stringify(said?.slice(0, 200))} is not this server's own address. Programs send no Origin.`,
  });
}

/**
 * Whoever is not known is told how to become so (RFC 6750, 3; RFC 9728, 5.1); what else the API refuses, as it refuses it.
 * @throws what is no refusal.
 */
function challenge(error: unknown, token: string | undefined, origin: string): Response | Me {
  if (!isApiError(error)) throw error;
  const { problem } = error;
  const headers = new Headers({ "content-type": "application/problem+json" });
  if (problem.retry_after_ms !== undefined)
    headers.set("retry-after", String(Math.ceil(problem.retry_after_ms / 1_000)));
  if (problem.status === 401) {
    const parts = [`resource_metadata="${origin}${MCP_METADATA_PATH}"`, `scope="${MCP_SCOPES.join(" ")}"`];
    if (token !== undefined) parts.unshift('error="invalid_token"');
    headers.set("www-authenticate", `Bearer ${parts.join(", ")}`);
  }
  return new Response(JSON.stringify(problem), { status: problem.status, headers });
}
