import type { Context, MiddlewareHandler } from "hono";
import { auth_errors, chain_errors, type Identity, type RouteEnv } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { addressOf } from "./address.ts";

/** Where a signed task stands for a token. */
const TASK_PATH = "/v1/runs";

/** Does the request bring no token, where a signed task in its body may stand for one? */
export function mayBringTask(c: Context): boolean {
  return c.req.method === "POST" && c.req.path === TASK_PATH && c.req.header("authorization") === undefined;
}

/**
 * Verifies the signed task of a run's request, when its body has been read and before anything else is made of it. A
 * token that came along must be the issuer's, and its chain is the run's: a token that is bound to more stays so.
 * @throws AUTH_REQUIRED  neither token nor task; CHAIN_INVALID  the token is somebody else's; and those of identity
 */
export function taskAuthentication(identity: Pick<Identity, "authenticateTask">): MiddlewareHandler<RouteEnv> {
  return async (c, next) => {
    if (c.req.method !== "POST" || c.req.path !== TASK_PATH) return next();
    const jws = taskOf(await c.req.text());
    const bearer = c.get("who");
    if (jws === undefined) {
      if (bearer === undefined) throw new GantryError(auth_errors.REQUIRED, { detail: NEITHER });
      return next();
    }
    const { who, task } = await identity.authenticateTask(jws, addressOf(c));
    if (bearer !== undefined && (bearer.actor !== who.actor || bearer.tenant !== who.tenant)) {
      const detail =
        "The token and the signed task are of different actors. Send the task alone, or its issuer's token.";
      throw new GantryError(chain_errors.INVALID, { detail });
    }
    if (bearer === undefined) c.set("who", who);
    c.set("task", task);
    return next();
  };
}

const NEITHER = "Send a bearer token, or a signed task as the member `task` of the body.";

/** The member `task`, if the body is JSON and has one that is a string: whatever else is wrong, the schema says later. */
function taskOf(text: string): string | undefined {
  // Parsing a large body twice is for those that may have one: written plainly, or with escapes.
  if (!text.includes('"task"') && !text.includes("\\u00")) return undefined;
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null || !("task" in body)) return undefined;
    return typeof body.task === "string" ? body.task : undefined;
  } catch {
    return undefined;
  }
}
