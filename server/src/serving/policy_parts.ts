import type { OpenAPIHono } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import { Directory } from "../identity/directory.ts";
import type { IdentityRegistry } from "../identity/identity.ts";
import type { Clock } from "../kernel/clock.ts";
import type { RunRequests } from "../policy/contract.ts";
import { Explainer } from "../policy/explain/explain.ts";
import { explainRoutes } from "../policy/explain/routes.ts";
import type { ContractPolicy } from "../policy/policy.ts";
import { policyRoutes } from "../policy/routes.ts";
import type { Storage } from "../storage/contract.ts";

export interface PolicySurfaceParts {
  policy: ContractPolicy;
  identity: IdentityRegistry;
  storage: Storage;
  clock: Clock;
  /** What was asked for runs, so that it can be explained. */
  runs: RunRequests;
}

/** Everything of the policy room that is asked for over HTTP. */
export function policySurfaces({
  policy,
  identity,
  storage,
  clock,
  runs,
}: PolicySurfaceParts): OpenAPIHono<RouteEnv>[] {
  const actors = new Directory({ storage, clock, instance: () => identity.instance() });
  const explainer = new Explainer({ storage, policy, runs });
  return [policyRoutes({ policy, identity }), explainRoutes({ policy, identity, explainer, actors })];
}
