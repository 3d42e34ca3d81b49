import { GantryError, isGantryError } from "../../kernel/errors.ts";
import { errors as storage_errors } from "../../storage/contract.ts";
import { egress_errors } from "../contract.ts";

/** A guarded statement met another state than it expected: somebody else was first. */
export function isConflict(error: unknown): boolean {
  return isGantryError(error) && error.code === storage_errors.CONFLICT.code;
}

/** What the store or the ledger refused becomes EGRESS_LEDGER: nothing leaves that cannot be recorded. A fault of ours stays one. */
export function unrecorded(error: unknown): unknown {
  if (!isGantryError(error) || !/^(STORAGE|EVIDENCE)_/.test(error.code)) return error;
  if (error.kind.status === 500) return error;
  return new GantryError(egress_errors.LEDGER, {
    detail: "The call has to be recorded before it is made, and nothing can be recorded at the moment. Try it later.",
    retry_after_ms: 1_000,
    internal: error,
    cause: error,
  });
}

/** The result of `work`. @throws as it does, but EGRESS_LEDGER when the store or the ledger is what failed. */
export async function recording<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw unrecorded(error);
  }
}
