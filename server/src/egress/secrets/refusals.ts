import { GantryError } from "../../kernel/errors.ts";
import { lease_errors, secrets_errors } from "../contract.ts";
import type { KeyWrap } from "./key_wrap.ts";

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

/** A secret is wrapped with this key: it must be here. @throws SECRETS_KEY_MISMATCH */
export function demandKeys({ key_ids }: KeyWrap, key_id: string): void {
  if (key_ids.includes(key_id)) return;
  throw new GantryError(secrets_errors.KEY_MISMATCH, {
    detail:
      `The database has secrets that were sealed with the key ${key_id}; the key here is ${key_ids.join(" or ")}. Copy the ` +
      "folder keys from the data directory of another node of this database, or from its backup.",
  });
}
