import { canonicalJson } from "../../kernel/canonical.ts";
import { methodsOf, portsOf } from "../engine/egress_match.ts";
import type { DeltaLine, EgressRule } from "../shape.ts";
import { containsGlob, containsHost } from "./patterns.ts";

const CAPS = ["request_bytes_max", "response_bytes_max", "calls_max", "wall_ms_max"] as const;

/**
 * The first rule that matches a call supplies its limits, so that also the order of rules counts: a rule that is gone, or
 * matches less, leaves its calls to the ones behind it. Those must not give them more than it did.
 */
export function egressDelta(before: readonly EgressRule[], after: readonly EgressRule[]): DeltaLine[] {
  const lines: DeltaLine[] = [];
  /** The first rule of before that may contain the next rule of after: the order is kept. */
  let from = 0;
  const within: number[] = [];
  /** Rules of before that stand in after, behind nothing that came later in before. */
  const kept = new Set<number>();
  for (const [i, rule] of after.entries()) {
    for (const [j, each] of before.entries()) if (j >= from && meaning(each) === meaning(rule)) kept.add(j);
    const wide = before.findIndex((each, index) => index >= from && grantsAll(each, rule));
    const at = `/egress/${i}`;
    if (wide < 0) {
      lines.push({ at, change: "added", loosens: true, text: `lets calls out: ${say(rule)}` });
      continue;
    }
    from = wide;
    within.push(wide);
    if (!before.some((each) => meaning(each) === meaning(rule))) {
      lines.push({ at, change: "narrowed", loosens: false, text: `narrowed to ${say(rule)}` });
    }
  }
  for (const [i, rule] of before.entries()) {
    if (kept.has(i)) continue;
    const heir = within.find((index) => index > i && !leavesNoMore(rule, before[index]));
    if (!within.includes(i)) {
      lines.push({ at: "/egress", change: "removed", loosens: false, text: `no longer lets out: ${say(rule)}` });
    }
    if (heir === undefined) continue;
    const text = `calls of ${say(rule)} fall to a later rule, which may give them more`;
    lines.push({ at: "/egress", change: "widened", loosens: true, text });
  }
  return lines;
}

/** Whatever call `narrow` lets out, `wide` lets out, with no less. The rules' own names mean nothing. */
function grantsAll(wide: EgressRule, narrow: EgressRule): boolean {
  return (
    wide.protocol === narrow.protocol &&
    narrow.hosts.every((host) => wide.hosts.some((each) => containsHost(each, host))) &&
    isSubset(portsOf(narrow), portsOf(wide)) &&
    isSubset(methodsOf(narrow), methodsOf(wide)) &&
    pathsWithin(narrow.paths, wide.paths) &&
    (narrow.private !== true || wide.private === true) &&
    isSubset(narrow.addresses ?? [], wide.addresses ?? []) &&
    isSubset(narrow.dns ?? [], wide.dns ?? []) &&
    (narrow.mcp !== true || wide.mcp === true) &&
    givesNoMore(narrow, wide)
  );
}

/** What a rule gives the calls that it matches: `narrow` no more than `wide`. */
function givesNoMore(narrow: EgressRule, wide: EgressRule): boolean {
  return (
    CAPS.every((cap) => wide[cap] === undefined || (narrow[cap] !== undefined && narrow[cap] <= wide[cap])) &&
    (narrow.effect === wide.effect || narrow.effect === true) &&
    (narrow.secret === undefined || canonicalJson(narrow.secret) === canonicalJson(wide.secret ?? null)) &&
    promisesNoMore(narrow.idempotency, wide.idempotency) &&
    (wide.environment === undefined || narrow.environment === wide.environment) &&
    narrow.data_class === wide.data_class &&
    (narrow.on_blocked === wide.on_blocked || narrow.on_blocked !== "dead-letter")
  );
}

/** What was honoured may no longer be: then a call whose end nobody knows is not sent again. */
function promisesNoMore(narrow: EgressRule["idempotency"], wide: EgressRule["idempotency"]): boolean {
  if (canonicalJson(narrow ?? null) === canonicalJson(wide ?? null)) return true;
  if (typeof narrow !== "object" || typeof wide !== "object") return false;
  return narrow.header === wide.header && !narrow.honoured;
}

/** Calls that matched `gone` and now reach `heir`: are there none, or do they get no more there? */
function leavesNoMore(gone: EgressRule, heir: EgressRule | undefined): boolean {
  if (heir === undefined || heir.protocol !== gone.protocol) return true;
  const literal = [...gone.hosts, ...heir.hosts].every((host) => !host.includes("*"));
  if (literal && !gone.hosts.some((host) => heir.hosts.includes(host))) return true;
  return givesNoMore(heir, gone);
}

function pathsWithin(narrow: readonly string[] | undefined, wide: readonly string[] | undefined): boolean {
  if (wide === undefined) return true;
  return narrow?.every((path) => wide.some((each) => containsGlob(each, path))) ?? false;
}

export function isSubset<T>(narrow: readonly T[], wide: readonly T[]): boolean {
  return narrow.every((each) => wide.includes(each));
}

/** Two rules that differ in their names alone mean the same. */
function meaning(rule: EgressRule | undefined): string {
  const { id: _, ...rest } = rule ?? { hosts: [], protocol: "https" };
  return canonicalJson(rest);
}

function say(rule: EgressRule): string {
  const methods = methodsOf(rule).join(", ");
  const paths = rule.paths === undefined ? "" : ` ${rule.paths.join(", ")}`;
  const secret = rule.secret === undefined ? "" : ` with the secret ${rule.secret.name}`;
  const reach = rule.private === true ? ", also at private addresses" : "";
  const records = rule.dns === undefined ? "" : `, with records ${rule.dns.join(", ")}`;
  const of = rule.service === undefined ? "" : ` (${rule.service}, ${rule.environment ?? ""})`;
  return `${methods} ${rule.protocol}://${rule.hosts.join(", ")}${paths}${secret}${reach}${records}${of}`;
}
