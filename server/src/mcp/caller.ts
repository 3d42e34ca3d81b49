import { Gantry } from "@gantry/sdk";
import type { Context } from "hono";
import type { ApiPort } from "./contract.ts";

/** Who calls, and what they may ask: exactly what their token may. */
export interface Caller {
  /** Asks this server's API as the caller. */
  gantry: Gantry;
  scopes: readonly string[];
  /** Where the client reached this server, without a path. */
  origin: string;
  /** This server's own description of its API. */
  describe(): Promise<unknown>;
}

/** A way to ask this very server, with the caller's token and nothing else. */
export function apiOf(
  api: ApiPort,
  c: Context,
  token: string | undefined,
): { gantry: Gantry; describe(): Promise<unknown> } {
  const { origin } = new URL(c.req.url);
  const fetch = api(c.env);
  return {
    gantry: new Gantry({ url: origin, token, fetch }),
    describe: async () => (await fetch(`${origin}/v1/openapi.json`)).json(),
  };
}
