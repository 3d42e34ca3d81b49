import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { GantryError } from "../../kernel/errors.ts";
import { egress_errors } from "../contract.ts";
import type { HeaderList, Target } from "../parts.ts";
import { badRequest } from "./faults.ts";
import { hostHeader, readHead } from "./headers.ts";
import { headBytes } from "./tunnel_answer.ts";
import { fieldOf } from "./websocket_head.ts";

/** What a guest asks for, and what of it goes on: without extensions, and without what ends at each connection. */
export interface Handshake {
  target: Target;
  headers: HeaderList;
  key: string;
  protocols: readonly string[];
}

/** RFC 6455 1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const VERSION = "13";
/** 16 bytes (RFC 6455 4.1). */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
const EXTENSIONS = "sec-websocket-extensions";
const LINE_BREAK = /[\r\n\0]/;

/** @throws EGRESS_BAD_REQUEST */
export function readHandshake(call: IncomingMessage): Handshake {
  const head = readHead(call);
  if (call.headers.upgrade?.toLowerCase() !== "websocket")
    throw badRequest("The only protocol that a connection is upgraded to here is websocket.");
  if (head.method !== "GET" || head.body !== null) throw badRequest("A WebSocket is asked for by GET, without a body.");
  const key = fieldOf(head.headers, "sec-websocket-key");
  if (key === undefined || !KEY.test(key)) throw badRequest("The header sec-websocket-key is not 16 bytes in base64.");
  if (fieldOf(head.headers, "sec-websocket-version") !== VERSION)
    throw badRequest(`The header sec-websocket-version is not ${VERSION}.`);
  const protocol = head.target.protocol === "https" ? "wss" : "ws";
  return {
    target: { ...head.target, protocol },
    headers: head.headers.filter(([name]) => name.toLowerCase() !== EXTENSIONS),
    key,
    protocols: listOf(head.headers, "sec-websocket-protocol"),
  };
}

/** @throws EGRESS_BAD_REQUEST  a secret that took a lease's place cannot stand in a header. */
export function handshakeBytes(target: Target, headers: HeaderList): Buffer {
  const bad = headers.find(([, value]) => LINE_BREAK.test(value));
  if (bad !== undefined)
    throw badRequest(`The header ${bad[0]} would have a line break in it, once the secret is there.`);
  const own: HeaderList = [
    ["host", hostHeader(target)],
    ["connection", "Upgrade"],
    ["upgrade", "websocket"],
  ];
  return headBytes(`GET ${target.path}${target.query} HTTP/1.1`, [...own, ...headers]);
}

/**
 * RFC 6455 4.1: what a client must see in the answer, or fail.
 * @throws EGRESS_UPSTREAM
 */
export function demandAccepted({ key, protocols, target }: Handshake, headers: HeaderList): void {
  const wrong = (what: string) =>
    new GantryError(egress_errors.UPSTREAM, { detail: `${target.host} answered the WebSocket handshake ${what}.` });
  const has = (name: string, word: string) => listOf(headers, name).some((each) => each.toLowerCase() === word);
  if (!has("upgrade", "websocket") || !has("connection", "upgrade")) throw wrong("without upgrading the connection");
  const accept = createHash("sha1")
    .update(key + GUID)
    .digest("base64");
  if (fieldOf(headers, "sec-websocket-accept") !== accept) throw wrong("without the accept that belongs to its key");
  if (fieldOf(headers, EXTENSIONS) !== undefined) throw wrong("with extensions that were not offered");
  const chosen = listOf(headers, "sec-websocket-protocol");
  if (chosen.length > 1 || chosen.some((each) => !protocols.includes(each)))
    throw wrong("with a subprotocol that was not offered");
}

function listOf(headers: HeaderList, name: string): string[] {
  return headers
    .filter(([each]) => each.toLowerCase() === name)
    .flatMap(([, value]) => value.split(","))
    .map((each) => each.trim())
    .filter((each) => each !== "");
}
