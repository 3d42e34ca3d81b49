import type { ChainLink } from "../../identity/contract.ts";
import { type ErrorKind, GantryError, type NextStep } from "../../kernel/errors.ts";
import {
  contract_errors,
  type DataClass,
  type Decision,
  type EgressDimension,
  type EgressRule,
  matchEgress,
  matchesHost,
  matchesPattern,
  mayMutate,
  type PolicyRequest,
  type PolicyView,
  policy_errors,
} from "../../policy/contract.ts";
import { type EgressIdentity, egress_errors } from "../contract.ts";
import type { Call, Target } from "../parts.ts";
import { isLocalhost, isMetadataName, judgeAddress, knownAddresses } from "./address.ts";
import { narrowestRule, ruleStep } from "./narrowest.ts";

/** A call as it is asked for. */
export interface AskedCall {
  target: Target;
  /** `GET`, …; of a tunnel `CONNECT`. */
  method: string;
  /** The highest class that the run has read. */
  read_class?: DataClass;
}

/** By what right somebody calls. */
export interface Caller {
  view: PolicyView;
  principal: NonNullable<PolicyRequest["principal"]>;
  /** Those that an approval holds open. */
  gates: readonly string[];
}

/** What the contract says to a call, before any address of a name is known. */
export type Judged =
  | { verdict: "allow"; rule: EgressRule; rule_id: string; path_class: string; mutating: boolean }
  | { verdict: "deny" | "needs_human"; error: GantryError; rule?: EgressRule; rule_id?: string };

const KINDS: Record<EgressDimension, ErrorKind> = {
  host: egress_errors.HOST,
  protocol: egress_errors.PROTO,
  port: egress_errors.PORT,
  method: egress_errors.METHOD,
  path: egress_errors.PATH,
};
const POLICY_KINDS: ReadonlyMap<string, ErrorKind> = new Map(
  [...Object.values(policy_errors), ...Object.values(contract_errors)].map((kind) => [kind.code, kind]),
);

/**
 * May this call go out? By the tenant's denied hosts, the contract's rules, and whatever else the contract says of
 * `egress.request`. What has an address without a resolver is judged by it, too.
 * @param denied_hosts  patterns, above all contracts.
 * @throws EGRESS_HOST EGRESS_PROTO EGRESS_PORT EGRESS_METHOD EGRESS_PATH EGRESS_ENVIRONMENT EGRESS_PRIVATE_ADDR
 *   EGRESS_METADATA, or the code of the first reason of the policy, with all of them; with the narrowest rule that would
 *   allow the call, where one would.
 */
export function judgeCall(who: EgressIdentity, asked: AskedCall, denied_hosts: readonly string[]): Call {
  const judged = judgeBy(callerOf(who), asked, denied_hosts);
  if (judged.verdict !== "allow") throw judged.error;
  const { verdict: _, ...found } = judged;
  return { who, target: asked.target, method: asked.method, ...found };
}

/** As `judgeCall`, but that nothing is thrown. */
export function judgeBy(caller: Caller, asked: AskedCall, denied_hosts: readonly string[]): Judged {
  const { contract, ref } = caller.view;
  const { target, method } = asked;
  const name = `${ref.name}@${ref.version}`;
  const denied = denied_hosts.find((pattern) => matchesHost(pattern, target.host));
  if (denied !== undefined) return deny(deniedHost(target.host, denied));
  const known = knownKind(target.host);
  if (known === "metadata") return deny(metadata(target.host));
  const found = matchEgress(contract.egress, callOf(asked));
  if ("stopped" in found) {
    // An address that nobody may reach is that first; which rule would name it is the lesser question.
    const is_private = known === "private" && found.stopped === "host";
    return deny(is_private ? privateAddress(asked, [], undefined) : stoppedAt(found.stopped, asked, known, name));
  }
  const { rule, id: rule_id } = found;
  const stop = (error: GantryError): Judged => ({ verdict: "deny", error, rule, rule_id });
  if (known === "private" && !isGranted(rule, target.host)) return stop(privateAddress(asked, [], rule_id));
  const { environment } = rule;
  if (environment !== undefined && !contract.targets.includes("*") && !contract.targets.includes(environment)) {
    return stop(foreignEnvironment(rule, environment, contract.targets, name));
  }
  const decision = caller.view.decide(requestOf(caller, asked, rule));
  if (decision.verdict !== "allow") {
    return { verdict: decision.verdict, error: decided(decision, target.host), rule, rule_id };
  }
  const path_class = rule.paths?.find((pattern) => matchesPattern(pattern, target.path)) ?? "*";
  return { verdict: "allow", rule, rule_id, path_class, mutating: mayMutate(rule, { method }) };
}

/**
 * What the rules say of a name that is to be looked up: the first rule that has the host, with the records of all that have
 * it. Protocol, port and path are not known yet.
 */
export function ruleForName(rules: readonly EgressRule[], host: string): EgressRule | undefined {
  const having = rules.filter((rule) => rule.hosts.some((pattern) => matchesHost(pattern, host)));
  const [first] = having;
  if (first === undefined) return undefined;
  const dns = [...new Set(having.flatMap((rule) => rule.dns ?? []))];
  return dns.length === 0 ? first : { ...first, dns };
}

/** Does the rule name this address itself, as one of a private network? @param address  as rules write it, without brackets. */
export function grantsAddress(rule: EgressRule, address: string): boolean {
  if (rule.private !== true) return false;
  const host = address.includes(":") ? `[${address}]` : address;
  return rule.hosts.includes(host) || rule.addresses?.includes(address) === true;
}

/** The refusal of addresses that are not public. @param granting  the rule that let the call out but for them. */
export function privateAddress(
  { target, method }: Pick<AskedCall, "target" | "method">,
  addresses: readonly string[],
  granting: string | undefined,
): GantryError {
  const means =
    addresses.length === 0 ? "is not a public address" : `means ${addresses.join(", ")}, which is not public`;
  const rule = narrowestRule({ target, method }, addresses.length === 0 ? knownAddresses(target.host) : addresses);
  return new GantryError(egress_errors.PRIVATE_ADDR, {
    detail: `${target.host} ${means}. A rule reaches it only with private: true, and with each address by itself.`,
    next_steps: rule === undefined ? [] : [ruleStep(rule, granting)],
  });
}

export function metadata(host: string): GantryError {
  return new GantryError(egress_errors.METADATA, {
    detail: `${host} is where a cloud answers its own machines, credentials included. No contract can grant it.`,
  });
}

/** Of a host that needs no resolver; undefined: it does. */
function knownKind(host: string): "public" | "private" | "metadata" | undefined {
  if (isMetadataName(host)) return "metadata";
  const kinds = knownAddresses(host)?.map((address) => judgeAddress(address, [])?.kind ?? "private");
  return kinds?.find((kind) => kind !== "public") ?? kinds?.[0];
}

/** Of `localhost` one of its addresses is enough: which of them is dialled is ours to choose. */
function isGranted(rule: EgressRule, host: string): boolean {
  const granted = (address: string) => grantsAddress(rule, address);
  const known = knownAddresses(host) ?? [];
  return isLocalhost(host) ? known.some(granted) : known.every(granted);
}

function callOf({ target, method }: AskedCall) {
  const { host, port, protocol, path } = target;
  return { host, port, protocol, method, path };
}

export function callerOf({ view, chain, approval }: EgressIdentity): Caller {
  return { view, principal: principalOf(chain), gates: approval?.gates ?? [] };
}

/** What policy is asked of a call that a rule lets out. */
export function requestOf({ principal, gates }: Caller, asked: AskedCall, rule: EgressRule): PolicyRequest {
  return {
    action: "egress.request",
    resource: `host:${asked.target.host}`,
    principal,
    gates: [...gates],
    context: {
      ...callOf(asked),
      ...(rule.environment === undefined ? {} : { target: rule.environment }),
      ...(asked.read_class === undefined ? {} : { read_class: asked.read_class }),
    },
  };
}

function principalOf(chain: readonly ChainLink[]): Caller["principal"] {
  const [first, last] = [chain[0], chain.at(-1)];
  return { actor: last?.actor ?? "", kind: last?.kind ?? "agent", for: first?.actor ?? "" };
}

function deny(error: GantryError): Judged {
  return { verdict: "deny", error };
}

function deniedHost(host: string, pattern: string): GantryError {
  const as = pattern === host ? "" : ` by ${pattern}`;
  return new GantryError(egress_errors.HOST, {
    detail: `The tenant denies ${host}${as}, whatever its contracts grant.`,
    next_steps: [{ kind: "change", text: "Take it out of the tenant's setting egress_deny, which people approve." }],
  });
}

function stoppedAt(
  stopped: EgressDimension,
  asked: AskedCall,
  known: "public" | "private" | undefined,
  contract: string,
): GantryError {
  const rule = narrowestRule(asked, known === "private" ? knownAddresses(asked.target.host) : undefined);
  const next_steps: NextStep[] = rule === undefined ? [] : [ruleStep(rule)];
  return new GantryError(KINDS[stopped], {
    detail: `${sayCall(stopped, asked)} is not in contract ${contract}.`,
    next_steps,
  });
}

function sayCall(stopped: EgressDimension, { target, method }: AskedCall): string {
  const { host, protocol, port } = target;
  switch (stopped) {
    case "host":
      return `The host ${host}`;
    case "protocol":
      return `${protocol} to ${host}`;
    case "port":
      return `The port ${port} of ${host}, by ${protocol},`;
    case "method":
      return `${method.slice(0, METHOD_CHARS_SHOWN)} to ${host}`;
    case "path":
      // The path itself is not repeated: paths may carry what is nobody's business.
      return `The path of this ${method} to ${host}`;
  }
}
/** A guest's method is any text. */
const METHOD_CHARS_SHOWN = 32;

function foreignEnvironment(
  { service }: EgressRule,
  environment: string,
  targets: readonly string[],
  contract: string,
): GantryError {
  const own = targets.length === 0 ? "none" : targets.join(", ");
  return new GantryError(egress_errors.ENVIRONMENT, {
    detail: `The service ${service ?? ""} belongs to ${environment}; the targets of contract ${contract} are: ${own}.`,
    next_steps: [
      { kind: "change", text: `Add ${environment} to the contract's targets, or name a service of one of them.` },
    ],
  });
}

/** The refusal that a decision is. */
export function decided({ verdict, reasons, gates }: Decision, host: string): GantryError {
  if (verdict === "needs_human") {
    const waits = gates.map(({ name }) => {
      return { code: policy_errors.FORBIDDEN.code, detail: `The gate ${name} must be approved first.` };
    });
    return new GantryError(policy_errors.FORBIDDEN, {
      detail: `Calls to ${host} wait for people, and what was approved for this run does not hold that open.`,
      reasons: waits,
    });
  }
  const kind = POLICY_KINDS.get(reasons[0]?.code ?? "") ?? policy_errors.FORBIDDEN;
  return new GantryError(kind, { detail: reasons[0]?.detail ?? kind.title, reasons: [...reasons] });
}
