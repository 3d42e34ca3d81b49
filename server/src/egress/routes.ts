import type { OpenAPIHono } from "@hono/zod-openapi";
import type { RouteEnv } from "../identity/contract.ts";
import type { Policy } from "../policy/contract.ts";
import type { BlockedCallList, Egress, LeaseList, SecretList, ServiceList } from "./contract.ts";
import type { Redteam } from "./redteam.ts";
import type { Demand } from "./route_parts.ts";
import { callRoutes } from "./routes_calls.ts";
import { leaseRoutes } from "./routes_leases.ts";
import { redteamRoutes } from "./routes_redteam.ts";
import { secretRoutes } from "./routes_secrets.ts";
import { serviceRoutes } from "./routes_services.ts";

export interface EgressRouteDeps {
  identity: Demand;
  policy: Pick<Policy, "open">;
  egress: Pick<Egress, "explain">;
  secrets: SecretList;
  leases: LeaseList;
  blocked: BlockedCallList;
  services: ServiceList;
  redteam: Pick<Redteam, "record">;
}

/** Everything of the room that is asked for over HTTP. */
export function egressRoutes(deps: EgressRouteDeps): OpenAPIHono<RouteEnv>[] {
  return [secretRoutes(deps), leaseRoutes(deps), callRoutes(deps), serviceRoutes(deps), redteamRoutes(deps)];
}
