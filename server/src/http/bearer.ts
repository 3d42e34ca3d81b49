import type { Context } from "hono";

/** The token of an `Authorization: Bearer` header (RFC 6750, 2.1); undefined without one. */
export function bearerOf(c: Context): string | undefined {
  return tokenIn(c.req.header("authorization") ?? "");
}

/** The token in the value of an `Authorization` header. */
export function tokenIn(header: string): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(header)?.[1];
}
