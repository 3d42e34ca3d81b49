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
  const { env } = c;
  const fetch: typeof globalThis.fetch = (input, init) =>
    asked(api, new Request(input, stated(init)), env, init?.signal);
  return {
    gantry: new Gantry({ url: origin, token, fetch }),
    describe: async () => (await api(new Request(`${origin}/v1/openapi.json`), env)).json(),
  };
}

/** The length of a body that crosses no wire is stated as well: by it the API's own limits judge it. */
function stated(init: RequestInit = {}): RequestInit {
  if (typeof init.body !== "string") return init;
  const headers = new Headers(init.headers);
  headers.set("content-length", String(Buffer.byteLength(init.body)));
  return { ...init, headers };
}

/** As a connection would: whoever aborts hears no more of it, whatever the answer is still waiting for. */
function asked(api: ApiPort, request: Request, env: unknown, signal?: AbortSignal | null): Promise<Response> {
  if (signal === undefined || signal === null) return api(request, env);
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    api(request, env)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", stop));
  });
}
