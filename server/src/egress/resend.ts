import type { Clock } from "../kernel/clock.ts";
import { type ErrorKind, GantryError, type ProblemBody } from "../kernel/errors.ts";
import { contract_errors, type EgressRule, matchEgress, policy_errors } from "../policy/contract.ts";
import type { Storage } from "../storage/contract.ts";
import { askDoor, type InProcessAnswer } from "./adapters/in_process.ts";
import {
  EGRESS_CONNECT_MS_MAX,
  EGRESS_FIRST_BYTE_MS_MAX,
  EGRESS_IDLE_MS_MAX,
  type EgressIdentity,
  egress_errors,
  lease_errors,
  leaseVariable,
} from "./contract.ts";
import { hrefOf } from "./destination/target.ts";
import type { DoorDeps } from "./door/deps.ts";
import { openDoor } from "./door/door.ts";
import type { Resend, ResentCall } from "./effects/blocked_parts.ts";
import type { EffectBook } from "./effects/effects.ts";
import type { LeaseBook } from "./secrets/leases.ts";

/** What one call may take at most before its answer is whole, if that is short. */
const RETRY_MS_MAX = EGRESS_CONNECT_MS_MAX + EGRESS_FIRST_BYTE_MS_MAX + EGRESS_IDLE_MS_MAX;
/** Of the door's own answers, which are problem documents; a destination's is not read. */
const REFUSAL_BYTES_MAX = 64 * 1024;
/** Whatever a door may refuse by policy. */
const KINDS: readonly ErrorKind[] = [egress_errors, lease_errors, policy_errors, contract_errors].flatMap((table) =>
  Object.values<ErrorKind>(table),
);

export interface ResendParts {
  storage: Storage;
  clock: Clock;
  doors: Omit<DoorDeps, "blocked">;
  effects: EffectBook;
  leases: LeaseBook;
}

/**
 * Lets a blocked call go on through a door of its own, which judges and records it as any call. Its effect is that of the
 * run which made it, so that one of them does it once; its leases are new ones, of the contract as it is now.
 * @returns sends it; rejects with the refusal when the contract, or what people would have to approve, is against it.
 */
export function createResend({ storage, clock, doors, effects, leases }: ResendParts): Resend {
  return async ({ tenant, chain }, call) => {
    const who: EgressIdentity = {
      tenant,
      chain,
      subject: call.id,
      scope: call.scope,
      root: call.id,
      epoch: 1,
      began_at: clock.now(),
      view: call.view,
      approval: null,
      deadline_at: clock.now() + RETRY_MS_MAX,
    };
    const prepared = call.leased.length === 0 ? undefined : await leases.prepare(who);
    if (prepared !== undefined) await storage.write((tx) => prepared.write(tx));
    const door = openDoor(
      {
        ...doors,
        effects: {
          open: (of) => effects.open(of, { key: call.key }),
          onFenced: (listener) => effects.onFenced(listener),
        },
        blocked: { async keep() {} },
      },
      who,
    );
    try {
      return outcomeOf(await asked(call, prepared?.vars ?? {}, door));
    } finally {
      await door.close();
      if (prepared !== undefined) await storage.write((tx) => leases.end(tx, { tenant, subject: call.id }));
    }
  };
}

async function asked(
  call: ResentCall,
  vars: Record<string, string>,
  door: ReturnType<typeof openDoor>,
): Promise<InProcessAnswer | { code: string }> {
  const { method, target, body } = call;
  const headers = [...call.headers, ...credentialOf(call, vars)];
  try {
    return await askDoor(door, { method, href: hrefOf(target), headers, body }, REFUSAL_BYTES_MAX);
  } catch {
    // The door cuts a connection over which an answer cannot be finished; it was begun, and so was the call.
    return { code: egress_errors.INCOMPLETE.code };
  }
}

/** The lease in the slot of the rule that lets the call out now. */
function credentialOf({ view, target, method }: ResentCall, vars: Record<string, string>): [string, string][] {
  const found = matchEgress(view.contract.egress, { ...target, method });
  const secret: EgressRule["secret"] = "rule" in found ? found.rule.secret : undefined;
  const lease = secret === undefined ? undefined : vars[leaseVariable(secret.name)];
  if (secret === undefined || lease === undefined) return [];
  if (secret.slot === "bearer") return [["authorization", `Bearer ${lease}`]];
  if (secret.slot.startsWith("header:")) return [[secret.slot.slice("header:".length), lease]];
  // The user's name was not kept: it is part of a credential.
  return [["authorization", `Basic ${Buffer.from(`:${lease}`).toString("base64")}`]];
}

/** @throws what the door refused by policy: the call waits on. */
function outcomeOf(answer: InProcessAnswer | { code: string }): { status: number } | { code: string } {
  if ("code" in answer) return answer;
  const { status, headers, body } = answer;
  const [, verdict, code] = /^(denied|failed); code=([A-Z_]+)$/.exec(headers["gantry-egress"] ?? "") ?? [];
  if (code === undefined) return { status };
  const kind = KINDS.find((each) => each.code === code);
  if (verdict === "failed" || kind === undefined || kind.status === 409) return { code };
  const { detail, reasons = [], next_steps = [] } = JSON.parse(body.toString("utf8")) as ProblemBody; // our own JSON
  throw new GantryError(kind, { detail, reasons, next_steps });
}
