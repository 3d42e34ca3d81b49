import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../kernel/clock.ts";
import { type GantryError, hasCode } from "../../kernel/errors.ts";
import { EGRESS_HEADERS_MS_MAX, EGRESS_REQUEST_BYTES_MAX, egress_errors } from "../contract.ts";
import { writeRefusal } from "./problem.ts";

/** The guest's end of a call. */
export interface Guest {
  call: IncomingMessage;
  answer: ServerResponse;
}

/**
 * Tells the guest why there is no answer. Once a head has been sent there is no way to say it but to cut the connection:
 * whoever reads on gets an error, never a short success.
 */
export function tellFailure({ call, answer }: Guest, clock: Clock, error: GantryError): void {
  if (answer.headersSent) {
    answer.destroy();
    return;
  }
  if (answer.destroyed) return;
  writeRefusal(answer, error, hasCode(error, egress_errors.BAD_REQUEST));
  takeRest(call, clock);
}

/**
 * What is left of a body that nobody wants is read for a while, so that a guest which still sends can hear the answer and
 * keep its connection; one that sends on and on is cut off.
 */
export function takeRest(call: IncomingMessage, clock: Clock): void {
  if (call.complete || call.destroyed) return;
  let bytes = 0;
  const cut = (): void => void call.socket.destroy();
  const cancel = clock.after(EGRESS_HEADERS_MS_MAX, cut);
  call.once("close", cancel);
  call.once("end", cancel);
  call.on("error", () => {});
  call.on("data", (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes > EGRESS_REQUEST_BYTES_MAX) cut();
  });
  call.resume();
}
