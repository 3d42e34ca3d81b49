import type { Ledger } from "../evidence/contract.ts";
import { EGRESS_DENY_CACHE_MS } from "../identity/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Ids, TenantId } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { EffectAuthority, Policy, PolicyView } from "../policy/contract.ts";
import type { Storage } from "../storage/contract.ts";
import type { BlockedCallList, Egress, LeaseList, SecretList } from "./contract.ts";
import { explainCall } from "./destination/explain.ts";
import type { DoorDeps } from "./door/deps.ts";
import { openDoor } from "./door/door.ts";
import { BlockedCalls } from "./effects/blocked.ts";
import { EffectBook } from "./effects/effects.ts";
import { FenceSweep } from "./effects/fence_sweep.ts";
import { effectKeys } from "./effects/seal.ts";
import type { DlpScanner } from "./guards/deps.ts";
import { createGuards } from "./guards/guards.ts";
import { keepLogs } from "./logs.ts";
import type { Denies, Dialer, Resolver } from "./parts.ts";
import { createResend } from "./resend.ts";
import { type KeyWrap, secretKeys } from "./secrets/key_wrap.ts";
import { grantsOf } from "./secrets/lease_grants.ts";
import { LeaseBook } from "./secrets/leases.ts";
import { unknownSecret } from "./secrets/refusals.ts";
import { Secrets } from "./secrets/secret_list.ts";
import { selectSecretHeads } from "./secrets/store.ts";

export interface EgressParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Logger;
  metrics: Metrics;
  /** What everything that this room seals is sealed with is derived from; 32 bytes. */
  state_key: Uint8Array;
  /** What wraps secrets, where that is not derived from the state key any more. */
  secret_keys?: KeyWrap | undefined;
  /** This machine, and this start of the process. */
  node: { readonly id: string; readonly boot: string };
  policy: Pick<Policy, "open" | "watch">;
  /** Whether people stand behind an effect. */
  approvals: EffectAuthority;
  resolver: Resolver;
  dialer: Dialer;
  dlp: DlpScanner;
  denies: Denies;
  /** Tells when settings of a tenant have changed. @returns what ends it. */
  watchSettings(listener: () => void): () => void;
  nat64: readonly string[];
  isSelf(address: string, port: number): boolean;
}

/** The room, for `main.ts` and for the surfaces. */
export interface EgressLife extends Egress {
  readonly secrets: SecretList;
  readonly lease_list: LeaseList;
  readonly blocked: BlockedCallList;
  /**
   * Before anything is started; fences that have served are swept from now on. @returns effects of earlier starts of this node of which nobody knows how they ended.
   * @throws SECRETS_KEY_MISMATCH
   */
  recover(): Promise<number>;
  /** When no door is open any more: what waits is written. */
  close(): Promise<void>;
}

/** Builds the room. Call before the timers of storage start: it registers their handlers. */
export function createEgress(parts: EgressParts): EgressLife {
  const { storage, denies, state_key } = parts;
  const keys = parts.secret_keys ?? secretKeys(state_key);
  const leases = new LeaseBook({ ...parts, keys });
  const secrets = new Secrets({ ...parts, keys, leases });
  const effects = new EffectBook({ ...parts, keys: effectKeys(state_key) });
  const fences = new FenceSweep(parts);
  const guards = createGuards(parts);
  const shared = { ...parts, effects, leases, guards, watch: watchAll(parts) };
  const resend = createResend({ ...parts, doors: shared, effects, leases });
  const blocked = new BlockedCalls({ ...parts, keys: effectKeys(state_key), resend });
  const doors: DoorDeps = { ...shared, blocked };
  return {
    secrets,
    lease_list: leases,
    blocked,
    door: (who) => openDoor(doors, who),
    async fence(tx, of) {
      // A first attempt has none before it.
      if (of.epoch > 1) await effects.abandon(tx, of);
    },
    effects: (reader, of) => effects.count(reader, of),
    forget: (tx, of) => effects.forget(tx, of),
    leases: {
      async demand(tenant, view) {
        const missing = await missingSecrets(storage, tenant, view);
        if (missing.length > 0) throw unknownSecret(...missing);
      },
      prepare: (who) => leases.prepare(who),
      end: (tx, of) => leases.end(tx, of),
    },
    logs: keepLogs({ storage, clock: parts.clock }),
    explain: async (tenant, view, asked) => explainCall(view, asked, await denies.of(tenant)),
    async recover() {
      await secrets.checkKeys();
      await fences.start();
      return effects.recover();
    },
    close: () => effects.close(),
  };
}

/**
 * Contracts that moved, and hosts that a tenant denies from now on: calls under way are judged once more. What another
 * node changed of a tenant tells nobody here, so that is looked at by itself.
 */
function watchAll({ clock, policy, watchSettings }: EgressParts): DoorDeps["watch"] {
  return (listener) => {
    const ends = [policy.watch(listener), watchSettings(listener), clock.every(EGRESS_DENY_CACHE_MS, listener)];
    return () => {
      for (const end of ends) end();
    };
  };
}

/** Secrets that the contract's rules name and that are not there. */
async function missingSecrets(storage: Storage, tenant: TenantId, { contract }: PolicyView): Promise<string[]> {
  const have = new Set((await selectSecretHeads(storage, tenant)).map(({ name }) => name));
  return grantsOf(contract.egress).flatMap(({ secret }) => (have.has(secret) ? [] : [secret]));
}
