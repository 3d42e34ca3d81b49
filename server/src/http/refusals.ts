import { type ErrorKind, GantryError, isGantryError, problemOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { errors, REQUEST_ID_HEADER } from "./contract.ts";

/** An answer as it goes out. */
export interface Refusal {
  status: ErrorKind["status"];
  headers: Record<string, string>;
  /** A problem document (RFC 9457). */
  text: string;
}

/** What nobody threw on purpose is a fault of ours. */
export function asRefused(error: unknown): GantryError {
  if (isGantryError(error)) return error;
  return new GantryError(errors.INTERNAL, { detail: errors.INTERNAL.title, cause: error });
}

/** The last step of every refusal. What is ours to repair, and what is internal, goes to the log under the same id. */
export function refusalOf(log: Logger, error: GantryError, request: string | undefined): Refusal {
  const { kind, parts } = error;
  if (kind.status >= 500 || parts.internal !== undefined) {
    // The stack of a refusal says nothing: it was thrown where it should be.
    const fields = { request, code: kind.code, internal: parts.internal, error: parts.cause };
    if (kind.whose === "gantry") log.error(fields, parts.detail);
    else log.warn(fields, parts.detail);
  }
  const headers: Record<string, string> = { "content-type": "application/problem+json" };
  if (request !== undefined) headers[REQUEST_ID_HEADER] = request;
  if (parts.retry_after_ms !== undefined) headers["retry-after"] = String(Math.ceil(parts.retry_after_ms / 1_000));
  if (kind.status === 401) headers["www-authenticate"] = "Bearer";
  return { status: kind.status, headers, text: JSON.stringify(problemOf(error, request)) };
}
