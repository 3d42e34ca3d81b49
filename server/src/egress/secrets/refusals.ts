import { GantryError } from "../../kernel/errors.ts";
import { lease_errors, secrets_errors } from "../contract.ts";

/** No secret of the tenant has one of these names, and how each is set. */
export function unknownSecret(...names: string[]): GantryError {
  const what = names.length === 1 ? "secret" : "secrets";
  return new GantryError(secrets_errors.UNKNOWN, {
    detail: `The tenant has no ${what} called ${names.join(", ")}: set what is missing, or name another.`,
    next_steps: names.map((name) => ({
      kind: "command" as const,
      text: `Set the secret ${name}`,
      command: `gantry secrets set ${name}`,
    })),
  });
}

/** @param why  where the lease stands, and where it would be good. */
export function outOfScope(why: string): GantryError {
  return new GantryError(lease_errors.SCOPE, { detail: `The call carries a lease that is not for it. ${why}` });
}

export function revokedLease(why: string): GantryError {
  return new GantryError(lease_errors.REVOKED, { detail: why });
}
