import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Config } from "../config.ts";
import type { Ledger } from "../evidence/contract.ts";
import { gateKey } from "../gates/gate_key.ts";
import { createGates, type GatesLife } from "../gates/gates.ts";
import { gateRoutes } from "../gates/routes.ts";
import { WebhookList } from "../gates/webhook_list.ts";
import { WebhookNotices } from "../gates/webhook_notices.ts";
import { webhookRoutes } from "../gates/webhook_routes.ts";
import { webhookKeys } from "../gates/webhook_secret.ts";
import type { RouteEnv } from "../identity/contract.ts";
import type { IdentityRegistry } from "../identity/identity.ts";
import { run_counts } from "../intent/history_store.ts";
import type { RunsLife } from "../intent/runs.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Ids } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Network } from "../network.ts";
import type { PhaseWatch, PolicyNotices } from "../policy/contract.ts";
import type { ContractPolicy } from "../policy/policy.ts";
import { Phases } from "../policy/versions/phase.ts";
import type { Storage } from "../storage/contract.ts";

export interface GatesGround {
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Logger;
  metrics: Metrics;
  storage: Storage;
  ledger: Ledger;
  identity: IdentityRegistry;
  policy: ContractPolicy;
  /** What the key of votes, and those that webhooks' secrets are sealed with, are derived from. */
  state_key: Uint8Array;
  /** What notices leave by. */
  network: Pick<Network, "outgoing">;
}

export interface GatesParts {
  gates: GatesLife;
  webhooks: WebhookList;
  notices: WebhookNotices;
  /** What watches the phases of contracts. */
  phases: PhaseWatch;
}

/**
 * The gates room, and those below that ask it: policy for contracts, identity for settings. Before the timers of storage
 * start. Runs enter themselves with `enterRuns`.
 */
export function buildGates(config: Pick<Config, "webhooks_private">, ground: GatesGround): GatesParts {
  const { ledger, identity, policy, network } = ground;
  const keys = webhookKeys(ground.state_key);
  const sender = network.outgoing({ public_only: !config.webhooks_private });
  const notices = new WebhookNotices({ ...ground, sender, keys });
  const webhooks = new WebhookList({ ...ground, keys, notices, private_addresses: config.webhooks_private });
  const gates = createGates({ ...ground, notifier: notices, key: gateKey(ground.state_key) });
  gates.enter("contract", policy.subject);
  gates.enter("setting", { decided: (tx, decided) => identity.settingDecided(tx, decided), settled() {} });
  policy.useApprovals(gates);
  const phases = new Phases({ ledger, counts: run_counts, notices: suspensions(notices), policy });
  return { gates, webhooks, notices, phases };
}

function suspensions(notices: WebhookNotices): PolicyNotices {
  return {
    suspended: (tx, { tenant, at, ...data }) => notices.notify(tx, { tenant, event: "contract.suspended", at, data }),
  };
}

/** Runs are built after the gates that they ask. */
export function enterRuns({ gates }: GatesParts, runs: RunsLife): void {
  gates.enter("run", runs.subject);
}

/** Everything of the room that is asked for over HTTP. */
export function gateSurfaces({ gates, webhooks }: GatesParts, identity: IdentityRegistry): OpenAPIHono<RouteEnv>[] {
  return [gateRoutes({ gates, identity }), webhookRoutes({ webhooks, identity })];
}
