import { z } from "zod";
import { instant, type Tell, telling } from "./telling.ts";
import { joined, type Told, told } from "./told.ts";

const text = z.string();
const count = z.int();
const texts = z.array(text);

const issued = z.object({
  lease: text,
  subject: text,
  secret: text,
  version: count,
  hosts: texts,
  methods: texts,
  slot: text,
  approval: text.optional(),
  not_after_at: count,
});
const intended = z.object({
  subject: text,
  scope: text,
  epoch: count,
  key: text,
  host: text,
  method: text,
  rule: text,
  approval: text.optional(),
});
const ended = z.object({ subject: text, scope: text, key: text, state: text, status: count.optional() });
const recorded = z.object({
  runs: texts,
  runs_hash: text,
  attempts: count,
  blocked: count,
  completed: count,
  hits: count,
  verdict: text,
});

/** Leases that are good only with what people approved name it. */
const approvedBy = (approval: string | undefined): Told[] =>
  approval === undefined ? [] : [told`People approved it: ${approval}.`];

/** How a call ended that may have changed something. */
function stateOf(state: string, status: number | undefined): Told {
  const answered = status ?? 0;
  switch (state) {
    case "done":
      return told`it was answered ${answered}. It is not made again.`;
    case "rejected":
      return told`it was answered ${answered}, which says that it may be made again.`;
    case "failed":
      return told`it was never sent.`;
    case "unknown":
      return told`whether it arrived is not known.`;
    default:
      return told`${state}.`;
  }
}

/** What a red team came to, in a word. */
function verdictOf(verdict: string): Told {
  if (verdict === "held") return told`nothing got out.`;
  if (verdict === "breached") return told`something got out.`;
  if (verdict === "inconclusive") return told`that says nothing: not all of them ran to their end, or none called.`;
  return told`${verdict}.`;
}

/** What leaves runs, and what calls are made with. */
export const egress_tellings: Record<string, Tell> = {
  "secret.set": telling(z.object({ secret: text, version: count }), ({ secret, version }) => {
    return told`The secret ${secret} was set; it is version ${version} now.`;
  }),
  "secret.removed": telling(z.object({ secret: text, version: count }), ({ secret, version }) => {
    return told`The secret ${secret} was removed, as it was in version ${version}.`;
  }),
  "secrets.rewrapped": telling(z.object({ key: text, secrets: count, operator: text }), (data) => {
    const { key, secrets, operator } = data;
    const what = secrets === 1 ? "1 secret is" : `${secrets} secrets are`;
    return told`${what} wrapped with the key ${key} from now on, by ${operator} at the machine.`;
  }),
  "service.set": telling(z.object({ service: text, hash: text }), ({ service, hash }) => ({
    text: told`The service ${service} was put into the catalogue.`,
    details: [told`What it says has the SHA-256 ${hash}.`],
  })),
  "service.removed": telling(z.object({ service: text }), ({ service }) => {
    return told`The service ${service} was taken out of the catalogue.`;
  }),
  "lease.issued": telling(
    issued,
    ({ lease, subject, secret, version, hosts, methods, slot, approval, not_after_at }) => ({
      text: told`${subject} got a lease of the secret ${secret}, version ${version}: ${lease}.`,
      details: [
        told`It is good for ${methods} to ${hosts}, as ${slot}, until ${instant(not_after_at)}.`,
        ...approvedBy(approval),
      ],
    }),
  ),
  "lease.revoked": telling(z.object({ lease: text, subject: text, secret: text }), ({ lease, subject, secret }) => {
    return told`The lease ${lease} of ${subject} was revoked; it was of the secret ${secret}.`;
  }),
  "effect.intended": telling(intended, ({ subject, scope, epoch, key, host, method, rule, approval }) => ({
    text: told`${subject} was about to change something: ${method} ${host}, let out by the rule ${rule}.`,
    details: [told`It is the call ${key} of ${scope}, attempt ${epoch}.`, ...approvedBy(approval)],
  })),
  "effect.ended": telling(ended, ({ subject, scope, key, state, status }) => ({
    text: joined(told`A call of ${subject} that may have changed something: `, stateOf(state, status)),
    details: [told`It is the call ${key} of ${scope}.`],
  })),
  "call.blocked": telling(
    z.object({ blocked: text, subject: text, code: text, host: text, method: text }),
    ({ blocked, subject, code, host, method }) => ({
      text: told`A call of ${subject} was stopped and kept: ${method} ${host}, ${code}.`,
      details: [told`It waits as ${blocked} until somebody lets it go or drops it.`],
    }),
  ),
  "call.retried": telling(
    z.object({ blocked: text, state: text, code: text.optional(), status: count.optional() }),
    ({ blocked, state, code, status }) => ({
      text:
        state === "sent"
          ? told`The stopped call ${blocked} was let go; it was answered ${status ?? 0}.`
          : told`The stopped call ${blocked} was let go, and failed: ${code ?? state}.`,
    }),
  ),
  "call.dropped": telling(z.object({ blocked: text }), ({ blocked }) => {
    return told`The stopped call ${blocked} was dropped: it is never sent.`;
  }),
  "redteam.recorded": telling(recorded, ({ runs, runs_hash, attempts, blocked, completed, hits, verdict }) => ({
    text: joined(told`${runs.length} hostile programs were run, and `, verdictOf(verdict)),
    details: [
      told`They made ${attempts} calls, of which ${blocked} were blocked and ${completed} let out.`,
      told`What should not be reached was reached ${hits} times, as the reporter counted.`,
      told`The runs are ${runs}; they and their rows have the SHA-256 ${runs_hash}.`,
    ],
  })),
};
