import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { TenantId } from "../../kernel/ids.ts";
import type { ActorRef } from "../contract.ts";
import type { KeyRotation } from "./rotation.ts";

interface Caller {
  tenant: TenantId;
  /** Accountable principal first. */
  chain: ActorRef[];
}

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface KeyRouteDeps<Who extends Caller> {
  rotation: Pick<KeyRotation, "rotate">;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "evidence:rotate"): void;
  };
}

const vkey = z.string().openapi({ description: "A verifier key (C2SP signed-note)." });

const rotateRoute = {
  method: "post",
  path: "/v1/evidence/keys",
  summary: "Gives the log a new key",
  responses: {
    201: {
      description: "The new key is announced in the ledger. The checkpoint that covers the entry is signed by both.",
      content: { "application/json": { schema: z.object({ old: vkey, new: vkey, entry: z.string() }) } },
    },
    409: { description: "Another rotation is under way." },
  },
} as const;

interface KeyEnv<Who> {
  Variables: { who: Who; request: string };
}

/** The log's key over HTTP, for `evidence:rotate`. The public keys themselves are in `/log/keys`. */
export function keyRoutes<Who extends Caller>(deps: KeyRouteDeps<Who>): OpenAPIHono<KeyEnv<Who>> {
  const app = new OpenAPIHono<KeyEnv<Who>>();
  const middleware: MiddlewareHandler<KeyEnv<Who>> = (c, next) => {
    deps.identity.demand(c.get("who"), "evidence:rotate");
    return next();
  };
  app.openapi(createRoute({ ...rotateRoute, middleware }), async (c) => {
    const { tenant, chain } = c.get("who");
    const actor = chain.map(({ actor, kind }) => ({ actor, kind }));
    return c.json(await deps.rotation.rotate({ tenant, actor }), 201);
  });
  return app;
}
