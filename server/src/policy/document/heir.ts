import { NO_NETWORK } from "../builtin.ts";
import { CONTRACT_CLASSES, type Contract, type EgressRule, ISOLATIONS, isWeaker } from "../contract.ts";
import type { Fields } from "./fields.ts";
import { covers } from "./gates.ts";

/** What judging an heir points at. */
type Judged = "class" | "targets" | "data" | "egress" | "bindings" | "isolation" | "isolation_floor" | "jail" | "gates";

/** Methods that change nothing at the other side (RFC 9110, 9.2.1), of those that a rule may name. */
const READING = ["GET", "HEAD"];

/**
 * What a complete contract owes to the one that it extends, and to its own class. Each debt is a problem at the key
 * that makes it, or at the document when the key is absent.
 */
export function judgeHeir(contract: Contract, base: Contract, fields: Fields<Judged>): void {
  const class_fits = judgeClass(contract, base, fields);
  judgeReach(contract, base, fields);
  judgeIsolation(contract, base, fields);
  judgeGates(contract, base, fields);
  // What a class asks for is worth saying only of the right one.
  if (class_fits && contract.class === "read-only") judgeReading(contract, fields);
  if (class_fits && contract.class === "privileged") judgePrivileged(contract, fields);
}

function judgeClass(contract: Contract, base: Contract, fields: Fields<Judged>): boolean {
  const rank = (of: Contract) => CONTRACT_CLASSES.indexOf(of.class);
  if (base.class === "read-only" && contract.class !== "read-only") {
    const text = `class is read-only: ${base.name} changes nothing, and neither does an heir. What changes something extends staging-mutation or production.`;
    fields.problem("class", text);
    return false;
  }
  if (rank(contract) >= rank(base)) return true;
  fields.problem("class", `class is ${base.class} or stronger: an heir cannot weaken the class of ${base.name}.`);
  return false;
}

function judgeReach(contract: Contract, base: Contract, fields: Fields<Judged>): void {
  if (NO_NETWORK.includes(base.name) && contract.egress.length > 0) {
    const text = `${base.name} has no network, and neither has an heir: leave egress out, or extend read-only or staging-mutation.`;
    fields.problem("egress", text);
  }
  if (contract.targets.includes("*") && contract.targets.length > 1) {
    fields.problem("targets", "* is every target; name it alone, or name the targets.");
  }
  if (base.class === "read-only" || base.targets.includes("*")) return;
  const foreign = contract.targets.filter((target) => !base.targets.includes(target));
  if (foreign.length === 0) return;
  const own = base.targets.length === 0 ? "none" : base.targets.join(", ");
  const text = `${base.name} acts on ${own}, and an heir on no other target: leave out ${foreign.join(", ")}, or extend production.`;
  fields.problem("targets", text);
}

function judgeIsolation(contract: Contract, base: Contract, fields: Fields<Judged>): void {
  const { isolation, isolation_floor } = contract;
  if (base.jail === "required" && contract.jail === "optional") {
    fields.problem("jail", `${base.name} requires a jail, which an heir cannot make optional.`);
  }
  if (isWeaker(isolation_floor, base.isolation_floor)) {
    const text = `isolation_floor is ${isolation_floor}; ${base.name} asks for at least ${base.isolation_floor}, and an heir cannot ask for less.`;
    fields.problem("isolation_floor", text);
  } else if (isWeaker(isolation, isolation_floor)) {
    const right = ISOLATIONS.filter((each) => !isWeaker(each, isolation_floor)).join(" or ");
    const text = `isolation is ${isolation}, which is weaker than the contract's own isolation_floor ${isolation_floor}; say ${right}, or lower the floor.`;
    fields.problem("isolation", text);
  }
}

/** A list of gates replaces the inherited one, so it must ask for everything that the inherited one asks for. */
function judgeGates(contract: Contract, base: Contract, fields: Fields<Judged>): void {
  const seen = new Set<string>();
  for (const { on, name } of contract.gates) {
    if (seen.has(`${on} ${name}`)) fields.problem("gates", `The gate ${name} on ${on} stands here twice.`);
    seen.add(`${on} ${name}`);
  }
  for (const asked of base.gates) {
    if (contract.gates.some((gate) => covers(gate, asked))) continue;
    const { on, name, quorum, not_after_ms, execute_before_ms } = asked;
    const whole = `{on: "${on}", name: ${name}, quorum: ${quorum}, not_after_ms: ${not_after_ms}, execute_before_ms: ${execute_before_ms}}`;
    fields.problem("gates", `${base.name} has a gate that an heir cannot remove or weaken: add ${whole}.`);
  }
}

function judgeReading(contract: Contract, fields: Fields<Judged>): void {
  const changing = contract.egress.findIndex(changesSomething);
  if (changing >= 0) {
    const text = `Rule ${changing + 1} could change something: a read-only contract speaks http or https, by GET and HEAD, without effect and mcp.`;
    fields.problem("egress", text);
  }
  if (contract.data.writes.length > 0) fields.problem("data", "A read-only contract writes no data: leave writes out.");
  for (const [name, binding] of Object.entries(contract.bindings)) {
    if (binding.mode === "write") fields.problem("bindings", `A read-only contract reads ${name}: say mode: read.`);
  }
}

function changesSomething(rule: EgressRule): boolean {
  const reading = rule.methods?.every((method) => READING.includes(method)) ?? true;
  const http = rule.protocol === "http" || rule.protocol === "https";
  return !reading || !http || rule.effect === true || rule.mcp === true;
}

/** A privileged run shares nothing, is jailed, and starts only when people have said so. */
function judgePrivileged(contract: Contract, fields: Fields<Judged>): void {
  for (const key of ["isolation", "isolation_floor"] as const) {
    if (contract[key] === "process") continue;
    fields.problem(key, `${key} is process in a privileged contract: its runs share their process with nobody.`);
  }
  if (contract.jail !== "required") fields.problem("jail", "jail is required in a privileged contract.");
  if (contract.gates.some(({ on }) => on === "*" || on === "run.submit")) return;
  const text =
    'A privileged contract has a gate on its runs: add gates: [{on: "*", name: release}], or one on run.submit.';
  fields.problem("gates", text);
}
