import type { NextStep } from "../../kernel/errors.ts";
import { isHostPattern } from "../../kernel/hosts.ts";
import { type EgressRule, isMethod, isPathPattern, PATTERN_CHARS_MAX } from "../../policy/contract.ts";
import type { Target } from "../parts.ts";
import { isMetadataName } from "./address.ts";

/**
 * The rule that lets out exactly one call: its host, protocol, port, method and path, and nothing else.
 * @param addresses  what the host means, when that is not public.
 * @returns undefined: no rule can say it without letting out more, or none may.
 */
export function narrowestRule(
  { target, method }: { target: Target; method: string },
  addresses?: readonly string[],
): EgressRule | undefined {
  const { host, protocol, port, path } = target;
  if (!isHostPattern(host) || isMetadataName(host)) return undefined;
  const where: EgressRule = { hosts: [host], protocol, ports: [port] };
  const is_tunnel = protocol === "tcp" || protocol === "tls";
  if (!is_tunnel) {
    // A star in a path would be a pattern; and no pattern has what servers read in two ways.
    if (path.includes("*") || path.length > PATTERN_CHARS_MAX || !isPathPattern(path)) return undefined;
    where.paths = [path];
  }
  if (protocol === "http" || protocol === "https") {
    if (!isMethod(method)) return undefined;
    where.methods = [method];
  }
  if (addresses === undefined) return where;
  const is_own = addresses.every((address) => address === host || `[${address}]` === host);
  return { ...where, private: true, ...(is_own ? {} : { addresses: [...new Set(addresses)].sort() }) };
}

/** @param before  the rule that this one has to stand in front of: the first that matches a call is the one that counts. */
export function ruleStep(rule: EgressRule, before?: string): NextStep {
  const place = before === undefined ? "" : `; it stands before the rule ${before}`;
  return {
    kind: "contract.egress.rule",
    text: `The narrowest rule that allows this call${place}`,
    rule: { ...rule },
    needs: "contract-change",
  };
}
