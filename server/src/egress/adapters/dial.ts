import { isIP, type LookupFunction, type Socket, connect as tcpConnect } from "node:net";
import { checkServerIdentity, type SecureContext, connect as tlsConnect } from "node:tls";
import ipaddr from "ipaddr.js";
import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { EGRESS_CONNECT_MS_MAX } from "../contract.ts";
import { connectFault, timeFault } from "./faults.ts";

export interface DialParts {
  clock: Clock;
  /** Whom certificates are believed from; undefined: Node's own list. */
  trusted: SecureContext | undefined;
  translate: (address: string) => string;
}

export interface DialTo {
  /** IPv4 or IPv6 without brackets; never a name. */
  address: string;
  port: number;
  /** The name that the certificate must be for, or an address, which then is in the certificate. */
  tls?: { host: string };
  signal?: AbortSignal;
}

export interface Dialled {
  /** What is spoken on. */
  socket: Socket;
  /** What goes over the wire: the same, or what TLS stands on. */
  wire: Socket;
}

/** Node asks for no name when it is given an address; should that ever change, this makes it an error. */
const lookupNothing: LookupFunction = (_name, _options, callback) =>
  callback(new Error("an address was looked up"), "", 0);

/**
 * A connected socket whose far end is exactly `address`, within `EGRESS_CONNECT_MS_MAX`. The far end is compared before a
 * byte is sent to it. The caller must listen for errors in the same turn.
 * @throws EGRESS_UPSTREAM EGRESS_TLS EGRESS_TIME, or the reason of the signal
 */
export async function dial(parts: DialParts, to: DialTo): Promise<Dialled> {
  const address = parts.translate(to.address);
  assert(isIP(address) !== 0, "only addresses that were judged are dialled");
  const { port, tls, signal } = to;
  signal?.throwIfAborted();
  const host = tls?.host ?? to.address;
  const place = { host: address, port, autoSelectFamily: false, lookup: lookupNothing, noDelay: true };
  const wire = tcpConnect(place);
  return new Promise((resolve, reject) => {
    let socket = wire;
    const fail = (error: unknown): void => {
      settle();
      for (const each of [socket, wire]) {
        each.on("error", nobodyListens);
        each.destroy();
      }
      reject(error);
    };
    const failed = (error: Error): void => fail(connectFault(host, error));
    const closed = (): void => failed(Object.assign(new Error("closed"), { code: "ECONNRESET" }));
    const aborted = (): void => fail(signal?.reason);
    const late = (): void => fail(timeFault(`${host} took longer than ${EGRESS_CONNECT_MS_MAX} ms to connect.`));
    const connected = (): void => {
      if (!isSame(wire.remoteAddress, address) || wire.remotePort !== port) {
        failed(Object.assign(new Error("the far end is another one"), { code: "ADDRESS_DIFFERS" }));
      } else if (tls === undefined) done();
      else {
        wire.off("error", failed).off("close", closed).on("error", nobodyListens);
        socket = secure(parts, wire, tls.host).on("error", failed).on("close", closed).on("secureConnect", done);
      }
    };
    const done = (): void => {
      settle();
      resolve({ socket, wire });
    };
    const cancel = parts.clock.after(EGRESS_CONNECT_MS_MAX, late);
    const settle = (): void => {
      cancel();
      signal?.removeEventListener("abort", aborted);
      socket.off("error", failed).off("close", closed).off("connect", connected).off("secureConnect", done);
    };
    wire.on("error", failed).on("close", closed).on("connect", connected);
    signal?.addEventListener("abort", aborted);
  });
}

/** What a socket still has to say of a connection that nobody has, or that speaks through another. */
function nobodyListens(): void {}

function secure({ trusted }: DialParts, wire: Socket, host: string): Socket {
  const name = host.replace(/^\[|\]$/g, "");
  return tlsConnect({
    socket: wire,
    // RFC 6066, 3: a name only, never an address.
    servername: isIP(name) === 0 ? name : "",
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.2",
    rejectUnauthorized: true,
    checkServerIdentity: (_name, certificate) => checkServerIdentity(name, certificate),
    ...(trusted === undefined ? {} : { secureContext: trusted }),
  });
}

function isSame(a: string | undefined, b: string): boolean {
  if (a === b) return true;
  if (a === undefined || !ipaddr.isValid(a)) return false;
  return ipaddr.parse(a).toNormalizedString() === ipaddr.parse(b).toNormalizedString();
}
