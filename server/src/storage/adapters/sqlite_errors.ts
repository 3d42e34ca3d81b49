import { GantryError, isGantryError } from "../../kernel/errors.ts";
import { errors } from "../contract.ts";

type Code = keyof typeof errors;

/** An error as it crosses between threads. */
export interface WireError {
  code: Code;
  detail: string;
  internal?: unknown;
}

/**
 * What an error of the engine means.
 * `unit`: the statement is at fault. `full`: the disk is. `fatal`: the state of the file is unknown.
 */
export type Verdict = { scope: "unit" | "full" | "fatal"; error: WireError };

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html). */
const SQLITE = { ERROR: 1, BUSY: 5, READONLY: 8, FULL: 13, TOOBIG: 18, CONSTRAINT: 19, MISMATCH: 20, RANGE: 25 };
/** SQLITE_IOERR_SHMSIZE: the shared memory file could not grow, which is what a full disk looks like from there. */
const IOERR_SHMSIZE = 10 | (19 << 8);

const NAMES = Object.fromEntries(Object.entries(errors).map(([name, kind]) => [kind.code, name as Code]));

export function wireOf(error: GantryError): WireError | undefined {
  const code = NAMES[error.kind.code];
  return code && { code, detail: error.parts.detail, internal: error.parts.internal };
}

export function fromWire(wire: WireError): GantryError {
  return new GantryError(errors[wire.code], { detail: wire.detail, internal: wire.internal });
}

/**
 * @param sql  the statement that failed, for the log.
 * Anything that is not known to be harmless is fatal: after a failed sync nobody knows what is on the disk.
 */
export function judge(error: unknown, sql?: string): Verdict {
  if (isGantryError(error)) {
    const wire = wireOf(error);
    if (wire !== undefined) return { scope: "unit", error: wire };
  }
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  const internal = { sql, message: error instanceof Error ? error.message : String(error), errcode };
  if (typeof errcode !== "number") {
    // Both drivers refuse an integer beyond the safe range on their own, before it becomes a row.
    const numeric = code === "ERR_OUT_OF_RANGE" || internal.message.includes("too large to be represented");
    if (numeric) return unit("VALUE", "A column holds an integer beyond the safe range.", internal);
    const refused = code === "ERR_INVALID_ARG_TYPE" || code === "ERR_INVALID_STATE";
    if (refused) return unit("STATEMENT", "The statement cannot be run.", internal);
    return { scope: "fatal", error: { code: "CLOSED", detail: "The database engine failed.", internal } };
  }
  switch (errcode === IOERR_SHMSIZE ? SQLITE.FULL : errcode & 0xff) {
    case SQLITE.CONSTRAINT:
      return unit("CONSTRAINT", "A row breaks a constraint of its table.", internal);
    case SQLITE.ERROR:
    case SQLITE.READONLY:
    case SQLITE.TOOBIG:
    case SQLITE.MISMATCH:
    case SQLITE.RANGE:
      return unit("STATEMENT", "The statement cannot be run.", internal);
    case SQLITE.BUSY:
      return unit("BUSY", "Another connection holds the database.", internal);
    case SQLITE.FULL:
      return { scope: "full", error: { code: "FULL", detail: FULL_DETAIL, internal } };
    default:
      return { scope: "fatal", error: { code: "CLOSED", detail: "The database engine failed.", internal } };
  }
}

export const FULL_DETAIL = "Nothing can be written until space is freed on the disk of the data directory.";

function unit(code: Code, detail: string, internal: unknown): Verdict {
  return { scope: "unit", error: { code, detail, internal } };
}
