import type { IncomingMessage } from "node:http";
import { type Answer, decode, encode, RECURSION_AVAILABLE, RECURSION_DESIRED } from "dns-packet";
import { DNS_QUERY_BYTES_MAX } from "../contract.ts";
import { badRequest } from "./faults.ts";

/** What is told of names here, with the numbers of the IANA's register. */
export const TYPES = { A: 1, MX: 15, TXT: 16, AAAA: 28, SRV: 33 } as const;
type NameType = keyof typeof TYPES;
/** Others that guests' libraries ask for by name; refused, but named in the refusal. */
const OTHER_TYPES: Readonly<Record<string, number>> = {
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  NAPTR: 35,
  HTTPS: 65,
  CAA: 257,
};
/** RFC 1035 4.1.1. */
export const NO_ERROR = 0;
export const SERVER_FAILURE = 2;
export const REFUSED = 5;
const RECURSION_WANTED = 1 << 8;
const OPCODE_AT = 11;

/** One question, in either form. */
export interface NameQuestion {
  /** As it was asked. */
  name: string;
  /** A number of the register. */
  type: number;
  form: { kind: "json" } | { kind: "wire"; id: number; has_edns: boolean; flags: number };
}

/** One record of an answer. `text` is how it is written in the JSON form. */
export interface NameRecord {
  data: Answer;
  text: string;
}

/** What is said to a question. */
export interface NameAnswer {
  status: typeof NO_ERROR | typeof SERVER_FAILURE | typeof REFUSED;
  /** Of a refusal or a failure; null: it is an answer. */
  code: string | null;
  detail: string;
  records: NameRecord[];
  ttl_s: number;
}

/**
 * RFC 8484: GET with `dns`, POST with a message; or `name` and `type` in the query, as public resolvers take it and workerd
 * asks.
 * @throws EGRESS_BAD_REQUEST
 */
export async function readQuestion(call: IncomingMessage, url: URL): Promise<NameQuestion> {
  const { name, type, dns } = Object.fromEntries(url.searchParams);
  if (call.method === "POST") {
    const coding = call.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
    if (coding !== "application/dns-message")
      throw badRequest("A question that is posted has content-type application/dns-message.");
    return readWire(await readBody(call));
  }
  if (call.method !== "GET") throw badRequest("Names are asked for by GET or POST.");
  if (dns !== undefined) {
    if (!/^[\w-]+$/.test(dns)) throw badRequest("The parameter dns is base64url without padding (RFC 8484, 4.1).");
    return readWire(Buffer.from(dns, "base64url"));
  }
  if (name === undefined) throw badRequest("A question has the parameter dns, or name and type (RFC 8484).");
  return { name, type: typeNumber(type ?? "A"), form: { kind: "json" } };
}

async function readBody(call: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of call as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > DNS_QUERY_BYTES_MAX) throw badRequest(`The question has more than ${DNS_QUERY_BYTES_MAX} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function readWire(bytes: Buffer): NameQuestion {
  if (bytes.length > DNS_QUERY_BYTES_MAX) throw badRequest(`The question has more than ${DNS_QUERY_BYTES_MAX} bytes.`);
  let packet: ReturnType<typeof decode>;
  try {
    packet = decode(bytes);
  } catch {
    // The decoder's errors speak of offsets, and of nothing else.
    throw badRequest("The question is no message of DNS (RFC 1035, 4).");
  }
  const { id = 0, flags = 0, questions = [], additionals = [] } = packet;
  const [question] = questions;
  const is_query = !packet.flag_qr && ((flags >> OPCODE_AT) & 0xf) === 0;
  if (!is_query || question === undefined || questions.length !== 1 || (question.class ?? "IN") !== "IN")
    throw badRequest("The message is not one question of class IN.");
  const has_edns = additionals.some((record) => record.type === "OPT");
  return { name: question.name, type: typeNumber(question.type), form: { kind: "wire", id, has_edns, flags } };
}

/** @param type  a name of the register, a number, or what dns-packet calls a type that it does not know. */
function typeNumber(type: string): number {
  const name = type.toUpperCase();
  const known = Object.hasOwn(TYPES, name) ? TYPES[name as NameType] : OTHER_TYPES[name];
  const number = known ?? Number(/^(?:UNKNOWN_|TYPE)?(\d{1,5})$/.exec(name)?.[1] ?? 0);
  if (number > 0xff_ff) throw badRequest("The type of the record is not one.");
  return number;
}

export function typeName(type: number): string {
  const named = Object.entries({ ...TYPES, ...OTHER_TYPES }).find(([, number]) => number === type);
  return named?.[0] ?? `TYPE${type}`;
}

/** The answer in the form in which was asked. */
export function writeAnswer(question: NameQuestion, answer: NameAnswer): { content_type: string; body: Buffer } {
  return question.form.kind === "wire"
    ? { content_type: "application/dns-message", body: writeWire(question, question.form, answer) }
    : { content_type: "application/dns-json", body: Buffer.from(JSON.stringify(jsonOf(question, answer))) };
}

/**
 * No `Answer` when there is none: workerd takes that for a name that is not there, and an empty one for a name without
 * addresses (read in 1.20261117). `Comment` says why.
 */
function jsonOf({ name, type }: NameQuestion, { status, records, ttl_s, code, detail }: NameAnswer): object {
  const flags = { TC: false, RD: true, RA: true, AD: false, CD: false };
  const told = records.map(({ text }) => ({ name, type, TTL: ttl_s, data: text }));
  return {
    Status: status,
    ...flags,
    Question: [{ name, type }],
    ...(told.length === 0 ? {} : { Answer: told }),
    ...(code === null ? {} : { Comment: [`${code}: ${detail}`] }),
  };
}

function writeWire(
  { name, type }: NameQuestion,
  { id, has_edns, flags }: Extract<NameQuestion["form"], { kind: "wire" }>,
  { status, records, ttl_s }: NameAnswer,
): Buffer {
  const wanted = (flags & RECURSION_WANTED) === 0 ? 0 : RECURSION_DESIRED;
  const edns = {
    type: "OPT",
    name: ".",
    udpPayloadSize: 4096,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  } as const;
  return encode({
    type: "response",
    id,
    flags: wanted | RECURSION_AVAILABLE | status,
    // The library writes the number of a type that it has no name for.
    questions: [{ name, type: wireType(type), class: "IN" }],
    answers: records.map(({ data }) => ({ ...data, name, ttl: ttl_s, class: "IN" }) as Answer),
    additionals: has_edns ? [{ ...edns, options: [] }] : [],
  });
}

function wireType(type: number): "A" {
  const known = Object.entries(TYPES).find(([, number]) => number === type);
  return (known?.[0] ?? `UNKNOWN_${type}`) as "A";
}
