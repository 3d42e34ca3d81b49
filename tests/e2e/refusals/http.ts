import { makeToken } from "../../../server/src/identity/token.ts";
import { systemRandom } from "../../../server/src/kernel/random.ts";
import type { Strangers } from "../../fixtures/strangers.ts";
import { type Refusal, raw, run } from "./refusal.ts";

/** What is wrong with a request around its body. The key `once` belongs to a run that answered 1. */
export const http: Refusal[] = [
  { what: "a body that says it is text", send: raw("{}", "text/plain"), status: 415, code: "REQUEST_CONTENT_TYPE" },
  {
    what: "a body in another character set",
    send: raw("{}", "application/json; charset=latin1"),
    status: 415,
    code: "REQUEST_CONTENT_TYPE",
  },
  { what: "a form", send: { body: new FormData(), method: "POST" }, status: 415, code: "REQUEST_CONTENT_TYPE" },
  { what: "no body at all", send: { method: "POST" }, status: 400, code: "REQUEST_INVALID", at: { at: "/code" } },
  {
    what: "a wrong method",
    send: { method: "DELETE" },
    status: 405,
    code: "REQUEST_METHOD",
    says: /DELETE.*(GET, POST|POST, GET)/,
  },
  {
    what: "an unknown path",
    path: "/v1/rnus",
    send: {},
    status: 404,
    code: "REQUEST_UNKNOWN_PATH",
    says: /\/v1\/rnus/,
  },
  { what: "an unknown path outside the API", path: "/admin", send: {}, status: 404, code: "REQUEST_UNKNOWN_PATH" },
  {
    what: "an unknown parameter",
    path: "/v1/runs?limits=1",
    send: {},
    status: 400,
    code: "REQUEST_INVALID",
    at: { at: "limits" },
    says: /did you mean "limit"/,
  },
  ...["0", "201", "1.5", "NaN", "-1", "1e2"].map(
    (limit): Refusal => ({
      what: `a page of ${limit}`,
      path: `/v1/runs?limit=${limit}`,
      send: {},
      status: 400,
      code: "REQUEST_INVALID",
      at: { at: "limit" },
    }),
  ),
  { what: "an unknown state", path: "/v1/runs?state=done", send: {}, status: 400, code: "REQUEST_INVALID" },
  {
    what: "an empty idempotency key",
    send: { ...run({}), headers: { "idempotency-key": "" } },
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    what: "an idempotency key of 256 characters",
    send: { ...run({}), headers: { "idempotency-key": "k".repeat(256) } },
    status: 400,
    code: "REQUEST_INVALID",
    at: { at: "idempotency-key" },
  },
  {
    what: "a known idempotency key with another request",
    send: { json: { code: { source: "export default () => 2" } }, headers: { "idempotency-key": "once" } },
    status: 409,
    code: "IDEMPOTENCY_MISMATCH",
  },
];

/** Who asks. @param at  known only when the server runs. */
export const who = (at: () => { token: string; strangers: Strangers }): Refusal[] => [
  { what: "no token", send: { ...run({}), token: null }, status: 401, code: "AUTH_REQUIRED" },
  {
    what: "another scheme",
    send: { ...run({}), token: null, headers: { authorization: "Basic YTpi" } },
    status: 401,
    code: "AUTH_REQUIRED",
  },
  { what: "a token of another shape", send: { ...run({}), token: "secret" }, status: 401, code: "TOKEN_MALFORMED" },
  {
    what: "a mistyped token",
    send: () => ({ ...run({}), token: mistyped(at().token) }),
    status: 401,
    code: "TOKEN_MALFORMED",
  },
  {
    what: "a well-formed token that nobody has",
    send: () => ({ ...run({}), token: makeToken("hum", systemRandom()) }),
    status: 401,
    code: "TOKEN_UNKNOWN",
  },
  {
    what: "a token that has run out",
    path: "/v1/runs",
    send: () => ({ token: at().strangers.expired }),
    status: 401,
    code: "TOKEN_EXPIRED",
  },
  {
    what: "a revoked token",
    path: "/v1/runs",
    send: () => ({ token: at().strangers.revoked }),
    status: 401,
    code: "TOKEN_REVOKED",
  },
  {
    what: "a token without the scope",
    send: () => ({ ...run({}), token: at().strangers.read_only }),
    status: 403,
    code: "SCOPE_MISSING",
    says: /run:submit/,
  },
];

function mistyped(token: string): string {
  const last = token.at(-1) === "x" ? "y" : "x";
  return token.slice(0, -1) + last;
}
