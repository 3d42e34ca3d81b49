import type { GantryError } from "../../kernel/errors.ts";
import { type EgressRule, matchEgress, matchesHost, mayMutate } from "../../policy/contract.ts";
import { BLOCKED_BODY_BYTES_MAX, egress_errors } from "../contract.ts";
import type { Call } from "../parts.ts";
import { CallClock } from "./call_clock.ts";
import type { OpenDoor } from "./core.ts";
import { toFault } from "./faults.ts";
import type { Guest } from "./guest.ts";
import { GuestBody, lookAt } from "./guest_body.ts";
import { type CallHead, guestKey } from "./headers.ts";
import { LiveCall } from "./live_call.ts";

/** Never kept: what must not lie anywhere, and what an attempt asks for that no longer counts. */
const NEVER = new Set([egress_errors.DLP.code, egress_errors.OWN_TOKEN.code, egress_errors.FENCED.code]);

/**
 * Keeps a call that policy stopped, where its rule asks for that, so that a person can let it go on later. Whatever keeps it
 * from being kept, the guest hears the refusal all the same.
 */
export async function keepStopped(door: OpenDoor, guest: Guest, head: CallHead, refusal: GantryError): Promise<void> {
  if (refusal.kind.status !== 403 || refusal.kind.whose !== "policy" || NEVER.has(refusal.code)) return;
  const rule = keepingRule(door.who.view.contract.egress, head);
  if (rule === undefined || !mayMutate(rule, { method: head.method })) return;
  try {
    const body = await readBody(door, guest, head, rule);
    if (body === undefined) return;
    const { target, method, headers } = head;
    const key = guestKey(rule, headers, head.guest_key);
    await door.deps.blocked.keep({ who: door.who, code: refusal.code, target, method, headers, body, ...key });
  } catch (error) {
    const { code } = toFault(error, door.deps.log);
    door.deps.log.info({ code, subject: door.who.subject }, "a call that was stopped is not kept");
  }
}

/** The rule that matches in full, else the furthest of those that reached host and protocol and ask for it. */
function keepingRule(rules: readonly EgressRule[], { target, method }: CallHead): EgressRule | undefined {
  const found = matchEgress(rules, { ...target, method });
  if ("rule" in found) return found.rule.on_blocked === "dead-letter" ? found.rule : undefined;
  const reached = rules.filter(
    (rule) =>
      rule.on_blocked === "dead-letter" &&
      rule.protocol === target.protocol &&
      rule.hosts.some((pattern) => matchesHost(pattern, target.host)),
  );
  const reach = (rule: EgressRule): number => {
    const stopped = matchEgress([rule], { ...target, method });
    return "stopped" in stopped ? ["port", "method", "path"].indexOf(stopped.stopped) : 3;
  };
  return [...reached].sort((a, b) => reach(b) - reach(a))[0];
}

/** @returns undefined: it is too long to be kept. @throws what guards throw: what they refuse lies nowhere */
async function readBody(door: OpenDoor, guest: Guest, head: CallHead, rule: EgressRule): Promise<Buffer | undefined> {
  const call = looseCall(door, head, rule);
  door.guards.head(call, head.headers);
  const empty = Buffer.alloc(0);
  if (head.body === null) return empty;
  if (head.body !== "chunked" && head.body > BLOCKED_BODY_BYTES_MAX) return undefined;
  const own = { ...rule, request_bytes_max: BLOCKED_BODY_BYTES_MAX };
  const host = { countBytes: (): void => {}, read: (): void => {}, ended: (): void => {} };
  const live = new LiveCall(host, { ...call, rule: own, address: "" }, head, door.deps.clock.monotonic());
  const clock = new CallClock(door.deps.clock, live);
  try {
    const body = await new GuestBody(guest.call, live, undefined, clock).gather(BLOCKED_BODY_BYTES_MAX, live.signal);
    if (body !== undefined) await lookAt(body, door.guards.body(call, head.headers));
    return body;
  } finally {
    clock.stop();
  }
}

/** As if the rule had let it out: for those who look at what it carries. */
function looseCall(door: OpenDoor, { target, method }: CallHead, rule: EgressRule): Call {
  return { who: door.who, target, method, rule, rule_id: rule.id ?? "", path_class: "*", mutating: true };
}
