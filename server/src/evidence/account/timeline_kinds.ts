import { z } from "zod";
import type { EntryView } from "../contract.ts";
import { type Told, told } from "./told.ts";

/** What an entry says, and what more there is to it. */
export interface Telling {
  text: Told;
  details: Told[];
  /** What is not in the ledger, although somebody might look for it there. */
  gaps: Told[];
}

type Tell = (data: Record<string, unknown>) => Telling | undefined;

/**
 * Kinds of other rooms are read as far as this room knows them: loosely, so that a member more does no harm. Data that
 * do not fit are told as those of a kind that nobody knows.
 */
function telling<T>(
  schema: z.ZodType<T>,
  tell: (data: T) => Told | { text: Told; details?: Told[]; gaps?: Told[] },
): Tell {
  return (data) => {
    const read = schema.safeParse(data);
    if (!read.success) return undefined;
    const said = tell(read.data);
    return "text" in said ? { details: [], gaps: [], ...said } : { text: said, details: [], gaps: [] };
  };
}

const text = z.string();
const count = z.int();
const texts = z.array(text);

const queued = z.object({ run: text, attempt: count, lane: text, downgraded: z.boolean(), expires_at: count });
const admitted = z.object({
  run: text,
  attempt: count,
  code_hash: text,
  input_hash: text,
  why_hash: text.optional(),
  key_hash: text.optional(),
  limits: z.record(text, count),
  lane: text,
  isolation: text,
  session: text.optional(),
  deadline_at: count,
  code_facts: z
    .object({
      imports: texts,
      hosts: texts,
      secrets: texts,
      dynamic_code: z.boolean(),
      wasm: z.boolean(),
      dropped: count,
    })
    .optional(),
});
const call = z.object({ host: text, method: text, count, verdict: text });
const ended = z.object({
  run: text,
  attempt: count,
  termination: text,
  code: text.optional(),
  isolation: text.optional(),
  jail: text.optional(),
  runner: text.optional(),
  cancelled_by: text.optional(),
  startup_ms: count.optional(),
  completion_ms: count.optional(),
  cpu_ms: count.optional(),
  rss_peak_mb: count.optional(),
  output_bytes: count.optional(),
  result_hash: text.optional(),
  log_hash: text.optional(),
  log_bytes: count.optional(),
  log_dropped: count.optional(),
  egress: z.array(call).optional(),
});

function tellAdmitted(data: z.infer<typeof admitted>): { text: Told; details: Told[]; gaps: Told[] } {
  const limits = Object.keys(data.limits)
    .sort()
    .map((name) => `${name} ${data.limits[name]}`);
  const details = [
    told`Code ${data.code_hash}, input ${data.input_hash} (SHA-256).`,
    told`Limits: ${limits}. Deadline ${instant(data.deadline_at)}.`,
  ];
  if (data.session !== undefined) details.push(told`Session ${data.session}.`);
  if (data.why_hash !== undefined) details.push(told`The reason that was given has the SHA-256 ${data.why_hash}.`);
  if (data.key_hash !== undefined) details.push(told`Its idempotency key has the SHA-256 ${data.key_hash}.`);
  const { code_facts: facts } = data;
  if (facts !== undefined) {
    if (facts.imports.length > 0) details.push(told`The code imports ${facts.imports}.`);
    if (facts.hosts.length > 0) details.push(told`The code names the hosts ${facts.hosts}.`);
    if (facts.secrets.length > 0) details.push(told`The code holds what looks like secrets: ${facts.secrets}.`);
    if (facts.dynamic_code) details.push(told`The code makes code while it runs.`);
    if (facts.wasm) details.push(told`The code holds WebAssembly.`);
  }
  const gaps =
    (facts?.dropped ?? 0) > 0 ? [told`${facts?.dropped ?? 0} names of the code did not fit into the entry.`] : [];
  const { run, attempt, lane, isolation } = data;
  return {
    text: told`Run ${run} got a slot: attempt ${attempt}, lane ${lane}, isolation ${isolation}.`,
    details,
    gaps,
  };
}

function tellEnded(data: z.infer<typeof ended>): { text: Told; details: Told[]; gaps: Told[] } {
  const details: Told[] = [];
  const gaps: Told[] = [];
  if (data.cancelled_by !== undefined) details.push(told`Cancelled by ${data.cancelled_by}.`);
  if (data.jail !== undefined) {
    details.push(
      told`Isolation ${data.isolation ?? "unknown"}, jail ${data.jail}, process ${data.runner ?? "unknown"}.`,
    );
  }
  const used = (["startup_ms", "completion_ms", "cpu_ms", "rss_peak_mb", "output_bytes", "log_bytes"] as const).flatMap(
    (name) => (data[name] === undefined ? [] : [`${name} ${data[name]}`]),
  );
  if (used.length > 0) details.push(told`Used: ${used}.`);
  if (data.result_hash !== undefined) details.push(told`Result ${data.result_hash} (SHA-256).`);
  if (data.log_hash !== undefined) details.push(told`Log ${data.log_hash} (SHA-256).`);
  for (const { host, method, count: times, verdict } of data.egress ?? []) {
    if (host === "*") gaps.push(told`${times} more calls did not fit into the entry; their hosts are not recorded.`);
    else details.push(told`Blocked: ${method} ${host}, ${times} times, ${verdict}.`);
  }
  if ((data.log_dropped ?? 0) > 0) gaps.push(told`${data.log_dropped ?? 0} bytes of the log were dropped.`);
  if (used.length === 0) gaps.push(told`No use is recorded: it did not execute, or what it used was lost.`);
  const { run, attempt, termination, code } = data;
  const how = code === undefined ? termination : `${termination} (${code})`;
  return { text: told`Run ${run} ended: ${how}, attempt ${attempt}.`, details, gaps };
}

const tellings: Record<string, Tell> = {
  "run.queued": telling(queued, ({ run, attempt, lane, downgraded, expires_at }) => ({
    text: told`Run ${run} waits for a slot in the lane ${lane}, attempt ${attempt}.`,
    details: [
      told`It expires ${instant(expires_at)}.`,
      ...(downgraded ? [told`It had asked for the interactive lane, and accepted this one.`] : []),
    ],
  })),
  "run.admitted": telling(admitted, tellAdmitted),
  "run.ended": telling(ended, tellEnded),
  "token.minted": telling(
    z.object({ token: text, actor: text, scopes: texts, parent: text.nullable(), expires_at: count }),
    ({ token, actor, scopes, parent, expires_at }) => ({
      text: told`Token ${token} was minted for actor ${actor}.`,
      details: [
        told`Scopes: ${scopes}. It expires ${instant(expires_at)}.`,
        parent === null ? told`No token stands above it.` : told`Token ${parent} minted it.`,
      ],
    }),
  ),
  "token.revoked": telling(z.object({ token: text, actor: text, cause: text }), ({ token, actor, cause }) => {
    return told`Token ${token} of actor ${actor} was revoked; cause: ${cause}.`;
  }),
  "actor.created": telling(
    z.object({ actor: text, kind: text, name: text, owner: text.nullable() }),
    ({ actor, kind, name, owner }) => ({
      text: told`Actor ${actor} was created: ${kind}, named ${name}.`,
      details: owner === null ? [] : [told`Actor ${owner} answers for it.`],
    }),
  ),
  "actor.suspended": telling(z.object({ actor: text }), ({ actor }) => told`Actor ${actor} was suspended.`),
  "actor.resumed": telling(z.object({ actor: text }), ({ actor }) => told`Actor ${actor} may act again.`),
  "tenant.created": telling(z.object({ tenant: text, slug: text }), ({ tenant, slug }) => {
    return told`Tenant ${tenant} was created: ${slug}.`;
  }),
  "tenant.suspended": telling(z.object({ tenant: text }), ({ tenant }) => told`Tenant ${tenant} was suspended.`),
  "tenant.resumed": telling(z.object({ tenant: text }), ({ tenant }) => told`Tenant ${tenant} may act again.`),
  "contract.applied": telling(
    z.object({ name: text, version: count, hash: text, extends: text, replaces: count.nullable() }),
    ({ name, version, hash, extends: base, replaces }) => ({
      text: told`Contract ${name}, version ${version}, was applied.`,
      details: [
        replaces === null ? told`It is the first of its name.` : told`It replaces version ${replaces}.`,
        told`It extends ${base}. Its text has the SHA-256 ${hash}.`,
      ],
    }),
  ),
  "key.rotated": telling(z.object({ old: text, new: text }), ({ old, new: next }) => {
    return told`The log's key was rotated, from ${old} to ${next}.`;
  }),
  "evidence.opened": telling(
    z.union([
      z.object({ entry: text, field: text }),
      z.object({ fields: texts, entries: count, range: z.object({ from: count, to: count }).optional() }),
    ]),
    (data) => {
      if ("entry" in data) return told`The private value ${data.field} of entry ${data.entry} was shown.`;
      const { fields, entries, range } = data;
      if (range === undefined) return told`The private values ${fields} of a bundle of ${entries} entries were shown.`;
      return told`The private values ${fields} of entries ${range.from} to ${range.to - 1} of the log were shown.`;
    },
  ),
  "timer.parked": telling(z.object({ owner: text, key: text, attempts: count }), ({ owner, key, attempts }) => {
    return told`The timer ${key} of ${owner} was given up after ${attempts} attempts.`;
  }),
  "sink.lagged": telling(z.object({ sink: text, size: count, since_at: count }), ({ sink, size, since_at }) => {
    return told`The witness ${sink} lacks checkpoints since ${instant(since_at)}; it has the log to size ${size}.`;
  }),
  "sink.recovered": telling(z.object({ sink: text, size: count, since_at: count }), ({ sink, size, since_at }) => {
    return told`The witness ${sink} has caught up to size ${size}; it had lagged since ${instant(since_at)}.`;
  }),
};

/** What an entry says, by its own data alone. A kind that this room does not know is told by its members, by name. */
export function tellEntry({ kind, data }: Pick<EntryView, "kind" | "data">): Telling {
  const tell = Object.hasOwn(tellings, kind) ? tellings[kind] : undefined;
  return tell?.(data) ?? tellUnknown(kind, data);
}

function tellUnknown(kind: string, data: Record<string, unknown>): Telling {
  const members = Object.keys(data).sort();
  return {
    text: told`An entry of the kind ${kind} was recorded.`,
    details: members.map((name) => told`${name}: ${worded(data[name])}`),
    gaps: [],
  };
}

function worded(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A point in time as ISO 8601, UTC; of what no date can say, the number. */
export function instant(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? String(at) : date.toISOString();
}
