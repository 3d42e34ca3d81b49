import { z } from "zod";
import { instant, type Tell, telling } from "./telling.ts";
import { joined, type Told, told } from "./told.ts";

const text = z.string();
const count = z.int();
const texts = z.array(text);
const subject = { approval: text, subject: text, subject_id: text };

const requested = z.object({
  ...subject,
  gate: text,
  action_hash: text,
  statement_hash: text,
  quorum: count,
  independence: text,
  not_after_at: count,
});
const voted = z.object({ approval: text, vote: text, statement_hash: text, approvals: count, proof_hash: text });
const refused = z.object({ approval: text, what: text, code: text, run: text.optional() });

/** What somebody tried, as the end of a sentence; of what is not known here, its name. */
function triedTo(what: string): Told {
  switch (what) {
    case "vote":
      return told`A vote on approval`;
    case "break_glass":
      return told`Breaking the glass of approval`;
    case "execute":
      return told`The start under approval`;
    case "effect":
      return told`An effect under approval`;
    default:
      return told`A use (${what}) of approval`;
  }
}

/** Contracts, and what people decided. Reasons and notes are private fields, which a timeline does not tell. */
export const gate_tellings: Record<string, Tell> = {
  "contract.applied": telling(
    z.object({
      name: text,
      version: count,
      hash: text,
      extends: text,
      replaces: count.nullable(),
      approval: text.optional(),
    }),
    ({ name, version, hash, extends: base, replaces, approval }) => ({
      text: told`Contract ${name}, version ${version}, was applied.`,
      details: [
        replaces === null ? told`It is the first of its name.` : told`It replaces version ${replaces}.`,
        told`It extends ${base}. Its text has the SHA-256 ${hash}.`,
        ...(approval === undefined ? [] : [told`People approved it: ${approval}.`]),
      ],
    }),
  ),
  "contract.proposed": telling(
    z.object({ name: text, version: count, hash: text, replaces: count.nullable(), approval: text, loosens: texts }),
    ({ name, version, hash, replaces, approval, loosens }) => ({
      text: told`Contract ${name}, version ${version}, was proposed; it allows more, and waits for people: approval ${approval}.`,
      details: [
        replaces === null ? told`It is the first of its name.` : told`It would replace version ${replaces}.`,
        ...(loosens.length === 0 ? [] : [told`It loosens ${loosens}.`]),
        told`Its text has the SHA-256 ${hash}.`,
      ],
    }),
  ),
  "contract.retired": telling(
    z.object({ name: text, version: count, approval: text, code: text }),
    ({ name, version, approval, code }) =>
      told`Contract ${name}, version ${version}, came to nothing: approval ${approval} ended with ${code}.`,
  ),
  "contract.suspended": telling(
    z.object({ name: text, version: count, metric: text, counted: count, runs: count, entry: text }),
    ({ name, version, metric, counted, runs, entry }) => ({
      text: told`Contract ${name}, version ${version}, suspended itself: its own condition on ${metric} was crossed.`,
      details: [told`Of ${runs} runs in the window ${counted} counted. The entry that crossed it is ${entry}.`],
    }),
  ),
  "approval.requested": telling(requested, (data) => ({
    text: told`Approval ${data.approval} was asked for ${data.subject} ${data.subject_id}: gate ${data.gate}, by ${data.quorum} people.`,
    details: [
      told`Independence ${data.independence}. It waits until ${instant(data.not_after_at)}.`,
      told`The action has the SHA-256 ${data.action_hash}, what is approved ${data.statement_hash}.`,
    ],
  })),
  "approval.voted": telling(voted, ({ approval, vote, approvals, statement_hash, proof_hash }) => ({
    text: told`The vote on approval ${approval}: ${vote}. Approvals so far: ${approvals}.`,
    details: [told`It is about the statement ${statement_hash}. The proof of it has the SHA-256 ${proof_hash}.`],
  })),
  "approval.approved": telling(
    z.object({ ...subject, execute_before_at: count }),
    ({ approval, subject: what, subject_id, execute_before_at }) => ({
      text: told`Approval ${approval} was given: ${what} ${subject_id} may start.`,
      details: [told`It may until ${instant(execute_before_at)}.`],
    }),
  ),
  "approval.declined": telling(z.object(subject), ({ approval, subject: what, subject_id }) => {
    return told`Approval ${approval} was declined: ${what} ${subject_id} does not start.`;
  }),
  "approval.expired": telling(z.object({ ...subject, code: text }), ({ approval, subject: what, subject_id, code }) => {
    return told`Approval ${approval} of ${what} ${subject_id} expired: ${code}.`;
  }),
  "approval.superseded": telling(
    z.object({ ...subject, code: text, by: text.nullable() }),
    ({ approval, subject: what, subject_id, code, by }) => ({
      text: told`Approval ${approval} of ${what} ${subject_id} is void: ${code}.`,
      details: by === null ? [] : [told`Approval ${by} took its place.`],
    }),
  ),
  "approval.executed": telling(
    z.object({ ...subject, action_hash: text }),
    ({ approval, subject: what, subject_id, action_hash }) => ({
      text: told`Approval ${approval} was used up: ${what} ${subject_id} started.`,
      details: [told`The action has the SHA-256 ${action_hash}, as it was approved.`],
    }),
  ),
  "approval.refused": telling(refused, ({ approval, what, code, run }) => ({
    text: joined(triedTo(what), told` ${approval} was refused: ${code}.`),
    details: run === undefined ? [] : [told`It was about run ${run}.`],
  })),
  "glass.broken": telling(
    z.object({ ...subject, glass: text, statement_hash: text, until_at: count }),
    ({ approval, subject: what, subject_id, glass, statement_hash, until_at }) => ({
      text: told`The glass of approval ${approval} was broken: one human decided for all. ${what} ${subject_id} may start.`,
      details: [
        told`It holds until ${instant(until_at)}. The statement is ${statement_hash}.`,
        told`A review is owed: ${glass}.`,
      ],
    }),
  ),
  "debt.closed": telling(z.object({ glass: text, approval: text }), ({ glass, approval }) => {
    return told`The review ${glass} of the broken glass of approval ${approval} was closed.`;
  }),
  "attendance.stated": telling(z.object({ until_at: count }), ({ until_at }) => {
    return told`A human said that they watch, until ${instant(until_at)}.`;
  }),
  "webhook.created": telling(
    z.object({ webhook: text, events: texts, url_hash: text }),
    ({ webhook, events, url_hash }) => ({
      text: told`Webhook ${webhook} was added.`,
      details: [told`It is told of ${events}. The keyed print of its URL is ${url_hash}.`],
    }),
  ),
  "webhook.deleted": telling(z.object({ webhook: text }), ({ webhook }) => told`Webhook ${webhook} was removed.`),
};
