import type { ServerResponse } from "node:http";
import { type GantryError, problemOf } from "../../kernel/errors.ts";

/** The value of `gantry-egress` in an answer that is the door's own. */
export function verdictHeader(error: GantryError): string {
  return `${error.kind.whose === "policy" ? "denied" : "failed"}; code=${error.code}`;
}

/**
 * Writes a refusal in the place of an answer: a problem document (RFC 9457), and its code in a header for those who do
 * not read bodies. @param close  the connection cannot be trusted to carry another call.
 */
export function writeRefusal(answer: ServerResponse, error: GantryError, close: boolean): void {
  const body = Buffer.from(JSON.stringify(problemOf(error)));
  answer.writeHead(
    error.kind.status,
    [
      ["content-type", "application/problem+json"],
      ["content-length", String(body.byteLength)],
      ["gantry-egress", verdictHeader(error)],
      ...(close ? [["connection", "close"] as [string, string]] : []),
    ].flat(),
  );
  answer.end(body);
}
