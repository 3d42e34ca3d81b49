import type { OpenAPIHono } from "@hono/zod-openapi";
import { DlpThread } from "../egress/adapters/dlp.ts";
import { Catalogue } from "../egress/destination/catalogue.ts";
import { createEgress, type EgressLife } from "../egress/egress.ts";
import { Redteam } from "../egress/redteam.ts";
import { egressRoutes } from "../egress/routes.ts";
import type { KeyWrap } from "../egress/secrets/key_wrap.ts";
import type { Ledger } from "../evidence/contract.ts";
import type { RouteEnv } from "../identity/contract.ts";
import type { IdentityRegistry } from "../identity/identity.ts";
import { run_outcomes } from "../intent/outcome_store.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Ids } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Network } from "../network.ts";
import type { EffectAuthority } from "../policy/contract.ts";
import type { ContractPolicy } from "../policy/policy.ts";
import type { Storage } from "../storage/contract.ts";

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
  /** Of the data directory; without it, secrets open with what is derived from the state key. */
  secret_keys?: KeyWrap;
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
