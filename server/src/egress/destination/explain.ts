import { isGantryError } from "../../kernel/errors.ts";
import type { PolicyView } from "../../policy/contract.ts";
import type { EgressVerdict, Protocol } from "../contract.ts";
import type { Target } from "../parts.ts";
import { judgeBy } from "./rules.ts";
import { parseAuthority, parseTarget } from "./target.ts";

/** Whoever it is: an agent of some human's, as runs have one. */
const ANYBODY = { actor: "any-agent", kind: "agent", for: "any-human" } as const;

/** A call that nobody makes. */
export interface ExplainedCall {
  /** Absolute; for `tcp` and `tls` also `host:port`. */
  url: string;
  /** Default GET. */
  method?: string;
  /** Default: what the URL says. */
  protocol?: Protocol;
}

/**
 * What a door under this view would say, without a look at DNS and without sending anything: a name's addresses may still
 * refuse the call. Never throws for what a caller asks: a URL that is none is denied, too.
 */
export function explainCall(view: PolicyView, asked: ExplainedCall, denied_hosts: readonly string[]): EgressVerdict {
  const target = read(asked);
  if ("code" in target) return { verdict: "deny", ...target };
  const is_tunnel = target.protocol === "tcp" || target.protocol === "tls";
  const method = is_tunnel ? "CONNECT" : (asked.method ?? "GET").toUpperCase();
  const judged = judgeBy({ view, principal: ANYBODY, gates: [] }, { target, method }, denied_hosts);
  const { service, environment } = judged.rule ?? {};
  const of = {
    ...(judged.rule_id === undefined ? {} : { rule: judged.rule_id }),
    ...(service === undefined ? {} : { service }),
    ...(environment === undefined ? {} : { environment }),
  };
  if (judged.verdict === "allow") return { verdict: "allow", ...of };
  const { code, parts } = judged.error;
  const { detail, next_steps = [] } = parts;
  return { verdict: judged.verdict, ...of, code, detail, ...(next_steps.length === 0 ? {} : { next_steps }) };
}

/** @returns what is wrong with it, when it cannot be read. */
function read({ url, protocol }: ExplainedCall): Target | { code: string; detail: string } {
  const scheme = protocol ?? /^([a-z]+):\/\//i.exec(url)?.[1]?.toLowerCase();
  try {
    if (scheme === "tcp" || scheme === "tls") return parseAuthority(url.replace(/^(?:tcp|tls):\/\//i, ""), scheme);
    return parseTarget(url, scheme === "ws" || scheme === "wss");
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return { code: error.code, detail: error.parts.detail };
  }
}
