import { z } from "zod";
import { instant, type Tell, telling } from "./telling.ts";
import { joined, type Told, told } from "./told.ts";

const text = z.string();
const count = z.int();
const texts = z.array(text);
/** Where a run stands among those that started each other. */
const tree = { parent: text.optional(), root: text.optional(), depth: count.optional() };
interface Tree {
  parent?: string | undefined;
  root?: string | undefined;
  depth?: number | undefined;
}

const queued = z.object({ run: text, attempt: count, lane: text, downgraded: z.boolean(), expires_at: count, ...tree });
const parked = z.object({
  run: text,
  approval: text,
  gate: text,
  quorum: count,
  statement_hash: text,
  code_hash: text,
  input_hash: text,
  target: text.optional(),
  key_hash: text.optional(),
  ...tree,
});
const refused = z.object({ code: text, budget: text, used: count, limit: count, count, code_hash: text, ...tree });
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
  target: text.optional(),
  approval: text.optional(),
  ...tree,
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
const call = z.object({
  host: text,
  method: text,
  count,
  verdict: text,
  code: text.optional(),
  rule: text.optional(),
  path: text.optional(),
  request_bytes: count.optional(),
  response_bytes: count.optional(),
  service: text.optional(),
  environment: text.optional(),
});
const ended = z.object({
  run: text,
  attempt: count,
  termination: text,
  code: text.optional(),
  isolation: text.optional(),
  jail: text.optional(),
  runner: text.optional(),
  cancelled_by: text.optional(),
  override: text.optional(),
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
  egress_log_hash: text.optional(),
});

/** Which run started it. */
function treeOf({ parent, root, depth }: Tree): Told[] {
  if (parent === undefined) return [];
  return [
    told`Run ${parent} started it; the first of these runs is ${root ?? "unknown"}, this one ${depth ?? 0} below.`,
  ];
}

function tellAdmitted(data: z.infer<typeof admitted>): { text: Told; details: Told[]; gaps: Told[] } {
  const limits = Object.keys(data.limits)
    .sort()
    .map((name) => `${name} ${data.limits[name]}`);
  const details = [
    told`Code ${data.code_hash}, input ${data.input_hash} (SHA-256).`,
    told`Limits: ${limits}. Deadline ${instant(data.deadline_at)}.`,
  ];
  if (data.session !== undefined) details.push(told`Session ${data.session}.`);
  if (data.target !== undefined) details.push(told`Target ${data.target}.`);
  if (data.approval !== undefined) details.push(told`People approved it: ${data.approval}.`);
  details.push(...treeOf(data));
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

/** Calls alike: where to, by what right, how many bytes, and how they failed if they did. */
function callText({ host, method, count: times, verdict, code, rule, path, ...more }: z.infer<typeof call>): Told {
  if (verdict !== "allowed") return told`Blocked: ${method} ${host}, ${times} times, ${code ?? verdict}.`;
  const { request_bytes = 0, response_bytes = 0, service, environment } = more;
  const parts = [
    told`Called: ${method} ${host}, ${times} times, let out by the rule ${rule ?? "unknown"}`,
    ...(path === undefined || path === "*" ? [] : [told` for ${path}`]),
    ...(service === undefined ? [] : [told`, the service ${service} of ${environment ?? "no environment"}`]),
    told`; ${request_bytes} bytes sent, ${response_bytes} received`,
    ...(code === undefined ? [] : [told`; failed: ${code}`]),
  ];
  return joined(parts.reduce(joined), told`.`);
}

function foldedText({ count: times, verdict }: z.infer<typeof call>): Told {
  if (verdict === "allowed") {
    return told`${times} more calls that were let out did not fit into the entry; their hosts are not recorded.`;
  }
  return told`${times} more calls that were blocked did not fit into the entry; their hosts are not recorded.`;
}

function tellEnded(data: z.infer<typeof ended>): { text: Told; details: Told[]; gaps: Told[] } {
  const details: Told[] = [];
  const gaps: Told[] = [];
  if (data.cancelled_by !== undefined) details.push(told`Cancelled by ${data.cancelled_by}.`);
  if (data.override !== undefined) details.push(told`A human reversed what an agent had begun: ${data.override}.`);
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
  for (const row of data.egress ?? []) {
    if (row.host === "*") gaps.push(foldedText(row));
    else details.push(callText(row));
  }
  if (data.egress_log_hash !== undefined) {
    details.push(told`What it called, one by one, is kept beside the ledger: ${data.egress_log_hash} (SHA-256).`);
  }
  if ((data.log_dropped ?? 0) > 0) gaps.push(told`${data.log_dropped ?? 0} bytes of the log were dropped.`);
  if (used.length === 0) gaps.push(told`No use is recorded: it did not execute, or what it used was lost.`);
  const { run, attempt, termination, code } = data;
  const how = code === undefined ? termination : `${termination} (${code})`;
  return { text: told`Run ${run} ended: ${how}, attempt ${attempt}.`, details, gaps };
}

/** Runs, from the first wait to the end. */
export const run_tellings: Record<string, Tell> = {
  "run.queued": telling(queued, ({ run, attempt, lane, downgraded, expires_at, ...tree }) => ({
    text: told`Run ${run} waits for a slot in the lane ${lane}, attempt ${attempt}.`,
    details: [
      told`It expires ${instant(expires_at)}.`,
      ...(downgraded ? [told`It had asked for the interactive lane, and accepted this one.`] : []),
      ...treeOf(tree),
    ],
  })),
  "run.parked": telling(parked, ({ run, approval, gate, quorum, statement_hash, code_hash, input_hash, ...more }) => ({
    text: told`Run ${run} waits for people: approval ${approval}, gate ${gate}, ${quorum} of them.`,
    details: [
      told`What they decide about has the SHA-256 ${statement_hash}.`,
      told`Code ${code_hash}, input ${input_hash} (SHA-256).`,
      ...(more.target === undefined ? [] : [told`Target ${more.target}.`]),
      ...(more.key_hash === undefined ? [] : [told`Its idempotency key has the SHA-256 ${more.key_hash}.`]),
      ...treeOf(more),
    ],
  })),
  "run.refused": telling(refused, ({ code, budget, used, limit, count: times, code_hash, ...more }) => ({
    text: told`A run was refused: ${code}. The budget ${budget} is ${limit}, and ${used} of it was used.`,
    details: [
      ...(times > 1 ? [told`It was refused ${times} times since this was last told.`] : []),
      told`Code ${code_hash} (SHA-256).`,
      ...treeOf(more),
    ],
  })),
  "run.admitted": telling(admitted, tellAdmitted),
  "run.ended": telling(ended, tellEnded),
};
