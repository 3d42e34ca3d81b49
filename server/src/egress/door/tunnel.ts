import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import { matchEgress } from "../../policy/contract.ts";
import { CLIENT_HELLO_BYTES_MAX, egress_errors, INTENT_AGE_MS_MAX } from "../contract.ts";
import { isHeldByPeople } from "../destination/people.ts";
import { parseAuthority } from "../destination/target.ts";
import { OwnTokenWatch } from "../guards/own_tokens.ts";
import type { Admitted, DoorCore, EffectOutcome, EffectRef, Target } from "../parts.ts";
import { headBytes, refuse, reset } from "./tunnel_answer.ts";
import { TunnelGate } from "./tunnel_gate.ts";
import { Relay, type RelayEnd } from "./tunnel_relay.ts";

const TUNNEL_STATUS = 200;
const NO_BODY = sha256Hex("");
/** In the order in which rules are held to a call. */
const DIMENSIONS = ["host", "protocol", "port", "method", "path"];

/** A call with a connection of its own, from its intent on. */
export interface Opened {
  admitted: Admitted;
  effect: EffectRef;
  upstream: Socket;
}

/**
 * CONNECT: bytes both ways between the guest and the host that it names. What the rules call `tls` must begin with a
 * ClientHello for that host, what they call `tcp` may be anything; the first rule of the former that fits goes before the
 * latter. A refusal before the tunnel is open is an HTTP answer, one afterwards resets the guest's connection. Resolves when
 * the tunnel has ended. The door tells of no refusal by throwing: what is thrown is a bug.
 * @param head  what the guest has sent after its CONNECT.
 */
export async function openTunnel(
  core: DoorCore,
  clock: Clock,
  call: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  // Whoever hangs up closes as well, and that is listened to; an error without a listener would end the process.
  socket.on("error", () => {});
  try {
    const target = readAuthority(core, call.url ?? "");
    const admitted = await core.admit({ target, method: "CONNECT" });
    const opened = await openEffect(core, clock, {
      admitted,
      guest: socket,
      needs_approval: isHeldByPeople(core.who.view.contract, "egress.request"),
    });
    if (opened === undefined) return;
    await carryTunnel(core, clock, opened, socket, head);
  } catch (error) {
    refuse(clock, socket, faultOf(error));
    if (!isGantryError(error)) throw error;
  }
}

/** What both protocols come to is asked of the contract first, so that one call is judged, and counted, once. */
function readAuthority(core: DoorCore, raw: string): Target {
  const of = (protocol: "tls" | "tcp") => {
    const target = parseOrCount(core, raw, protocol);
    const found = matchEgress(core.who.view.contract.egress, { ...target, method: "CONNECT" });
    const reached = "stopped" in found ? DIMENSIONS.indexOf(found.stopped) : DIMENSIONS.length;
    return { target, reached };
  };
  const [tls, tcp] = [of("tls"), of("tcp")];
  return tcp.reached > tls.reached ? tcp.target : tls.target;
}

function parseOrCount(core: DoorCore, raw: string, protocol: "tls" | "tcp"): Target {
  try {
    return parseAuthority(raw, protocol);
  } catch (error) {
    core.count({ host: "?", method: "CONNECT", verdict: "denied", code: faultOf(error).code });
    throw error;
  }
}

/**
 * From a call that was let out to a connection for it: the intent is durable before anything leaves. Ends the call by
 * itself when it comes to nothing.
 * @returns undefined: the guest is gone.
 * @throws what the guest is to be told.
 */
export async function openEffect(
  core: DoorCore,
  clock: Clock,
  o: { admitted: Admitted; guest: Duplex; needs_approval: boolean; tls?: { host: string } },
): Promise<Opened | undefined> {
  const { admitted, guest } = o;
  let effect: EffectRef | undefined;
  try {
    effect = await intend(core, clock, admitted, o.needs_approval);
    const intended_at = clock.monotonic();
    const { address, target } = admitted.pinned;
    const tls = o.tls === undefined ? {} : { tls: o.tls };
    const upstream = await core.dialer.connect({ address, port: target.port, ...tls, signal: admitted.signal });
    upstream.on("error", () => {});
    // Dialled for exchanges, a socket ends its own side with the other; a tunnel's sides end by themselves.
    upstream.allowHalfOpen = true;
    try {
      if (clock.monotonic() - intended_at > INTENT_AGE_MS_MAX) await core.effects.demandCurrent();
      admitted.signal.throwIfAborted();
    } catch (error) {
      upstream.destroy();
      throw error;
    }
    if (!guest.destroyed) return { admitted, effect, upstream };
    upstream.destroy();
    core.effects.settle(effect, { state: "failed" });
    admitted.end(null);
    return undefined;
  } catch (error) {
    if (effect !== undefined) core.effects.settle(effect, { state: "failed" });
    admitted.end(faultOf(error).code);
    throw error;
  }
}

/**
 * A tunnel is never a repetition of another: nobody can replay what went through it. So each has a key of its own, of the
 * attempt and of the moment, in nanoseconds of this process.
 */
async function intend(core: DoorCore, clock: Clock, admitted: Admitted, needs_approval: boolean): Promise<EffectRef> {
  const { pinned: call, signal } = admitted;
  signal.throwIfAborted();
  const guest_key = `${core.who.epoch}/${clock.now()}/${clock.monotonic()}`;
  const intended = await core.effects.intend({ call, body_digest: NO_BODY, guest_key, needs_approval });
  assert(intended.kind === "send", "a key that was never used before is not replayed");
  return intended.effect;
}

async function carryTunnel(core: DoorCore, clock: Clock, opened: Opened, guest: Duplex, head: Buffer): Promise<void> {
  const { admitted, upstream } = opened;
  const { target } = admitted.pinned;
  const gate = new TunnelGate(target, clock, (late) => relay.stop(late));
  const tokens = new OwnTokenWatch();
  /** How far tokens are looked for: where a protocol would log in. */
  let window_bytes = CLIENT_HELLO_BYTES_MAX;
  let has_sent = false;
  const out = (bytes: Buffer): Buffer => {
    if (bytes.length === 0) return bytes;
    if (window_bytes > 0) tokens.feed(bytes.subarray(0, window_bytes));
    window_bytes -= bytes.length;
    admitted.sent(bytes.length);
    has_sent = true;
    return bytes;
  };
  const relay = new Relay({
    clock,
    guest,
    upstream,
    outward: { pass: (chunk) => out(gate.pass(chunk)), end: () => out(gate.end()) },
    inward: {
      pass: (chunk) => {
        admitted.received(chunk.length);
        relay.push("upstream", out(gate.answered(chunk)));
        return chunk;
      },
      end: () => Buffer.alloc(0),
    },
  });
  guest.write(headBytes(`HTTP/1.1 ${TUNNEL_STATUS} OK`, []));
  const early = { guest: head, upstream: Buffer.alloc(0) };
  const end = await carry(relay, opened, { guest, early, part: () => reset(guest) });
  gate.close();
  endCall(core, opened, { end, has_sent, status: TUNNEL_STATUS });
}

/**
 * The relay's end; whatever ends the call meanwhile is an end of the relay.
 * @param o.part  takes leave of the guest, told why when the door itself ended it. Before the call's own end, which closes
 *   what belongs to it as if all had been said.
 */
export async function carry(
  relay: Relay,
  { admitted, upstream }: Opened,
  o: { guest: Duplex; early: { guest: Buffer; upstream: Buffer }; part: (reason?: unknown) => void },
): Promise<RelayEnd> {
  const { signal } = admitted;
  const abort = (): void => {
    relay.stop(signal.reason);
    o.part(signal.reason);
  };
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  admitted.add(o.guest);
  admitted.add(upstream);
  relay.start(o.early);
  const end = await relay.ended;
  signal.removeEventListener("abort", abort);
  if (end.kind === "broken") o.part();
  if (end.kind === "stopped" && !signal.aborted) o.part(end.reason);
  return end;
}

/**
 * `done` is a connection that both sides ended in order. Of one that broke off after something went out nobody knows what
 * became of it.
 */
export function endCall(
  core: DoorCore,
  { admitted, effect, upstream }: Opened,
  o: { end: RelayEnd; has_sent: boolean; status: number },
): void {
  const { end, has_sent, status } = o;
  const broken: EffectOutcome = { state: has_sent ? "unknown" : "failed" };
  core.effects.settle(effect, end.kind === "closed" ? { state: "done", status } : broken);
  if (end.kind !== "closed") upstream.destroy();
  admitted.end(codeOf(end), status);
}

function codeOf(end: RelayEnd): string | null {
  switch (end.kind) {
    case "closed":
      return null;
    case "broken":
      // A guest may hang up whenever it likes.
      return end.by === "guest" ? null : egress_errors.INCOMPLETE.code;
    case "stopped":
      return faultOf(end.reason).code;
  }
}

/** Any error as one that may be told. */
export function faultOf(error: unknown): GantryError {
  if (isGantryError(error)) return error;
  return new GantryError(egress_errors.FAULT, {
    detail: "The call could not be made; the log has the reason.",
    internal: error,
  });
}
