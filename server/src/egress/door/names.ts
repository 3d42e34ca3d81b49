import type { IncomingMessage, ServerResponse } from "node:http";
import { domainToASCII } from "node:url";
import { type GantryError, isGantryError } from "../../kernel/errors.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { DNS_TTL_MS_MAX, DNS_TTL_MS_MIN, egress_errors } from "../contract.ts";
import type { DoorCore } from "../parts.ts";
import {
  type NameAnswer,
  type NameQuestion,
  type NameRecord,
  NO_ERROR,
  REFUSED,
  readQuestion,
  SERVER_FAILURE,
  TYPES,
  typeName,
  writeAnswer,
} from "./names_forms.ts";
import { mxRecord, srvRecord, txtRecord } from "./names_records.ts";

/** Where guests' `node:dns` asks (workerd's internal_dns_client.ts). Whoever else asks there is answered here as well. */
const NAMES_HOST = "cloudflare-dns.com";
const NAMES_PATH = "/dns-query";
const METHOD = "DNS";
const LABEL = /^[a-z0-9_-]{1,63}$/;
const NAME_CHARS_MAX = 253;

/**
 * Answers a guest's question about a name, if the call is one: by our own resolver, under the contract's rules, and never
 * by anybody else. A name that no rule has, and a record that the name's rule does not list, is REFUSED; so is a name whose
 * addresses the rule could not reach. All of that is an answer of status 200, as resolvers give it, with the code in
 * `gantry-egress`.
 * @returns false: the call asks for no name.
 * @throws EGRESS_BAD_REQUEST  the question cannot be read.
 */
export async function answerNames(core: DoorCore, call: IncomingMessage, answer: ServerResponse): Promise<boolean> {
  const url = namesUrl(call.url);
  if (url === undefined) return false;
  const question = await readCounted(core, call, url);
  const name = canonicalName(question.name);
  const told = name === undefined ? refused("The name is none.") : await answerName(core, name, question.type);
  const verdict = told.status === REFUSED ? "denied" : "allowed";
  core.count({ host: name ?? "?", method: METHOD, verdict, code: told.code });
  const { content_type, body } = writeAnswer(question, told);
  const said =
    told.code === null ? {} : { "gantry-egress": `${verdict === "denied" ? "denied" : "failed"}; code=${told.code}` };
  answer.writeHead(200, {
    "content-type": content_type,
    "content-length": String(body.length),
    "cache-control": told.records.length === 0 ? "no-store" : `max-age=${told.ttl_s}`,
    ...said,
  });
  answer.end(body);
  return true;
}

function namesUrl(raw: string | undefined): URL | undefined {
  // Most calls are none of these, and need not be parsed to see it.
  if (raw === undefined || !raw.includes(NAMES_PATH) || !URL.canParse(raw)) return undefined;
  const url = new URL(raw);
  const host = url.hostname.replace(/\.$/, "");
  const is_here = url.protocol === "https:" && host === NAMES_HOST && url.port === "" && url.pathname === NAMES_PATH;
  return is_here ? url : undefined;
}

async function readCounted(core: DoorCore, call: IncomingMessage, url: URL): Promise<NameQuestion> {
  try {
    return await readQuestion(call, url);
  } catch (error) {
    core.count({ host: "?", method: METHOD, verdict: "denied", code: egress_errors.BAD_REQUEST.code });
    throw error;
  }
}

/** As rules write hosts. Undefined: no name that anybody could have. */
function canonicalName(asked: string): string | undefined {
  const ascii = /^[\x20-\x7e]*$/.test(asked) ? asked : domainToASCII(asked);
  const name = ascii.toLowerCase().replace(/\.$/, "");
  return name.length <= NAME_CHARS_MAX && name.split(".").every((label) => LABEL.test(label)) ? name : undefined;
}

async function answerName(core: DoorCore, name: string, type: number): Promise<NameAnswer> {
  const rule = await core.mayLookUp(name);
  if (rule === undefined) return refused(`No rule of the contract has the host ${name}.`);
  try {
    const { records, ttl_ms } = await recordsOf(core, rule, name, type);
    const ttl_s = Math.ceil(Math.min(Math.max(ttl_ms, DNS_TTL_MS_MIN), DNS_TTL_MS_MAX) / 1_000);
    if (records === undefined)
      return refused(`${typeName(type)} records of ${name} are not in the contract: a rule's dns lists them.`);
    return { status: NO_ERROR, code: null, detail: "", records, ttl_s };
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return failed(error);
  }
}

/** @returns no records: none of this type are told. */
async function recordsOf(
  core: DoorCore,
  rule: EgressRule,
  name: string,
  type: number,
): Promise<{ records: NameRecord[] | undefined; ttl_ms: number }> {
  const listed = rule.dns?.find((each) => TYPES[each] === type);
  if (listed !== undefined) {
    const { records, ttl_ms } = await core.lookUpRecords(name, listed);
    const read = { TXT: txtRecord, MX: mxRecord, SRV: srvRecord }[listed];
    return { records: records.flatMap((record) => read(record) ?? []), ttl_ms };
  }
  if (type !== TYPES.A && type !== TYPES.AAAA) return { records: undefined, ttl_ms: 0 };
  // Of both families, as for a call: one address that the rule could not reach spoils all of them.
  const { addresses, ttl_ms } = await core.lookUp(name);
  core.demandReachable(rule, name, addresses);
  const family = type === TYPES.A ? "A" : "AAAA";
  const fitting = addresses.filter((address) => address.includes(":") === (family === "AAAA"));
  return { records: fitting.map((data) => ({ data: { type: family, name, data }, text: data })), ttl_ms };
}

function refused(detail: string): NameAnswer {
  return { status: REFUSED, code: egress_errors.DNS.code, detail, records: [], ttl_s: 0 };
}

function failed({ code, kind, parts }: GantryError): NameAnswer {
  const status = kind.whose === "policy" ? REFUSED : SERVER_FAILURE;
  return { status, code, detail: parts.detail, records: [], ttl_s: 0 };
}
