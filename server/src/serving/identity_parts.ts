import type { OpenAPIHono } from "@hono/zod-openapi";
import { addressOf } from "../http/address.ts";
import { actorRoutes } from "../identity/actor_routes.ts";
import type { RouteEnv, SettingGate } from "../identity/contract.ts";
import { Directory } from "../identity/directory.ts";
import type { IdentityRegistry } from "../identity/identity.ts";
import { identityRoutes } from "../identity/routes.ts";
import { tenantRoutes } from "../identity/tenant_routes.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Storage } from "../storage/contract.ts";

export interface IdentitySurfaceParts {
  identity: IdentityRegistry;
  storage: Storage;
  clock: Clock;
  /** Who is asked about a change of settings that loosens. */
  gate: SettingGate;
}

/** Everything of the identity room that is asked for over HTTP. */
export function identitySurfaces({ identity, storage, clock, gate }: IdentitySurfaceParts): OpenAPIHono<RouteEnv>[] {
  const directory = new Directory({ storage, clock, instance: () => identity.instance() });
  return [
    identityRoutes({ identity, directory, addressOf }),
    actorRoutes({ identity, directory }),
    tenantRoutes({ identity, directory, gate }),
  ];
}
