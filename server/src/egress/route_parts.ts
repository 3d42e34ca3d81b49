import { createRoute, OpenAPIHono, type z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { Identity, RouteEnv, Scope } from "../identity/contract.ts";

/** Who may ask; every route of this room names the scope that it takes. */
export type Demand = Pick<Identity, "demand">;

/** What an answer of JSON looks like in a route. */
export const json = (schema: z.ZodType, description: string) => ({
  description,
  content: { "application/json": { schema } },
});

export const body = <T extends z.ZodType>(schema: T) => ({
  required: true,
  content: { "application/json": { schema } },
});

/** An app of its own for the routes of one noun. */
export function newRoutes(): OpenAPIHono<RouteEnv> {
  return new OpenAPIHono<RouteEnv>();
}

/** Puts the demand for a scope before a route. */
export function guardedBy(identity: Demand) {
  const demanding = (scope: Scope): MiddlewareHandler<RouteEnv> => {
    return (c, next) => {
      identity.demand(c.get("who"), scope);
      return next();
    };
  };
  return <R extends Parameters<typeof createRoute>[0]>(route: R, scope: Scope) =>
    createRoute({ ...route, middleware: demanding(scope) });
}
