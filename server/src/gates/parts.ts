import type { ActorRef, Ledger } from "../evidence/contract.ts";
import type { Identity, Principal } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Ids } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { ApprovalSubject } from "../policy/contract.ts";
import type { Storage } from "../storage/contract.ts";
import type { Notifier, Subject } from "./contract.ts";
import type { GateKey } from "./gate_key.ts";

/** What the room is built from. */
export interface GateParts {
  storage: Storage;
  ledger: Ledger;
  identity: Pick<Identity, "confirm" | "demand" | "ownedBy" | "settings" | "voters">;
  clock: Clock;
  random: Random;
  ids: Ids;
  metrics: Metrics;
  log: Logger;
  notifier: Notifier;
  /** Signs what Gantry saw of a vote; see `gateKey`. */
  key: GateKey;
}

/** The same, and the rooms that asked. */
export interface GateRoom extends GateParts {
  subjects: Subjects;
}

/** The rooms that ask, by what they ask about. Each is entered once, before the first decision. */
export class Subjects {
  readonly #subjects = new Map<ApprovalSubject, Subject>();

  enter(name: ApprovalSubject, subject: Subject): void {
    assert(!this.#subjects.has(name), `the subject ${name} has one room`);
    this.#subjects.set(name, subject);
  }

  of(name: ApprovalSubject): Subject {
    const subject = this.#subjects.get(name);
    assert(subject !== undefined, `a room has entered itself for the subject ${name}`);
    return subject;
  }
}

/** A chain as an entry names it. */
export function actorsOf(chain: Principal["chain"]): ActorRef[] {
  return chain.map(({ actor, kind }) => ({ actor, kind }));
}
