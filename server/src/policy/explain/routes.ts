import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { Actor, Identity, Principal, RouteEnv } from "../../identity/contract.ts";
import { GantryError } from "../../kernel/errors.ts";
import { DEFAULT_CONTRACT } from "../builtin.ts";
import { type Contract, type PolicyRequest, policy_errors, TABLE_CONTRACTS_MAX } from "../contract.ts";
import type { ContractPolicy } from "../policy.ts";
import { snapshotOf } from "../snapshot.ts";
import { freezeContract } from "../store.ts";
import { documentSchema, explanationSchema, explanationWire, reportSchema } from "../wire.ts";
import type { Explainer } from "./explain.ts";
import { askedSchema, contextOf } from "./request_schema.ts";
import { parseTable, runTable } from "./table.ts";

const NAME_CHARS_MAX = 63;
const ID_CHARS_MAX = 64;
const tags = ["policy"];

export interface ExplainRouteDeps {
  policy: ContractPolicy;
  explainer: Explainer;
  identity: Pick<Identity, "demand">;
  /** Another actor of the tenant, for whoever may look at it. */
  actors: { actor(who: Principal, id: string): Promise<Actor> };
}

const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { "application/json": { schema } },
});

const explainRoute = {
  method: "post",
  path: "/v1/policy/explain",
  tags,
  summary: "What a contract says to an action, why, and what would allow it",
  request: {
    body: {
      required: true,
      content: {
        "application/json": {
          schema: askedSchema.extend({
            contract: z.string().max(NAME_CHARS_MAX).default(DEFAULT_CONTRACT),
            as: z.string().max(ID_CHARS_MAX).optional().openapi({ description: "An actor; default: the caller." }),
          }),
        },
      },
    },
  },
  responses: { 200: json(explanationSchema, "Nothing is done and nothing is recorded.") },
} as const;

const runRoute = {
  method: "get",
  path: "/v1/runs/{run}/policy",
  tags,
  summary: "What was decided of a run, by the snapshot that it was decided against, and why",
  request: { params: z.object({ run: z.string().max(ID_CHARS_MAX) }) },
  responses: { 200: json(explanationSchema, "Decided again: the same snapshot and request give the same answer.") },
} as const;

const testRoute = {
  method: "post",
  path: "/v1/policy/test",
  tags,
  summary: "Ask the cases of a policy table",
  request: {
    body: {
      required: true,
      content: {
        "application/json": {
          schema: z.strictObject({
            table: documentSchema,
            contracts: z
              .array(documentSchema)
              .max(TABLE_CONTRACTS_MAX)
              .default([])
              .openapi({ description: "Documents that stand in for active contracts; nothing is applied." }),
          }),
        },
      },
    },
  },
  responses: { 200: json(reportSchema, "Whether or not all cases hold.") },
} as const;

/** Decisions explained and tested over HTTP, for `contract:read`; a run's also needs `run:read`. */
export function explainRoutes({ policy, explainer, identity, actors }: ExplainRouteDeps): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  const middleware: MiddlewareHandler<RouteEnv> = (c, next) => {
    identity.demand(c.get("who"), "contract:read");
    return next();
  };
  app.openapi(createRoute({ ...explainRoute, middleware }), async (c) => {
    const who = c.get("who");
    const { contract, as, action, resource, gates, context } = c.req.valid("json");
    const request: PolicyRequest = {
      action,
      resource,
      principal: as === undefined ? principalOf(who) : await principalAs(actors, who, as),
      ...(gates === undefined ? {} : { gates }),
      context: contextOf(context),
    };
    return c.json(explanationWire(await explainer.explain(who.tenant, contract, request)), 200);
  });
  app.openapi(createRoute({ ...runRoute, middleware }), async (c) => {
    const who = c.get("who");
    identity.demand(who, "run:read");
    const explanation = await explainer.run(who.tenant, c.req.valid("param").run);
    if (explanation !== undefined) return c.json(explanationWire(explanation), 200);
    throw new GantryError(policy_errors.RUN_UNKNOWN, {
      detail: "The tenant has no run of this id that was decided.",
      next_steps: [{ kind: "command", text: "See which there are", command: "gantry runs list" }],
    });
  });
  app.openapi(createRoute({ ...testRoute, middleware }), async (c) => {
    const { table, contracts } = c.req.valid("json");
    const parsed = parseTable(table);
    const { tenant } = c.get("who");
    const known = new Map((await policy.list(tenant)).map(({ name, contract }) => [name, standIn(contract)]));
    for (const { contract } of await policy.read(tenant, contracts)) known.set(contract.name, standIn(contract));
    return c.json(
      runTable(policy.decider, parsed, (name) => known.get(name)),
      200,
    );
  });
  return app;
}

function standIn(contract: Contract) {
  const frozen = freezeContract(contract);
  return { contract: frozen, snapshot: snapshotOf(frozen).id };
}

function principalOf({ actor, chain }: Principal): NonNullable<PolicyRequest["principal"]> {
  const first = chain[0];
  return { actor, kind: chain.at(-1)?.kind ?? "agent", for: first?.actor ?? actor };
}

/** As whom a run of that actor's own would be decided: for whoever answers for it. */
async function principalAs(
  actors: ExplainRouteDeps["actors"],
  who: Principal,
  id: string,
): Promise<NonNullable<PolicyRequest["principal"]>> {
  const { kind, owner } = await actors.actor(who, id);
  return { actor: id, kind, for: owner ?? id };
}
