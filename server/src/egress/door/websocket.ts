import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { isGantryError } from "../../kernel/errors.ts";
import { isHeldByPeople } from "../destination/people.ts";
import { OwnTokenWatch } from "../guards/own_tokens.ts";
import type { Admitted, AnswerScan, DoorCore, FoundLease, HeaderList } from "../parts.ts";
import { answerHeaders } from "./headers.ts";
import { PendingEffect } from "./pending_effect.ts";
import { carry, endCall, faultOf, type Opened, openEffect } from "./tunnel.ts";
import { answerWhole, headBytes, refuse } from "./tunnel_answer.ts";
import { Relay, type RelayEnd } from "./tunnel_relay.ts";
import { closeFrame, FrameReader } from "./websocket_frames.ts";
import { demandAccepted, type Handshake, handshakeBytes, readHandshake } from "./websocket_handshake.ts";
import { AnswerReader, type HeadAnswer } from "./websocket_head.ts";

const SWITCHING = 101;
const NOTHING = Buffer.alloc(0);

/** A handshake that the server took. `early` came with its answer. */
interface Shaken {
  answer: HeadAnswer;
  early: Buffer;
}

/**
 * A WebSocket to the host that the guest names, which always counts as an effect. The handshake is judged as a GET, and
 * carries the secret in a lease's place; extensions are agreed on with nobody, so that frames are what RFC 6455 says. Bytes
 * go on as they are. A guest that breaks the protocol or a limit is told by a close frame whose reason is our code. Resolves
 * when the WebSocket has ended. The door tells of no refusal by throwing: what is thrown is a bug.
 * @param head  what the guest has sent after its handshake.
 */
export async function openWebSocket(
  core: DoorCore,
  clock: Clock,
  call: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  // Whoever hangs up closes as well, and that is listened to; an error without a listener would end the process.
  socket.on("error", () => {});
  try {
    const asked = readCounted(core, call);
    const admitted = await core.admit({ target: asked.target, method: "GET" });
    const found = await look(core, admitted, asked.headers);
    const is_held = isHeldByPeople(core.who.view.contract, "egress.request");
    const needs_approval = is_held || found?.needs_approval === true;
    const { protocol, host } = asked.target;
    const tls = protocol === "wss" ? { tls: { host } } : {};
    const opened = await openEffect(core, clock, { admitted, guest: socket, needs_approval, ...tls });
    if (opened === undefined) return;
    const shaken = await shake({ core, clock, opened, asked, found, guest: socket });
    if (shaken !== undefined) await carryFrames({ core, clock, opened, shaken, guest: socket, head });
  } catch (error) {
    refuse(clock, socket, faultOf(error));
    if (!isGantryError(error)) throw error;
  }
}

function readCounted(core: DoorCore, call: IncomingMessage): Handshake {
  try {
    return readHandshake(call);
  } catch (error) {
    core.count({ host: "?", method: "WEBSOCKET", verdict: "denied", code: faultOf(error).code });
    throw error;
  }
}

/** What looks at the head before anything is intended. */
async function look(core: DoorCore, admitted: Admitted, headers: HeaderList): Promise<FoundLease | undefined> {
  try {
    core.guards.head(admitted.pinned, headers);
    const found = await core.leases.find(admitted.pinned, headers);
    admitted.lease = found?.id;
    return found;
  } catch (error) {
    admitted.end(faultOf(error).code);
    throw error;
  }
}

interface Shaking {
  core: DoorCore;
  clock: Clock;
  opened: Opened;
  asked: Handshake;
  found: FoundLease | undefined;
  guest: Duplex;
}

/**
 * @returns undefined: the server opened no WebSocket, and the guest has its answer.
 * @throws what the guest is to be told.
 */
async function shake({ core, clock, opened, asked, found, guest }: Shaking): Promise<Shaken | undefined> {
  const { admitted, upstream, effect } = opened;
  const { pinned, signal } = admitted;
  const { host } = asked.target;
  const pending = new PendingEffect(core.effects, effect);
  const reader = new AnswerReader(clock, upstream, { host, signal, seen: (bytes) => admitted.received(bytes) });
  try {
    admitted.add(upstream);
    const swapped = found === undefined ? undefined : await core.leases.swap(pinned, found, asked.headers);
    const bytes = handshakeBytes(asked.target, swapped?.headers ?? asked.headers);
    admitted.sent(bytes.length);
    pending.sending();
    upstream.write(bytes);
    const answer = await reader.head();
    swapped?.scan.head(answer.status, answer.headers);
    if (answer.status === SWITCHING) {
      demandAccepted(asked, answer.headers);
      return { answer, early: reader.release() };
    }
    const body = await searched(await reader.body(answer), swapped?.scan);
    pending.answered(answer.status);
    pending.done();
    reader.release();
    upstream.destroy();
    admitted.end(null, answer.status);
    passBack(clock, guest, answer, body);
    return undefined;
  } catch (error) {
    reader.release();
    upstream.destroy();
    pending.broke();
    admitted.end(faultOf(error).code);
    throw error;
  }
}

async function searched(body: Buffer, scan: AnswerScan | undefined): Promise<Buffer> {
  return scan === undefined ? body : Buffer.concat([await scan.push(body), await scan.end()]);
}

/** An answer that opened nothing is an ordinary one. */
function passBack(clock: Clock, guest: Duplex, { status, headers }: HeadAnswer, body: Buffer): void {
  const own = answerHeaders(headers).filter(([name]) => name.toLowerCase() !== "content-length");
  answerWhole(clock, guest, { status, headers: own, body, bodiless: status === 204 || status === 304 });
}

interface Carrying {
  core: DoorCore;
  clock: Clock;
  opened: Opened;
  shaken: Shaken;
  guest: Duplex;
  head: Buffer;
}

async function carryFrames({ core, clock, opened, shaken, guest, head }: Carrying): Promise<void> {
  const { admitted, upstream } = opened;
  const tokens = new OwnTokenWatch();
  const outward = new FrameReader({
    by: "guest",
    now: () => clock.monotonic(),
    payload: (bytes) => tokens.feed(bytes),
  });
  const inward = new FrameReader({ by: "server" });
  // They were counted when they came with the answer's head.
  let counted = shaken.early.length;
  const relay = new Relay({
    clock,
    guest,
    upstream,
    outward: {
      pass: (chunk) => {
        outward.push(chunk);
        admitted.sent(chunk.length);
        return chunk;
      },
      end: () => NOTHING,
    },
    inward: {
      pass: (chunk) => {
        admitted.received(chunk.length - counted);
        counted = 0;
        inward.push(chunk);
        return chunk;
      },
      end: () => NOTHING,
    },
  });
  guest.write(headBytes("HTTP/1.1 101 Switching Protocols", switchingHeaders(shaken.answer.headers)));
  const part = (reason?: unknown): void => {
    // In the middle of a server's frame nothing of ours can be said.
    if (reason !== undefined && inward.is_between && guest.writable) guest.end(closeFrame(faultOf(reason).code));
  };
  const carried = await carry(relay, opened, { guest, early: { guest: head, upstream: shaken.early }, part });
  const end = inOrder(carried, outward, inward);
  endCall(core, opened, { end, has_sent: true, status: SWITCHING });
  if (carried.kind === "closed") return;
  upstream.destroy();
  guest.destroy();
}

/** Once both sides have said that they close, the connection may go in any way (RFC 6455 7.1.1). */
function inOrder(end: RelayEnd, outward: FrameReader, inward: FrameReader): RelayEnd {
  return end.kind === "broken" && outward.has_closed && inward.has_closed ? { kind: "closed" } : end;
}

function switchingHeaders(headers: HeaderList): HeaderList {
  return [["connection", "Upgrade"], ["upgrade", "websocket"], ...answerHeaders(headers)];
}
