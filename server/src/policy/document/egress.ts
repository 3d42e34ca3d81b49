import { canonicalHost, isAddress, isAddressHost, isExactHost, isHostPattern } from "../../kernel/hosts.ts";
import {
  CONTRACT_ITEMS_MAX,
  CONTRACT_NUMBERS_MAX,
  DATA_CLASSES,
  type EgressRule,
  PATTERN_CHARS_MAX,
} from "../contract.ts";
import { EGRESS_PROTOCOLS } from "../shape.ts";
import { type FoundServices, takeService } from "./catalogue.ts";
import { type Fields, type Form, NAME, present, shown } from "./fields.ts";
import { isMethod, isPathPattern } from "./host.ts";

export const EGRESS_KEYS = [
  "id",
  "service",
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
  "idempotency",
  "dns",
  "data_class",
  "mcp",
  "on_blocked",
] as const;
type EgressKey = (typeof EGRESS_KEYS)[number];

const PATH: Form = {
  is: (text) => text.length <= PATTERN_CHARS_MAX && isPathPattern(text),
  right: `is a path of at most ${PATTERN_CHARS_MAX} characters as it is sent, e.g. /v1/*: it starts with /, has no query, no "..", no %2f, and * is any characters`,
};
/** The star would be a method, too, and is not one here. */
const METHOD: Form = {
  is: isMethod,
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
/** RFC 1035, 3.2.2, and RFC 2782: records that may be asked for besides addresses. */
const RECORDS = ["TXT", "MX", "SRV"] as const;
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
/** Headers that mean something else already, so that no key of ours may stand in them; ours begin with `gantry-`. */
const TAKEN_HEADERS = [...TRANSPORT_HEADERS, "accept-encoding", "authorization", "content-type", "cookie"];
const SIZES = ["request_bytes_max", "response_bytes_max", "calls_max", "wall_ms_max"] as const;
/** What opaque bytes do not have. */
const OF_REQUESTS = ["methods", "paths", "secret", "idempotency", "mcp"] as const satisfies readonly EgressKey[];

const KEY_HEADER: Form = {
  is: (text) => isHeaderName(text) && !TAKEN_HEADERS.includes(text) && !text.startsWith("gantry-"),
  right: "is the name of a header of the destination's own in lower case, e.g. idempotency-key",
};

function isHeaderSlot(slot: string): boolean {
  const name = /^header:(.*)$/.exec(slot)?.[1];
  return name !== undefined && isHeaderName(name) && !TRANSPORT_HEADERS.includes(name);
}

/** RFC 9110, 5.6.2, in lower case, so that one header has one spelling. */
function isHeaderName(name: string): boolean {
  return /^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/.test(name);
}

/**
 * @param services  what the rule may name instead of hosts and protocol.
 * @returns undefined when the rule lacks what makes it one; its problems are said already.
 */
export function readEgressRule(fields: Fields<EgressKey>, services: FoundServices): EgressRule | undefined {
  const { methods: methods_max, paths: paths_max, addresses: addresses_max } = CONTRACT_ITEMS_MAX;
  const own = present<Pick<EgressRule, "methods" | "data_class">>({
    methods: fields.texts("methods", METHOD, methods_max, 1),
    data_class: fields.choice("data_class", DATA_CLASSES),
  });
  const place = fields.has("service") ? takeService(fields, own, services) : placeOf(fields);
  const rest = present<Omit<EgressRule, "hosts" | "protocol">>({
    id: fields.text("id", NAME),
    paths: fields.texts("paths", PATH, paths_max, 1),
    private: fields.on("private"),
    addresses: fields.texts("addresses", ADDRESS, addresses_max, 1),
    ...sizesOf(fields),
    effect: fields.flag("effect"),
    secret: secretOf(fields),
    idempotency: idempotencyOf(fields),
    dns: recordsOf(fields),
    mcp: fields.on("mcp"),
    on_blocked: fields.choice("on_blocked", ["refuse", "dead-letter"] as const),
  });
  if (place === undefined) return undefined;
  const rule: EgressRule = { ...own, ...place, ...rest };
  judgeProtocol(rule, fields);
  judgePrivate(rule, fields);
  const { secret, idempotency } = rule;
  if (typeof idempotency === "object" && secret?.slot === `header:${idempotency.header}`) {
    fields.problem("idempotency", `The header ${idempotency.header} is the one that the secret is put into.`);
  }
  return rule;
}

function placeOf(fields: Fields<EgressKey>): Pick<EgressRule, "hosts" | "protocol" | "ports"> | undefined {
  fields.demand(["hosts", "protocol"]);
  const hosts = fields.texts("hosts", hostForm(), CONTRACT_ITEMS_MAX.hosts, 1);
  const protocol = fields.choice("protocol", EGRESS_PROTOCOLS);
  const ports = fields.integers("ports", { min: 1, max: 65_535 }, CONTRACT_ITEMS_MAX.ports, 1);
  if (hosts === undefined || protocol === undefined) return undefined;
  return { hosts, protocol, ...(ports === undefined ? {} : { ports }) };
}

function idempotencyOf(fields: Fields<EgressKey>): EgressRule["idempotency"] {
  const value = fields.get("idempotency")?.value;
  if (value === undefined || value === "off") return value;
  if (typeof value !== "object" || value?.type !== "map") {
    fields.problem("idempotency", "idempotency is off, or says {header: idempotency-key, honoured: true}.");
    return undefined;
  }
  const members = fields.map("idempotency", ["header", "honoured"]);
  members?.demand(["header", "honoured"]);
  const [header, honoured] = [members?.text("header", KEY_HEADER), members?.flag("honoured")];
  return header === undefined || honoured === undefined ? undefined : { header, honoured };
}

function recordsOf(fields: Fields<EgressKey>): EgressRule["dns"] {
  const records = fields.choices("dns", RECORDS);
  if (records?.length !== 0) return records;
  fields.problem("dns", `dns names one or more of ${RECORDS.join(", ")}, or is left out.`);
  return undefined;
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
    if (!fields.has("ports") && rule.ports === undefined)
      fields.problem("protocol", `A rule for ${protocol} names its ports: add ports: [5432].`);
    for (const key of OF_REQUESTS) {
      if (fields.has(key)) fields.problem(key, `${key} is for http and https; nothing of ${protocol} is looked into.`);
    }
  }
  if (protocol === "ws" || protocol === "wss") {
    for (const key of ["methods", "idempotency", "mcp"] as const) {
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
