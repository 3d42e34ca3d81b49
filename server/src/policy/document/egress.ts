import {
  CONTRACT_ITEMS_MAX,
  CONTRACT_NUMBERS_MAX,
  DATA_CLASSES,
  type EgressRule,
  PATTERN_CHARS_MAX,
} from "../contract.ts";
import { EGRESS_PROTOCOLS } from "../shape.ts";
import { type Fields, type Form, NAME, present, shown } from "./fields.ts";
import { canonicalHost, isAddress, isAddressHost, isExactHost, isHostPattern, isPathPattern } from "./host.ts";

export const EGRESS_KEYS = [
  "id",
  "hosts",
  "protocol",
  "ports",
  "methods",
  "paths",
  "private",
  "addresses",
  "request_bytes_max",
  "response_bytes_max",
  "calls_max",
  "wall_ms_max",
  "effect",
  "secret",
  "data_class",
  "mcp",
  "on_blocked",
] as const;
type EgressKey = (typeof EGRESS_KEYS)[number];

const PATH: Form = {
  is: (text) => text.length <= PATTERN_CHARS_MAX && isPathPattern(text),
  right: `is a path of at most ${PATTERN_CHARS_MAX} characters as it is sent, e.g. /v1/*: it starts with /, has no query, no "..", no %2f, and * is any characters`,
};
/** RFC 9110, 5.6.2 and 9.1, of which only what is in use: methods are case-sensitive, and the star would be one. */
const METHOD: Form = {
  is: (text) => /^[A-Z][A-Z0-9_-]{0,31}$/.test(text) && text !== "CONNECT" && text !== "TRACE",
  right: "is a method in capitals, e.g. GET; each is named, CONNECT and TRACE are never sent",
};
const ADDRESS: Form = {
  is: isAddress,
  right: "is one address, written as 10.0.0.5 or fd00::5; ranges are not granted",
};
const SLOT: Form = {
  is: (text) => text === "bearer" || text === "basic-password" || isHeaderSlot(text),
  right: "is bearer, basic-password or header:<name>, the name in lower case, e.g. header:x-api-key",
};
/** Headers that say how a message travels; a secret in one of them would be read as that. RFC 9110, 7.6.1. */
const TRANSPORT_HEADERS = [
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];
const SIZES = ["request_bytes_max", "response_bytes_max", "calls_max", "wall_ms_max"] as const;
/** What opaque bytes do not have. */
const OF_REQUESTS = ["methods", "paths", "secret", "mcp"] as const satisfies readonly EgressKey[];

function isHeaderSlot(slot: string): boolean {
  const name = /^header:([a-z0-9!#$%&'*+.^_`|~-]{1,64})$/.exec(slot)?.[1];
  return name !== undefined && !TRANSPORT_HEADERS.includes(name);
}

/** @returns undefined when the rule lacks what makes it one; its problems are said already. */
export function readEgressRule(fields: Fields<EgressKey>): EgressRule | undefined {
  fields.demand(["hosts", "protocol"]);
  const hosts = fields.texts("hosts", hostForm(), CONTRACT_ITEMS_MAX.hosts, 1);
  const protocol = fields.choice("protocol", EGRESS_PROTOCOLS);
  const { methods: methods_max, paths: paths_max, addresses: addresses_max, ports: ports_max } = CONTRACT_ITEMS_MAX;
  const rest = present<Omit<EgressRule, "hosts" | "protocol">>({
    id: fields.text("id", NAME),
    ports: fields.integers("ports", { min: 1, max: 65_535 }, ports_max, 1),
    methods: fields.texts("methods", METHOD, methods_max, 1),
    paths: fields.texts("paths", PATH, paths_max, 1),
    private: fields.on("private"),
    addresses: fields.texts("addresses", ADDRESS, addresses_max, 1),
    ...sizesOf(fields),
    effect: fields.flag("effect"),
    secret: secretOf(fields),
    data_class: fields.choice("data_class", DATA_CLASSES),
    mcp: fields.on("mcp"),
    on_blocked: fields.choice("on_blocked", ["refuse", "dead-letter"] as const),
  });
  if (hosts === undefined || protocol === undefined) return undefined;
  const rule: EgressRule = { hosts, protocol, ...rest };
  judgeProtocol(rule, fields);
  judgePrivate(rule, fields);
  return rule;
}

type Sizes = { [N in (typeof SIZES)[number]]: number | undefined };

function sizesOf(fields: Fields<EgressKey>): Sizes {
  const of = (key: (typeof SIZES)[number]) => fields.integer(key, { min: 1, max: CONTRACT_NUMBERS_MAX[key] });
  return {
    request_bytes_max: of("request_bytes_max"),
    response_bytes_max: of("response_bytes_max"),
    calls_max: of("calls_max"),
    wall_ms_max: of("wall_ms_max"),
  };
}

function secretOf(fields: Fields<EgressKey>): { name: string; slot: string } | undefined {
  const members = fields.map("secret", ["name", "slot"]);
  members?.demand(["name", "slot"]);
  const [name, slot] = [members?.text("name", NAME), members?.text("slot", SLOT)];
  return name === undefined || slot === undefined ? undefined : { name, slot };
}

/** A form whose message names the right spelling of the last text that was wrong, where there is one. */
function hostForm(): Form {
  let wrong = "";
  return {
    is(text) {
      wrong = text;
      return isHostPattern(text);
    },
    get right() {
      const right = wrong.length > 512 ? undefined : canonicalHost(wrong);
      if (right !== undefined && right !== wrong && isHostPattern(right)) return `is written ${shown(right)}`;
      return "is a name in lower case without scheme, port and trailing dot, e.g. api.example.com; * is one label, ** one or more, and an address stands whole";
    },
  };
}

function judgeProtocol(rule: EgressRule, fields: Fields<EgressKey>): void {
  const { protocol } = rule;
  if (protocol === "tcp" || protocol === "tls") {
    if (rule.hosts.some((host) => !isExactHost(host))) {
      fields.problem("hosts", `A rule for ${protocol} names its hosts exactly, without a star.`);
    }
    if (!fields.has("ports")) fields.problem("protocol", `A rule for ${protocol} names its ports: add ports: [5432].`);
    for (const key of OF_REQUESTS) {
      if (fields.has(key)) fields.problem(key, `${key} is for http and https; nothing of ${protocol} is looked into.`);
    }
  }
  if (protocol === "ws" || protocol === "wss") {
    for (const key of ["methods", "mcp"] as const) {
      if (fields.has(key)) fields.problem(key, `${key} is for http and https; a WebSocket is opened by GET alone.`);
    }
  }
}

/** A private address is reached only where it is named itself: a name alone could come to mean another. */
function judgePrivate(rule: EgressRule, fields: Fields<EgressKey>): void {
  if (rule.addresses !== undefined && rule.private !== true) {
    fields.problem("addresses", "addresses are what a private network's names may mean: add private: true.");
  }
  if (rule.private !== true || fields.has("addresses") || rule.hosts.every(isAddressHost)) return;
  fields.problem("private", "A private rule names its addresses: add addresses: [10.0.0.5], or write them as hosts.");
}
