import type { OpenAPIHono } from "@hono/zod-openapi";
import { createDialer } from "./egress/adapters/dialer.ts";
import { DlpThread } from "./egress/adapters/dlp.ts";
import { createResolver } from "./egress/adapters/resolver.ts";
import { Catalogue } from "./egress/destination/catalogue.ts";
import { createEgress, type EgressLife } from "./egress/egress.ts";
import { createOutgoing } from "./egress/outgoing.ts";
import type { Dialer, Resolver } from "./egress/parts.ts";
import { Redteam } from "./egress/redteam.ts";
import { egressRoutes } from "./egress/routes.ts";
import type { EgressChoice } from "./egress_choice.ts";
import type { Ledger, Sender } from "./evidence/contract.ts";
import type { RouteEnv } from "./identity/contract.ts";
import type { IdentityRegistry } from "./identity/identity.ts";
import { run_outcomes } from "./intent/outcome_store.ts";
import type { Clock } from "./kernel/clock.ts";
import type { Ids } from "./kernel/ids.ts";
import type { Logger } from "./kernel/log.ts";
import type { Random } from "./kernel/random.ts";
import type { Metrics } from "./kernel/telemetry.ts";
import { createOwnPlaces, type OwnPlaces } from "./own_places.ts";
import type { EffectAuthority } from "./policy/contract.ts";
import type { ContractPolicy } from "./policy/policy.ts";
import type { Storage } from "./storage/contract.ts";

/** How this process reaches others: whatever leaves it, of guests or of its own, leaves by these. */
export interface Network {
  resolver: Resolver;
  dialer: Dialer;
  own: OwnPlaces;
  nat64: readonly string[];
  /** For the rooms' own requests. @param o.public_only  for URLs that callers choose. */
  outgoing(o: { public_only: boolean }): Sender;
  close(): Promise<void>;
}

export function openNetwork({ resolvers, ca_files, nat64_prefixes: nat64 }: EgressChoice, clock: Clock): Network {
  const dialer = createDialer(clock, { ca_files });
  const resolver = createResolver(clock, resolvers === undefined ? {} : { servers: resolvers });
  const own = createOwnPlaces(clock);
  const parts = { resolver, dialer, clock, nat64, isSelf: own.isSelf };
  return { resolver, dialer, own, nat64, outgoing: (o) => createOutgoing(parts, o), close: () => dialer.close() };
}

export interface EgressGround {
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Logger;
  metrics: Metrics;
  storage: Storage;
  ledger: Ledger;
  identity: IdentityRegistry;
  policy: ContractPolicy;
  /** What secrets, kept answers and blocked calls are sealed with is derived from. */
  state_key: Uint8Array;
  /** This machine, and this start of the process. */
  node: { id: string; boot: string };
  network: Network;
  /** Filled by gates. */
  approvals: EffectAuthority;
}

export interface EgressBuilt {
  egress: EgressLife;
  services: Catalogue;
  /** Before anything is started. @throws SECRETS_KEY_MISMATCH */
  recover(log: Logger): Promise<void>;
  /** When no door is open any more. */
  close(): Promise<void>;
}

/** The room, and the policy below that asks it for services. Before the timers of storage start, and before contracts are applied. */
export function buildEgress(ground: EgressGround): EgressBuilt {
  const { identity, policy, network } = ground;
  const services = new Catalogue(ground);
  policy.useServices(services);
  const { resolver, dialer, own, nat64 } = network;
  const dlp = new DlpThread();
  const egress = createEgress({
    ...ground,
    resolver,
    dialer,
    dlp,
    denies: { of: (tenant) => identity.deniedHosts(tenant) },
    watchSettings: (listener) => identity.watchSettings(listener),
    nat64,
    isSelf: own.isSelf,
  });
  const recover = async (log: Logger): Promise<void> => {
    const unknown = await egress.recover();
    if (unknown > 0) log.warn({ unknown }, "nobody knows how calls of an earlier start ended");
  };
  const close = async (): Promise<void> => {
    await egress.close();
    await dlp.close();
    await network.close();
  };
  return { egress, services, recover, close };
}

export interface EgressSurfaceParts {
  egress: EgressLife;
  services: Catalogue;
  identity: IdentityRegistry;
  policy: ContractPolicy;
  storage: Storage;
  ledger: Ledger;
}

/** Everything of the room that is asked for over HTTP. */
export function egressSurfaces({ egress, storage, ledger, ...deps }: EgressSurfaceParts): OpenAPIHono<RouteEnv>[] {
  const { secrets, lease_list: leases, blocked } = egress;
  const redteam = new Redteam({ storage, ledger, runs: run_outcomes });
  return egressRoutes({ ...deps, egress, secrets, leases, blocked, redteam });
}
