/**
 * The one error type of the project, without a transport: `http/` turns it into
 * `application/problem+json` at the last step, `intent/` into the `error` of a run.
 */

/** May the same request succeed later? `safe`: repeat it at once; `later`: after a wait; `never`: change it first. */
export type Retry = "never" | "later" | "safe";
/** Who can make it right. */
export type Whose = "caller" | "policy" | "capacity" | "gantry";

/** One row of a room's code table. */
export interface ErrorKind {
  readonly code: string;
  /** The HTTP status that it becomes. */
  readonly status: number;
  readonly retry: Retry;
  readonly whose: Whose;
  /** A sentence that is true of every occurrence. */
  readonly title: string;
}

export interface Reason {
  code: string;
  detail: string;
}

/** Where the input is wrong: `at` is a file or a JSON pointer, line and column count from 1. */
export interface Problem {
  at: string;
  line?: number;
  column?: number;
  text: string;
}

export const NEXT_STEPS = ["command", "change", "wait", "read", "contract.egress.rule"] as const;

export interface NextStep {
  kind: (typeof NEXT_STEPS)[number];
  text: string;
  command?: string;
  /** What would have to stand in the contract. */
  rule?: Record<string, unknown>;
  /** What has to happen before: a new version of the contract. */
  needs?: "contract-change";
}

/** What a caller may see. `internal` goes to the log with the request's id and never to a caller. */
export interface ErrorParts {
  /** What was wrong, where, and what would be right. */
  detail: string;
  internal?: unknown;
  reasons?: Reason[];
  problems?: Problem[];
  next_steps?: NextStep[];
  run?: string;
  snapshot?: string;
  retry_after_ms?: number;
  cause?: unknown;
}

/** The members of a problem document that do not depend on the transport (RFC 9457). */
export interface ProblemBody {
  type: string;
  status: number;
  code: string;
  title: string;
  detail: string;
  request?: string;
  run?: string;
  snapshot?: string;
  reasons?: Reason[];
  problems?: Problem[];
  next_steps?: NextStep[];
  retry_after_ms?: number;
}

export class GantryError extends Error {
  readonly kind: ErrorKind;
  readonly parts: ErrorParts;

  constructor(kind: ErrorKind, parts: ErrorParts) {
    super(`${kind.code}: ${parts.detail}`, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = "GantryError";
    this.kind = kind;
    this.parts = parts;
  }

  get code(): string {
    return this.kind.code;
  }
}

/**
 * Builds one noun's code table: `defineErrors("CODE", { SYNTAX: {...} }).SYNTAX.code === "CODE_SYNTAX"`.
 * A room calls it once for each noun that it owns.
 */
export function defineErrors<K extends string>(
  noun: string,
  table: Record<K, Omit<ErrorKind, "code">>,
): { readonly [P in K]: ErrorKind } {
  const kinds = {} as { [P in K]: ErrorKind };
  for (const key of Object.keys(table) as K[]) kinds[key] = { code: `${noun}_${key}`, ...table[key] };
  return kinds;
}

/** Recognised by shape and not by class, so that it survives threads, processes and module copies. */
export function isGantryError(error: unknown): error is GantryError {
  if (typeof error !== "object" || error === null || !("kind" in error) || !("parts" in error)) return false;
  const { kind } = error;
  return typeof kind === "object" && kind !== null && "code" in kind && typeof kind.code === "string";
}

export function hasCode(error: unknown, kind: ErrorKind): error is GantryError {
  return isGantryError(error) && error.kind.code === kind.code;
}

/** The part of an error that a caller may read. `request` is the correlation id of the log line with the rest. */
export function problemOf(error: GantryError, request?: string): ProblemBody {
  const { detail, reasons, problems, next_steps, run, snapshot, retry_after_ms } = error.parts;
  const { code, status, title } = error.kind;
  return {
    type: `urn:gantry:error:${code}`,
    status,
    code,
    title,
    detail,
    ...(request === undefined ? {} : { request }),
    ...(run === undefined ? {} : { run }),
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(reasons === undefined ? {} : { reasons }),
    ...(problems === undefined ? {} : { problems }),
    ...(next_steps === undefined ? {} : { next_steps }),
    ...(retry_after_ms === undefined ? {} : { retry_after_ms }),
  };
}
