import { GantryError, isGantryError } from "../../kernel/errors.ts";
import { errors } from "../contract.ts";

/**
 * What an error means for the transaction that it came in.
 * `unit`: the statement is at fault. `again`: nobody is, the same may succeed. `lost`: the connection is gone, and with
 * it what was not committed. `full`: the disk is. `unreachable`: no connection can be made.
 */
export type PgScope = "unit" | "again" | "lost" | "full" | "unreachable";

export interface PgVerdict {
  scope: PgScope;
  error: GantryError;
}

/** Ends a transaction for a reason that is none of its statements'. */
export class TransactionLost extends Error {
  readonly verdict: PgVerdict;

  constructor(verdict: PgVerdict) {
    super(verdict.error.message);
    this.verdict = verdict;
  }
}

/** Could no connection be made? */
export function isUnreachable(error: unknown): boolean {
  return error instanceof TransactionLost && error.verdict.scope === "unreachable";
}

/** Turns what the adapter says to itself into the error that a room sees. */
export async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof TransactionLost ? error.verdict.error : error;
  }
}

export const UNREACHABLE_DETAIL = "The database cannot be reached at the moment; nothing was written.";
export const PG_FULL_DETAIL = "Nothing can be written until space is freed on the disk of the database.";

/** SQLSTATEs after which the same transaction may succeed (PostgreSQL 15, Appendix A). */
const AGAIN = new Set([
  "40001", // serialization_failure
  "40P01", // deadlock_detected
  "55P03", // lock_not_available: another process has the turn for too long
  "26000", // invalid_sql_statement_name: a pooler gave us another session
]);
/** The server ends the session with these. */
const ENDED = new Set(["57P01", "57P02", "57P03", "57P04", "57P05", "25P03"]);
const QUERY_CANCELED = "57014";
const DISK_FULL = "53100";

/** A plan that a change of the schema by another process has made unfit; a new session makes a new one. */
function isStalePlan(code: string, message: string): boolean {
  return code === "0A000" && message.includes("cached plan");
}

/** @param sql  the statement that failed, for the log. */
export function judgePg(error: unknown, sql?: string): PgVerdict {
  if (error instanceof TransactionLost) return error.verdict;
  if (isGantryError(error)) return { scope: "unit", error };
  const { code, severity, detail, constraint } = error as Record<string, string | undefined>;
  const message = error instanceof Error ? error.message : String(error);
  const internal = { sql, sqlstate: code, message, detail, constraint };
  const made = (scope: PgScope, kind: keyof typeof errors, text: string): PgVerdict => ({
    scope,
    error: new GantryError(errors[kind], { detail: text, internal }),
  });
  // What did not come from the server is the connection's: pg gives those no severity.
  if (severity === undefined || code === undefined || severity === "FATAL" || severity === "PANIC" || ENDED.has(code)) {
    return made("lost", "UNREACHABLE", UNREACHABLE_DETAIL);
  }
  if (isStalePlan(code, message)) return made("lost", "BUSY", "The schema has changed; the unit is tried again.");
  if (AGAIN.has(code)) return made("again", "BUSY", "Other writers of the database were in the way too often.");
  if (code === DISK_FULL) return made("full", "FULL", PG_FULL_DETAIL);
  if (code === QUERY_CANCELED) return made("unit", "DEADLINE", "A statement took too long and was cancelled.");
  switch (code.slice(0, 2)) {
    case "08":
      return made("lost", "UNREACHABLE", UNREACHABLE_DETAIL);
    case "23":
      return made("unit", "CONSTRAINT", "A row breaks a constraint of its table.");
    case "53": // insufficient resources
      return made("unit", "BUSY", "The database lacks memory or connections.");
    case "58": // of the operating system
    case "XX": // internal, or damage that was found
      return made("unit", "UNREACHABLE", "The database cannot do its work; its own log says why.");
    default:
      return made("unit", "STATEMENT", "The statement cannot be run.");
  }
}

/** Why no connection came about, as a sentence without the password. */
export function connectFault(error: unknown, place: string): GantryError {
  const { code } = error as { code?: string };
  const message = error instanceof Error ? error.message : String(error);
  return new GantryError(errors.UNREACHABLE, {
    detail: `The database at ${place} cannot be reached: ${reasonOf(code, message)}.`,
    internal: { code, message },
  });
}

function reasonOf(code: string | undefined, message: string): string {
  switch (code) {
    case "28P01":
      return "it refuses the password";
    case "28000":
      return "it refuses the user (pg_hba.conf)";
    case "3D000":
      return "it has no database of that name";
    case "53300":
      return "it has no connection left (max_connections)";
    case "57P03":
      return "it is starting up or shutting down";
    case "ECONNREFUSED":
    case "ENOENT":
      return "nothing listens there";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "its host has no address";
    default:
      // The text of a TLS fault or of a time that ran out; pg puts no password in its messages.
      return message.replace(/\.$/, "");
  }
}
