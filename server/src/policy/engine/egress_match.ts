import type { EgressRule } from "../shape.ts";
import { matchesHost, matchesPattern } from "./wildcard.ts";

/** In the order in which a rule is held to a call. */
export const EGRESS_DIMENSIONS = ["host", "protocol", "port", "method", "path"] as const;
export type EgressDimension = (typeof EGRESS_DIMENSIONS)[number];

/** The first rule that matches in full; or the furthest dimension at which one of them stopped. */
export type EgressMatch = { rule: EgressRule; id: string } | { stopped: EgressDimension };

/** Of a `PolicyContext`, what rules are held to. */
export interface EgressCall {
  host?: string;
  port?: number;
  protocol?: string;
  method?: string;
  path?: string;
}

/** The scheme's port; tunnels have none and list theirs. */
const PORTS: Record<EgressRule["protocol"], readonly number[]> = {
  http: [80],
  ws: [80],
  https: [443],
  wss: [443],
  tcp: [],
  tls: [],
};
const METHODS_DEFAULT = ["GET", "HEAD"];
/** RFC 9110, 9.2.1: what is not one of these may change something. */
const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];
/** Neither methods nor paths are seen in a tunnel. */
const TUNNELS: readonly string[] = ["tcp", "tls"];
/** RFC 6455, 4.1: a WebSocket is opened by GET. */
const SOCKETS: readonly string[] = ["ws", "wss"];

/** What a rule grants, said or not: a WebSocket is asked for by GET, a tunnel by CONNECT. */
export function methodsOf({ methods, protocol }: Pick<EgressRule, "methods" | "protocol">): readonly string[] {
  if (TUNNELS.includes(protocol)) return ["CONNECT"];
  return SOCKETS.includes(protocol) ? ["GET"] : (methods ?? METHODS_DEFAULT);
}

/** What a rule grants, said or not. */
export function portsOf({ ports, protocol }: Pick<EgressRule, "ports" | "protocol">): readonly number[] {
  return ports ?? PORTS[protocol];
}

/**
 * Which rule lets this call out? Host, method and path are compared as they are: canonical, the bytes that are sent. What
 * is unknown matches nothing.
 */
export function matchEgress(rules: readonly EgressRule[], call: EgressCall): EgressMatch {
  let furthest = 0;
  for (const [place, rule] of rules.entries()) {
    const stopped = EGRESS_DIMENSIONS.findIndex((dimension) => !MATCHES[dimension](rule, call));
    if (stopped < 0) return { rule, id: rule.id ?? String(place) };
    furthest = Math.max(furthest, stopped);
  }
  return { stopped: EGRESS_DIMENSIONS[furthest] ?? "host" };
}

const MATCHES: Record<EgressDimension, (rule: EgressRule, call: EgressCall) => boolean> = {
  host: ({ hosts }, { host }) => host !== undefined && hosts.some((each) => matchesHost(each, host)),
  protocol: (rule, { protocol }) => protocol === rule.protocol,
  port: (rule, { port }) => port !== undefined && portsOf(rule).includes(port),
  method: (rule, { method = SOCKETS.includes(rule.protocol) ? "GET" : undefined }) =>
    TUNNELS.includes(rule.protocol) || (method !== undefined && methodsOf(rule).includes(method)),
  path: ({ paths, protocol }, { path }) =>
    paths === undefined || TUNNELS.includes(protocol) || (path !== undefined && isPlain(path) && anyOf(paths, path)),
};

/** May the call change something at its destination? A socket that stays open, and whatever a rule says is an effect, may. */
export function mayMutate(rule: EgressRule, { method }: EgressCall): boolean {
  if (rule.effect === true || (rule.protocol !== "http" && rule.protocol !== "https")) return true;
  return method === undefined || !SAFE_METHODS.includes(method);
}

/**
 * Under a rule about paths a path must have one reading: encoded slashes, backslashes and dots, dot segments, and what
 * ends the path would let the far end see another one than was judged.
 */
function isPlain(path: string): boolean {
  return path.startsWith("/") && !/%2f|%5c|%2e|[\\?#]|\/\.{1,2}(\/|$)/i.test(path);
}

function anyOf(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, text));
}
