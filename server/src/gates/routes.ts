import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { Identity, RouteEnv } from "../identity/contract.ts";
import { isId } from "../kernel/ids.ts";
import {
  APPROVAL_STATUSES,
  APPROVALS_PAGE_DEFAULT,
  APPROVALS_PAGE_MAX,
  type ApprovalQuery,
  type ApprovalView,
  type BreakGlassView,
  type Gates,
} from "./contract.ts";
import type { GateKey } from "./gate_key.ts";
import { approvalView, closeRequest, debtView, glassRequest, voteKey, voteRequest } from "./wire.ts";

export interface GateRouteDeps {
  gates: Gates & { readonly key: Pick<GateKey, "kid" | "public_key"> };
  identity: Pick<Identity, "demand">;
}

/** More characters than any id has. */
const ID_CHARS_MAX = 64;
const tags = ["approvals"];
const json = (schema: z.ZodType, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
const body = (schema: z.ZodType) => ({ required: true, content: { "application/json": { schema } } });
const named = (example: string) =>
  z.object({
    id: z
      .string()
      .max(ID_CHARS_MAX)
      .openapi({ param: { name: "id", in: "path" }, example }),
  });
const approval = named("apr_01j9zq3v6we8k9m4t2x7c5d0ab");
const review = named("bgl_01j9zq3v6we8k9m4t2x7c5d0ab");

const listRoute = {
  method: "get",
  path: "/v1/approvals",
  tags,
  summary: "What people were asked to decide, newest first",
  request: {
    query: z.strictObject({
      status: z.enum(APPROVAL_STATUSES).optional(),
      cursor: z
        .string()
        .refine((value) => isId("apr", value), "is the `next` of the page before")
        .optional(),
      limit: z
        .string()
        .regex(/^[1-9]\d{0,2}$/, "must be a whole number")
        .transform(Number)
        .refine((value) => value <= APPROVALS_PAGE_MAX, `must be from 1 to ${APPROVALS_PAGE_MAX}`)
        .optional()
        .openapi({ type: "integer", minimum: 1, maximum: APPROVALS_PAGE_MAX, default: APPROVALS_PAGE_DEFAULT }),
    }),
  },
  responses: { 200: json(z.strictObject({ items: z.array(approvalView), next: z.string().optional() }), "One page.") },
} as const;

const getRoute = {
  method: "get",
  path: "/v1/approvals/{id}",
  tags,
  summary: "One approval with all that is shown before deciding",
  request: { params: approval },
  responses: { 200: json(approvalView, "The approval as it stands.") },
} as const;

const voteRoute = {
  method: "post",
  path: "/v1/approvals/{id}/votes",
  tags,
  summary: "Approve or decline, as a human with a token of your own",
  request: { params: approval, body: body(voteRequest) },
  responses: { 200: json(approvalView, "The vote counts.") },
} as const;

const glassRoute = {
  method: "post",
  path: "/v1/approvals/{id}/break-glass",
  tags,
  summary: "Take the place of the quorum, for a reason and a time, and owe a review",
  request: { params: approval, body: body(glassRequest) },
  responses: { 200: json(approvalView, "The glass is broken.") },
} as const;

const debtsRoute = {
  method: "get",
  path: "/v1/review-debts",
  tags,
  summary: "Broken glasses that nobody has reviewed, oldest first",
  responses: { 200: json(z.strictObject({ items: z.array(debtView) }), "Those that are open.") },
} as const;

const closeRoute = {
  method: "post",
  path: "/v1/review-debts/{id}/close",
  tags,
  summary: "Say what a review found; another human than the one who broke the glass",
  request: { params: review, body: body(closeRequest) },
  responses: { 200: json(debtView, "The debt is closed.") },
} as const;

const attendRoute = {
  method: "post",
  path: "/v1/attendance",
  tags,
  summary: "Say that you watch, outside the hours when people do",
  responses: { 200: json(z.strictObject({ until_at: z.int() }), "It is worth something until then.") },
} as const;

const keysRoute = {
  method: "get",
  path: "/v1/gates/keys",
  tags,
  summary: "The public key that verifies the service proofs of votes",
  responses: { 200: json(z.strictObject({ items: z.array(voteKey) }), "Whoever verifies trusts keys from elsewhere.") },
} as const;

/**
 * Approvals over HTTP. Read with `gate:read`. What is decided is judged in the room, so that it is recorded: votes,
 * reviews and attendance need `gate:approve`, breaking the glass `gate:break_glass`.
 */
export function gateRoutes({ gates, identity }: GateRouteDeps): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  const middleware: MiddlewareHandler<RouteEnv> = (c, next) => {
    identity.demand(c.get("who"), "gate:read");
    return next();
  };
  app.openapi(createRoute({ ...listRoute, middleware }), async (c) => {
    const page = await gates.list(c.get("who"), c.req.valid("query") as ApprovalQuery);
    return c.json({ ...page, items: page.items.map(wire) }, 200);
  });
  app.openapi(createRoute({ ...getRoute, middleware }), async (c) => {
    return c.json(wire(await gates.get(c.get("who"), c.req.valid("param").id)), 200);
  });
  app.openapi(createRoute(voteRoute), async (c) => {
    const { note, ...vote } = c.req.valid("json") as z.infer<typeof voteRequest>;
    const said = { ...vote, ...(note === undefined ? {} : { note }) };
    return c.json(wire(await gates.vote(c.get("who"), c.req.valid("param").id, said)), 200);
  });
  app.openapi(createRoute(glassRoute), async (c) => {
    const glass = c.req.valid("json") as z.infer<typeof glassRequest>;
    return c.json(wire(await gates.breakGlass(c.get("who"), c.req.valid("param").id, glass)), 200);
  });
  app.openapi(createRoute({ ...debtsRoute, middleware }), async (c) => {
    return c.json({ items: (await gates.debts(c.get("who"))).map(wireDebt) }, 200);
  });
  app.openapi(createRoute(closeRoute), async (c) => {
    const { note } = c.req.valid("json") as z.infer<typeof closeRequest>;
    return c.json(wireDebt(await gates.closeDebt(c.get("who"), c.req.valid("param").id, note)), 200);
  });
  app.openapi(createRoute(attendRoute), async (c) => c.json(await gates.attend(c.get("who")), 200));
  app.openapi(createRoute({ ...keysRoute, middleware }), (c) => {
    return c.json({ items: [{ ...gates.key, alg: "EdDSA" as const }] }, 200);
  });
  return app;
}

/** Ids lose their brands on the wire. */
function wire(view: ApprovalView): z.infer<typeof approvalView> {
  return view;
}

function wireDebt(view: BreakGlassView): z.infer<typeof debtView> {
  return view;
}
