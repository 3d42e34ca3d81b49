import { GantryError, isGantryError } from "../../kernel/errors.ts";
import type { Logger } from "../../kernel/log.ts";
import { egress_errors, lease_errors } from "../contract.ts";

const FAILURES = new Set(
  Object.values(egress_errors)
    .filter(({ whose }) => whose !== "policy")
    .map(({ code }) => code),
);

/** Was a call with this end stopped by what holds of it, rather than by what happened to it? */
export function isDenial(code: string): boolean {
  return !FAILURES.has(code);
}

/** Any error as one that may be told. What is none of ours is a fault of ours, and goes to the log. */
export function toFault(error: unknown, log: Logger): GantryError {
  if (isGantryError(error)) return error;
  log.error({ error }, "a door failed");
  return new GantryError(egress_errors.FAULT, {
    detail: "The call could not be made; the log has the reason.",
    internal: error,
  });
}

export function runEnded(): GantryError {
  return new GantryError(egress_errors.TIME, { detail: "The run has ended, and its calls with it." });
}

export function pastDeadline(): GantryError {
  return new GantryError(egress_errors.TIME, { detail: "The run has used up its time, and its calls with it." });
}

export function pastWallTime(wall_ms: number): GantryError {
  return new GantryError(egress_errors.TIME, { detail: `The call took longer than the ${wall_ms} ms of its rule.` });
}

export function fenced(): GantryError {
  return new GantryError(egress_errors.FENCED, {
    detail: "Another attempt of this work has begun, so that this one calls nobody any more.",
  });
}

export function leaseRevoked(host: string): GantryError {
  return new GantryError(lease_errors.REVOKED, { detail: `The lease of this call to ${host} was revoked meanwhile.` });
}

export function idle(what: string, ms: number): GantryError {
  return new GantryError(egress_errors.TIME, { detail: `${what} for longer than ${ms} ms.` });
}

export function hungUp(): GantryError {
  return new GantryError(egress_errors.INCOMPLETE, { detail: "The guest hung up before the answer was whole." });
}

export function badRequest(detail: string): GantryError {
  return new GantryError(egress_errors.BAD_REQUEST, { detail });
}
