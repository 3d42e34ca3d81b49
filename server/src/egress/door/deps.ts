import type { Clock } from "../../kernel/clock.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import type { EgressIdentity } from "../contract.ts";
import type { Denies, Dialer, DoorEffects, Guards, HeaderList, Leases, Resolver, Target } from "../parts.ts";

/** What all doors of a process share. */
export interface DoorDeps {
  clock: Clock;
  metrics: Metrics;
  log: Logger;
  resolver: Resolver;
  dialer: Dialer;
  denies: Denies;
  effects: EffectDoors;
  leases: Leases;
  guards: Guards;
  blocked: BlockedKeeper;
  /** NAT64 prefixes of this network, besides the well-known one. */
  nat64: readonly string[];
  /** Is it one of this host's own addresses, on a port that Gantry listens on? */
  isSelf(address: string, port: number): boolean;
  /**
   * Tells that contracts, or what tenants deny, may have changed: calls under way are judged once more.
   * @returns what ends it.
   */
  watch(listener: () => void): () => void;
}

export interface EffectDoors {
  open(who: EgressIdentity): DoorEffects;
  /** Tells of each fence when it is durable. @returns what ends it. */
  onFenced(listener: (of: { root: string; epoch: number }) => void): () => void;
}

/** Keeps calls that policy stopped and whose rule asks for that. */
export interface BlockedKeeper {
  keep(blocked: BlockedCall): Promise<void>;
}

export interface BlockedCall {
  who: EgressIdentity;
  /** Why it was stopped. */
  code: string;
  target: Target;
  method: string;
  /** As the guest set them, without those that end at the door; the keeper leaves out what is not safe to keep. */
  headers: HeaderList;
  /** At most `BLOCKED_BODY_BYTES_MAX`. */
  body: Buffer;
  /** The key that the guest set itself. */
  guest_key?: string;
}
