import { canonicalJson } from "../../kernel/canonical.ts";
import { LIMIT_NAMES } from "../../kernel/limits.ts";
import {
  type Attended,
  type Bindings,
  type Contract,
  type ContractClass,
  type DeltaLine,
  type GateRule,
  ISOLATIONS,
  type Phase,
  REDACTED_CLASSES,
  type ToolRule,
} from "../shape.ts";
import type { ContractDelta } from "../version_shape.ts";
import { cannotFail, cedarEffect } from "./cedar.ts";
import { egressDelta, isSubset } from "./egress.ts";
import { atMost, changed, demands, grants, onScale } from "./lists.ts";
import { containsGlob } from "./patterns.ts";

type Judge = (before: Contract, after: Contract) => DeltaLine[];

const KEPT = ["keep", "mask", "drop"] as const;
const BUDGETS = ["egress_calls_max", "egress_bytes_max"] as const;
const DAY_BUDGETS = ["run_ms", "effects", "cost_micros"] as const;
const LOG_DENY = ["log", "deny"] as const;

/** One judge for each key, so that a key that is new does not compile before somebody has said what loosens it. */
const JUDGES: Record<keyof Contract, Judge> = {
  kind: () => [],
  name: () => [],
  // The contract is complete: what was inherited is compared under the keys themselves.
  extends: () => [],
  class: (b, a) => changed("/class", b.class, a.class, lowersClass(b.class, a.class)),
  targets: (b, a) => grants(list("/targets", b.targets, a.targets), (wide, narrow) => wide === "*" || wide === narrow),
  data: (b, a) => [
    ...grants(list("/data/reads", b.data.reads, a.data.reads), same),
    ...grants(list("/data/writes", b.data.writes, a.data.writes), same),
  ],
  require: (b, a) => demands(list("/require", b.require, a.require), same),
  tools: (b, a) => [
    ...grants({ at: "/tools", before: b.tools, after: a.tools, say: sayTool }, containsTool),
    ...seenByCedar("tools", b, a),
  ],
  egress: (b, a) => [...egressDelta(b.egress, a.egress), ...seenByCedar("egress", b, a)],
  bindings: (b, a) => bindingsDelta(b.bindings, a.bindings),
  isolation: (b, a) => onScale("/isolation", ISOLATIONS, b.isolation, a.isolation),
  isolation_floor: (b, a) => onScale("/isolation_floor", ISOLATIONS, b.isolation_floor, a.isolation_floor),
  jail: (b, a) => onScale("/jail", ["optional", "required"], b.jail, a.jail),
  idempotent: (b, a) => changed("/idempotent", b.idempotent, a.idempotent, !a.idempotent),
  redaction: (b, a) =>
    REDACTED_CLASSES.flatMap((name) => onScale(`/redaction/${name}`, KEPT, b.redaction[name], a.redaction[name])),
  retention: (b, a) => changed("/retention", days(b), days(a), keepsLonger(b.retention, a.retention)),
  budgets: (b, a) => BUDGETS.flatMap((name) => atMost(`/budgets/${name}`, b.budgets[name], a.budgets[name])),
  limits: (b, a) => LIMIT_NAMES.flatMap((name) => atMost(`/limits/${name}`, b.limits[name], a.limits[name])),
  gates: (b, a) => [
    ...demands({ at: "/gates", before: b.gates, after: a.gates, say: sayGate }, isStricterGate),
    ...seenByCedar("gates", b, a),
  ],
  attended: (b, a) => changed("/attended", hours(b), hours(a), watchesNoMore(b.attended, a.attended)),
  phase: (b, a) => changed("/phase", canonicalJson(b.phase), canonicalJson(a.phase), isEarlierPhase(b.phase, a.phase)),
  budgets_day: (b, a) =>
    DAY_BUDGETS.flatMap((name) => atMost(`/budgets_day/${name}`, b.budgets_day[name], a.budgets_day[name])),
  dlp: (b, a) => onScale("/dlp/action", LOG_DENY, b.dlp.action, a.dlp.action),
  shadow_mcp: (b, a) => onScale("/shadow_mcp", LOG_DENY, b.shadow_mcp, a.shadow_mcp),
  cedar: (b, a) => cedarDelta(b.cedar, a.cedar),
};

/**
 * What a contract may do that another did not, and the other way round. Loosening is everything that is not proved to be
 * tightening, and the proofs look at the contracts alone: what one of them denies, no request makes the other allow.
 */
export function contractDelta(before: Contract, after: Contract): ContractDelta {
  return sorted(Object.values(JUDGES).flatMap((judge) => judge(before, after)));
}

/**
 * The delta of a contract that there was not: against the one that it extends, which everybody may use already. Only one
 * that reaches nothing outside can be tightening: no egress, no write, no Cedar of its own.
 */
export function newContractDelta(base: Contract, contract: Contract): ContractDelta {
  const { lines } = contractDelta(base, contract);
  const first = (at: string, text: string): DeltaLine => ({ at, change: "added", loosens: true, text });
  if (contract.egress.length > 0) lines.push(first("/egress", "a new contract lets calls out"));
  if (contract.data.writes.length > 0) lines.push(first("/data/writes", "a new contract writes"));
  if (contract.cedar.length > 0) lines.push(first("/cedar", "a new contract brings Cedar policies"));
  for (const [name, binding] of Object.entries(contract.bindings)) {
    if (binding?.mode === "write") lines.push(first(`/bindings/${name}`, "a new contract writes through a binding"));
  }
  return sorted(lines);
}

/** What loosens first; otherwise in the order of the keys. */
function sorted(lines: DeltaLine[]): ContractDelta {
  const loosening = lines.filter((line) => line.loosens);
  return { loosens: loosening.length > 0, lines: [...loosening, ...lines.filter((line) => !line.loosens)] };
}

const same = <T>(a: T, b: T): boolean => a === b;
const list = <T extends string>(at: string, before: readonly T[], after: readonly T[]) => {
  return { at, before, after, say: (item: T): string => item };
};

/**
 * To be read-only forbids what the others may do. Between the others nothing is proved: a privileged contract is held to
 * more (a jail, reviews), and may reach further.
 */
function lowersClass(before: ContractClass, after: ContractClass): boolean {
  return before === "controlled-mutation" && after === "read-only";
}

/** Arguments that the wide rule names must be held at least as narrowly; others are free, so further ones only narrow. */
function containsTool(wide: ToolRule, narrow: ToolRule): boolean {
  if (!containsGlob(wide.name, narrow.name)) return false;
  return Object.entries(wide.args).every(([name, patterns]) => {
    const own = Object.hasOwn(narrow.args, name) ? narrow.args[name] : undefined;
    return own?.every((pattern) => patterns.some((each) => containsGlob(each, pattern))) ?? false;
  });
}

/** What a Cedar policy of the contract's own sees of rules and gates: their names, which are places where none is given. */
const SEEN = {
  tools: /\brule\b/,
  egress: /\b(?:rule|mutating|data_class|data_rank|target)\b/,
  gates: /\bgates\b/,
} as const;

/** Then no rule may move under it: what it permits or forbids could be another thing. */
function seenByCedar(key: keyof typeof SEEN, before: Contract, after: Contract): DeltaLine[] {
  if (![...before.cedar, ...after.cedar].some((text) => SEEN[key].test(text))) return [];
  if (canonicalJson(before[key]) === canonicalJson(after[key])) return [];
  return [{ at: `/${key}`, change: "widened", loosens: true, text: "a Cedar policy looks at these, and they change" }];
}

/** The same approval opens both, and the strict one is no easier to get and lasts no longer. */
function isStricterGate(strict: GateRule, loose: GateRule): boolean {
  return (
    strict.name === loose.name &&
    (strict.on === loose.on || strict.on === "*") &&
    strict.quorum >= loose.quorum &&
    strict.not_after_ms <= loose.not_after_ms &&
    strict.execute_before_ms <= loose.execute_before_ms
  );
}

function bindingsDelta(before: Bindings, after: Bindings): DeltaLine[] {
  return (["artifacts", "flags", "workflows"] as const).flatMap((name): DeltaLine[] => {
    const [b, a] = [before[name], after[name]];
    const at = `/bindings/${name}`;
    if (canonicalJson(b ?? null) === canonicalJson(a ?? null)) return [];
    if (a === undefined) return [{ at, change: "removed", loosens: false, text: `no longer binds ${name}` }];
    if (b === undefined) return [{ at, change: "added", loosens: true, text: `binds ${name}, to ${a.mode}` }];
    const narrows =
      a.as === b.as &&
      (a.mode === b.mode || a.mode === "read") &&
      namesOf(a).every((narrow) => namesOf(b).some((wide) => containsGlob(wide, narrow)));
    const text = `binds ${name} ${namesOf(a).join(", ")}, to ${a.mode}`;
    return [{ at, change: narrows ? "narrowed" : "widened", loosens: !narrows, text }];
  });
}

function namesOf(binding: { repos: string[] } | { app: string } | { names: string[] }): string[] {
  if ("repos" in binding) return binding.repos;
  return "names" in binding ? binding.names : [binding.app];
}

/** A longer floor, and the same ceiling: to erase sooner is unproved, and so is to keep what had to go. */
function keepsLonger(before: Contract["retention"], after: Contract["retention"]): boolean {
  if (before === null || after === null) return false;
  return after.ceiling_days === before.ceiling_days && after.floor_days >= before.floor_days;
}

/** Hours that lie within those of before, or hours where there were none: outside them, more must be watched. */
function watchesNoMore(before: Attended | null, after: Attended | null): boolean {
  if (before === null) return true;
  if (after === null) return false;
  return (
    after.tz === before.tz && isSubset(after.days, before.days) && after.from >= before.from && after.to <= before.to
  );
}

/** Not a later stage, not for longer, and every way back is still there, at the same window and at no higher line. */
function isEarlierPhase(before: Phase | null, after: Phase | null): boolean {
  if (before === null) return true;
  if (after === null || after.n > before.n) return false;
  if (before.until !== null && (after.until === null || after.until > before.until)) return false;
  return before.rollback_when.every((loose) =>
    after.rollback_when.some(
      (strict) =>
        strict.metric === loose.metric &&
        strict.window_ms === loose.window_ms &&
        strict.over_bp <= loose.over_bp &&
        strict.min_runs <= loose.min_runs,
    ),
  );
}

/** A whole `forbid` more, or a `permit` less that cannot fail, tightens; every other change of a text is unproved. */
function cedarDelta(before: readonly string[], after: readonly string[]): DeltaLine[] {
  const lines: DeltaLine[] = [];
  for (const [i, text] of after.entries()) {
    if (before.includes(text)) continue;
    const effect = cedarEffect(text);
    lines.push({ at: `/cedar/${i}`, change: "added", loosens: effect !== "forbid", text: `a Cedar policy: ${effect}` });
  }
  for (const text of before) {
    if (after.includes(text)) continue;
    const effect = cedarEffect(text);
    const loosens = effect !== "permit" || !cannotFail(text);
    lines.push({ at: "/cedar", change: "removed", loosens, text: `without a Cedar policy: ${effect}` });
  }
  return lines;
}

const sayTool = ({ name, args }: ToolRule): string => {
  const held = Object.entries(args).map(([arg, patterns]) => `${arg}: ${patterns.join(" or ")}`);
  return held.length === 0 ? `the tool ${name}` : `the tool ${name} (${held.join("; ")})`;
};
const sayGate = ({ on, name, quorum }: GateRule): string => `the gate ${name} on ${on}, quorum ${quorum}`;
const days = ({ retention }: Contract): string =>
  retention === null ? "the instance's" : `${retention.floor_days} to ${retention.ceiling_days} days`;
const hours = ({ attended }: Contract): string =>
  attended === null ? "no hours" : `${attended.from}-${attended.to} ${attended.tz} on ${attended.days.join(", ")}`;
