import type { Duplex } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { type GantryError, problemOf } from "../../kernel/errors.ts";
import { EGRESS_IDLE_MS_MAX } from "../contract.ts";
import type { HeaderList } from "../parts.ts";
import { verdictHeader } from "./problem.ts";

/** Headers go over the wire byte for byte as Node's parser gave them: one byte for each character. */
export function headBytes(first_line: string, headers: HeaderList): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${first_line}\r\n${lines.join("")}\r\n`, "latin1");
}

/** A refusal, or a failure, where the answer would have been: a problem document, after which the connection ends. */
export function refuse(clock: Clock, guest: Duplex, error: GantryError): void {
  const body = Buffer.from(JSON.stringify(problemOf(error)));
  const headers: HeaderList = [
    ["content-type", "application/problem+json"],
    ["gantry-egress", verdictHeader(error)],
  ];
  answerWhole(clock, guest, { status: error.kind.status, headers, body });
}

/**
 * One whole answer, after which the connection ends. What the guest still sends is read and dropped: a connection that is
 * closed over unread bytes is reset, which may cost the guest the answer. One that does not close is destroyed after
 * `EGRESS_IDLE_MS_MAX`.
 */
export function answerWhole(
  clock: Clock,
  guest: Duplex,
  o: { status: number; headers: HeaderList; body: Buffer; bodiless?: boolean },
): void {
  if (guest.destroyed) return;
  const length: HeaderList = o.bodiless === true ? [] : [["content-length", String(o.body.length)]];
  const headers: HeaderList = [...o.headers, ...length, ["connection", "close"]];
  const cancel = clock.after(EGRESS_IDLE_MS_MAX, () => guest.destroy());
  guest.once("close", cancel);
  // The reason phrase may be empty (RFC 9112 4); Node's table of them is no type.
  guest.write(headBytes(`HTTP/1.1 ${o.status} `, headers));
  guest.end(o.body);
  guest.resume();
}

/** Ends a connection so that the other side sees an error and not an end, where its kind can be reset (TCP can). */
export function reset(line: Duplex): void {
  if (line.destroyed) return;
  try {
    if ("resetAndDestroy" in line && typeof line.resetAndDestroy === "function") line.resetAndDestroy();
  } catch {
    // A unix socket, or TLS over one: those have no reset.
  }
  line.destroy();
}
