import type { SourceCode } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import { GantryError, type Problem } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { LIMIT_NAMES, type LimitTable, RUN_LIMITS } from "../kernel/limits.ts";
import { type Contract, type Isolation, isWeaker } from "../policy/contract.ts";
import {
  input_errors,
  isLimit,
  type Lane,
  limit_errors,
  limitRange,
  type RunRequest,
  WAIT_MS_DEFAULT,
} from "./contract.ts";

/** What a request asks for, every default filled in that needs no contract. */
export interface Intent {
  source: SourceCode;
  /** JSON text. */
  input: string;
  contract: string;
  /** What was asked; undefined leaves it to the contract. */
  isolation: Isolation | undefined;
  /** The session's name; null unless the isolation is `session`. */
  session: string | null;
  /** What was asked, by name. */
  limits: Partial<LimitTable>;
  lane: Lane;
  vars: Record<string, string>;
  snapshot: string | undefined;
  on_busy: "reject" | "delay" | "downgrade";
  wait_ms: number;
  expires_at: number | null;
  retry: "never" | "if_lost";
  why: string | null;
  prompt: string | null;
  /** The environment that it acts on. */
  target: string | null;
  code_signature: string | null;
}

const SINGLE_MODULE = "main.ts";
const CONTRACT_DEFAULT = "scratch";

/** @throws LIMIT_RANGE INPUT_DEPTH */
export function normalise(ask: RunRequest): Intent {
  const wait_ms = ask.wait_ms ?? WAIT_MS_DEFAULT;
  const { session = null } = ask;
  const isolation = ask.isolation ?? (session === null ? undefined : "session");
  assert((isolation === "session") === (session !== null), "a session is named by the runs that have its isolation");
  return {
    source: sourceOf(ask.code),
    input: textOf(ask.input === undefined ? null : ask.input),
    contract: ask.contract ?? CONTRACT_DEFAULT,
    isolation,
    session,
    limits: askedLimits(ask.limits ?? {}),
    lane: ask.lane ?? "interactive",
    vars: ask.vars ?? {},
    snapshot: ask.snapshot,
    on_busy: ask.on_busy ?? (wait_ms === 0 ? "delay" : "reject"),
    wait_ms,
    expires_at: ask.expires_at ?? null,
    retry: ask.retry ?? "never",
    why: ask.why ?? null,
    prompt: ask.prompt ?? null,
    target: ask.target ?? null,
    code_signature: ask.code_signature ?? null,
  };
}

/** What a run gets under a contract: what it asks, else the smaller of default and ceiling. */
export function limitsUnder(contract: Contract, asked: Partial<LimitTable>): LimitTable {
  const given: Partial<LimitTable> = {};
  for (const name of LIMIT_NAMES)
    given[name] = asked[name] ?? Math.min(RUN_LIMITS[name].default, contract.limits[name]);
  return given as LimitTable;
}

/**
 * What a run gets under a contract: what it asks, else the stronger of default and floor. Policy judges what was asked.
 * A default of `session` gives `process` to a run that names no session: there is nobody to share it with.
 */
export function isolationUnder(contract: Contract, asked: Isolation | undefined): Isolation {
  if (asked !== undefined) return asked;
  const { isolation, isolation_floor } = contract;
  const given = isWeaker(isolation, isolation_floor) ? isolation_floor : isolation;
  return given === "session" ? "process" : given;
}

/** @throws INPUT_TOO_LARGE */
export function checkInput(input: string, limits: LimitTable): void {
  const size = Buffer.byteLength(input);
  if (size <= limits.input_bytes_max) return;
  throw new GantryError(input_errors.TOO_LARGE, {
    detail: `The input has ${size} bytes as JSON; at most ${limits.input_bytes_max} are allowed.`,
    problems: [{ at: "/input", text: `has more than ${limits.input_bytes_max} bytes` }],
  });
}

/**
 * Equal for requests that mean the same: the order of members does not count, nor does who vouches for them anew, as a
 * repetition may have to. SHA-256, hex.
 */
export function requestHash({ task: _vouches, ...ask }: RunRequest): string {
  return sha256Hex(textOf(ask, sorted));
}

function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** JSON text. The engine's own writer recurses, so a value that nests too deeply is refused here. */
function textOf(value: unknown, replacer?: (key: string, value: unknown) => unknown): string {
  try {
    return JSON.stringify(value, replacer);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new GantryError(input_errors.DEPTH, {
      detail: "The input is nested more deeply than JSON can be written.",
      problems: [{ at: "/input", text: "is nested too deeply" }],
      cause,
    });
  }
}

function askedLimits(asked: Partial<LimitTable>): Partial<LimitTable> {
  const problems: Problem[] = LIMIT_NAMES.filter(
    (name) => asked[name] !== undefined && !isLimit(name, asked[name]),
  ).map((name) => ({ at: `/limits/${name}`, text: limitRange(name) }));
  if (problems.length === 0) return asked;
  throw new GantryError(limit_errors.RANGE, {
    detail: problems.map(({ at, text }) => `${at} ${text}`).join("; "),
    problems,
  });
}

function sourceOf(code: RunRequest["code"]): SourceCode {
  if ("source" in code) return { entry: SINGLE_MODULE, modules: { [SINGLE_MODULE]: code.source } };
  const modules: SourceCode["modules"] = Object.create(null);
  for (const [name, source] of Object.entries(code.modules)) {
    modules[name] = typeof source === "string" ? source : Buffer.from(source.base64, "base64");
  }
  return { entry: code.entry, modules };
}

/** The sources as one JSON text, for keeping. */
export function encodeSource({ entry, modules }: SourceCode): string {
  const encoded = Object.entries(modules).map(([name, source]) => [
    name,
    typeof source === "string" ? source : { base64: Buffer.from(source).toString("base64") },
  ]);
  return JSON.stringify({ entry, modules: Object.fromEntries(encoded) });
}

export function decodeSource(text: string): SourceCode {
  return sourceOf(JSON.parse(text) as RunRequest["code"]);
}
