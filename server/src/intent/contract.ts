import { z } from "@hono/zod-openapi";
import { code_errors } from "../execution/contract.ts";
import type { Principal, VerifiedTask } from "../identity/contract.ts";
import { isStorableText } from "../kernel/canonical.ts";
import type { ErrorKind } from "../kernel/errors.ts";
import { LIMIT_NAMES, type LimitName, RUN_LIMITS } from "../kernel/limits.ts";
import { ISOLATIONS } from "../policy/contract.ts";
import { egressRow, type runCalls } from "./call_shapes.ts";
import { next_step, runError } from "./error_shape.ts";
import { limit_errors } from "./errors.ts";

export { idempotency_errors, input_errors, isolation_errors, limit_errors, run_errors } from "./errors.ts";

/** How long a request may wait for a run's end. */
export const WAIT_MS_MAX = 60_000;
export const WAIT_MS_DEFAULT = 30_000;
/** Runs of one tenant that hold a slot at once. */
export const TENANT_CONCURRENCY_MAX = 8;
/** Runs of one tenant that may wait for a slot, by lane. */
export const QUEUE_INTERACTIVE_MAX = 100;
export const QUEUE_BATCH_MAX = 1_000;
/** Runs of all tenants that may wait for a slot on one node. */
export const QUEUE_NODE_MAX = 10_000;
/** Of them in the batch lane: who can wait for minutes leaves room for who cannot. */
export const QUEUE_NODE_BATCH_MAX = 8_000;
/** How long a run may wait for a slot before it ends `expired`. */
export const QUEUE_AGE_MS = { interactive: 5_000, batch: 600_000 } as const;
/** Of `LANE_SLOTS` slots handed out while both lanes wait, `LANE_INTERACTIVE` go to the interactive one. */
export const LANE_SLOTS = 5;
export const LANE_INTERACTIVE = 4;
/** Assumed slot time of a run of which nothing is known. */
export const COST_MS_DEFAULT = 250;
/** Weight of the newest slot time in a moving average of them. */
export const COST_WEIGHT = 0.2;
/** Codes, each of one tenant, whose moving average is kept; and contracts, alike. */
export const COST_CODES_MAX = 4_096;
export const COST_CONTRACTS_MAX = 1_024;
/** Run time that each round gives to every tenant that waits. */
export const QUANTUM_MS = 100;
/** What a tenant owes at most for runs that took longer than was guessed. */
export const DEBT_MS_MAX = 60_000;
/** Over how long it is measured how evenly slot time is given. */
export const FAIRNESS_PERIOD_MS = 60_000;
/** Runs that start each other: how far below the first. */
export const SPAWN_DEPTH_MAX = 8;
/** Runs of one tree, the first included. */
export const TREE_RUNS_MAX = 256;
/** CPU time of all ended runs of one tree, after which none is added. */
export const TREE_CPU_MS_MAX = 600_000;
/** How often the refusals past one budget are recorded; those between are counted in the next. */
export const REFUSED_ENTRY_MS = 60_000;
/** Budgets whose refusals are counted one by one. */
export const REFUSED_BUDGETS_MAX = 1_024;
/** How long a node goes by a tenant's settings that it has read. */
export const SETTINGS_FRESH_MS = 5_000;
export const SETTINGS_TENANTS_MAX = 1_024;
/** Over how long the drain rate is measured. */
export const DRAIN_WINDOW_MS = 10_000;
export const RETRY_AFTER_MS_MIN = 1_000;
export const RETRY_AFTER_MS_MAX = 60_000;
/** How long an idempotency key names its run. */
export const RUN_KEY_TTL_MS = 24 * 60 * 60 * 1_000;
/** How often expired keys are deleted. */
export const RUN_KEY_SWEEP_MS = 60 * 60 * 1_000;
export const IDEMPOTENCY_KEY_MAX = 255;
/** Times that a lost run is started, the first included. */
export const ATTEMPTS_MAX = 3;
/** Runners that one attempt may be given: another follows only one that died before the guest was reached. */
export const RUNNER_TRIES_MAX = 3;
/** Characters of a session's name. */
export const SESSION_MAX = 64;
export const SESSION_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** UTF-16 code units of `why`. */
export const WHY_MAX = 2_000;
/** UTF-8 bytes of `prompt`. */
export const PROMPT_BYTES_MAX = 32 * 1024;
/** Characters of a signed task, and of a signature over code. */
export const SIGNATURE_CHARS_MAX = 8 * 1024;
/** Of an environment that runs act on. */
export const TARGET_NAME = /^[a-z][a-z0-9-]{0,62}$/;
export const VARS_MAX = 64;
/** UTF-8 bytes of one value of `vars`. */
export const VAR_BYTES_MAX = 5_120;
export const VAR_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
/** JSON text of a request; room for the largest code in base64 and the largest input. */
export const RUN_BODY_BYTES_MAX = 48 * 1024 * 1024;
export const CONTRACT_NAME = /^[a-z][a-z0-9-]{0,62}$/;
export const RUNS_PAGE_DEFAULT = 50;
export const RUNS_PAGE_MAX = 200;
/** A log is written each so often while lines come, or when so many bytes wait. */
export const LOG_FLUSH_MS = 250;
export const LOG_FLUSH_BYTES = 64 * 1024;
/** Followers of one run's log. */
export const LOG_FOLLOWERS_MAX = 16;
/** Kept characters of what a guest threw. */
export const ERROR_DETAIL_MAX = 4_000;
export const ERROR_STACK_MAX = 16_000;
/** Bytes of `egress` and of `code_facts` in one ledger entry. */
export const ENTRY_PART_BYTES_MAX = 6 * 1024;
/** How often a node says that it lives: three times in the silence that it is allowed. */
export const HEARTBEAT_MS = 5_000;
/** How long a node may be silent before the others take what it has, unless `node_silent_ms` says otherwise. */
export const NODE_SILENT_MS = 15_000;
export const NODE_SILENT_MS_MIN = 1_000;
export const NODE_SILENT_MS_MAX = 300_000;
/** How often a request looks at the row of a run that another node has. */
export const PEER_POLL_MS = 250;
/** How often a node looks for what other nodes want of the runs that it has. */
export const NOTICE_POLL_MS = 500;
/** How long it can be read what one node tells another about a run that has ended. */
export const NOTICE_KEEP_MS = 60_000;
/** How long `cancel` waits for the run's end before it answers with the run as it stands. */
export const CANCEL_WAIT_MS = 5_000;
/** How long `drain` waits for the ends of the runs that it cancelled. */
export const DRAIN_CANCEL_MS = 5_000;
/** How often an end that could not be recorded is tried again. */
export const UNSETTLED_RETRY_MS = 2_000;
/** Hashes of code whose row is known to be there. */
export const CODE_KNOWN_MAX = 4_096;
/** `last_used_at` of a code row is exact to this. */
export const CODE_USED_MS = 60_000;
/** Over how long figures are counted unless one says otherwise, the least and the most. */
export const STATS_WINDOW_MS = 900_000;
export const STATS_WINDOW_MS_MIN = 1_000;
export const STATS_WINDOW_MS_MAX = 86_400_000;
/** Ended runs that one set of figures is counted from: the newest of the window. */
export const STATS_RUNS_MAX = 5_000;
/** Runs whose denials are counted, the newest of the window: those that were denied or called something. */
export const STATS_REFUSALS_MAX = 1_000;
/** What is told per second is so over this time, or over the window when that is shorter. */
export const STATS_RATE_MS = 10_000;

export const TERMINATIONS = [
  "completed",
  "threw",
  "load_failed",
  "cpu_exceeded",
  "memory_exceeded",
  "wall_exceeded",
  "output_exceeded",
  "log_exceeded",
  "denied",
  "approval_declined",
  "expired",
  "cancelled",
  "capacity",
  "node_lost",
  "runner_lost",
] as const;
export type Termination = (typeof TERMINATIONS)[number];
export const RUN_STATES = ["waiting_approval", "queued", "starting", "running", "ended"] as const;
export type RunState = (typeof RUN_STATES)[number];
export const LANES = ["interactive", "batch"] as const;
export type Lane = (typeof LANES)[number];
export type RetryClass = "timeout" | "capacity" | "policy" | "guest";

/** A parsed object without the `undefined` that zod's optional members have by type: JSON knows none. */
export type Exact<T> = T extends readonly unknown[]
  ? { [K in keyof T]: Exact<T[K]> }
  : T extends object
    ? { [K in keyof T]: undefined extends T[K] ? ExactMember<T, K> : Exact<T[K]> }
    : T;
type ExactMember<T, K extends keyof T> = unknown extends T[K] ? T[K] : Exact<Exclude<T[K], undefined>>;

/** Does `value` fit a run's limit of this name? */
export function isLimit(name: LimitName, value: unknown): value is number {
  const { min, max } = RUN_LIMITS[name];
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

/** What is right for a limit, as a sentence. */
export function limitRange(name: LimitName): string {
  return `must be an integer from ${RUN_LIMITS[name].min} to ${RUN_LIMITS[name].max}`;
}

/** An issue of a schema that has a code of its own; `http/` answers with it instead of `REQUEST_INVALID`. */
const coded = (kind: ErrorKind) => ({ params: { kind } });

function limitSchema(name: LimitName) {
  const { min, max } = RUN_LIMITS[name];
  return z
    .custom<number>((value) => isLimit(name, value), { error: limitRange(name), ...coded(limit_errors.RANGE) })
    .openapi({ type: "integer", minimum: min, maximum: max });
}
type LimitSchemas = { [N in LimitName]: ReturnType<typeof limitSchema> };
const limits = z.strictObject(Object.fromEntries(LIMIT_NAMES.map((name) => [name, limitSchema(name)])) as LimitSchemas);

const text = (max: number) => z.string().max(max).refine(isStorableText, "has U+0000 or a lone surrogate");
const bytes = (value: string) => Buffer.byteLength(value) <= VAR_BYTES_MAX;
const fitsPrompt = (value: string) => Buffer.byteLength(value) <= PROMPT_BYTES_MAX;

const modules = z.preprocess(
  (raw, ctx) => {
    // A record schema drops this member silently; the name is refused like any other that is not valid.
    if (typeof raw === "object" && raw !== null && Object.hasOwn(raw, "__proto__")) {
      const message = "is not the name of a module";
      ctx.addIssue({ code: "custom", path: ["__proto__"], message, ...coded(code_errors.NAME) });
    }
    return raw;
  },
  z.record(z.string(), z.union([z.string(), z.strictObject({ base64: z.base64() })])),
);

/** The name of a session, as a request gives it and as a list is narrowed by it. */
export const sessionName = z
  .string()
  .regex(
    SESSION_NAME,
    `has 1 to ${SESSION_MAX} of the letters A-Z and a-z, digits, ".", "_" and "-", and starts with a letter or digit`,
  );

/** Compact serialization (RFC 7515, 7.1). */
const compactJws = z
  .string()
  .max(SIGNATURE_CHARS_MAX)
  .regex(/^[\w-]+\.[\w-]+\.[\w-]+$/, "is not a JWS in compact form");

/** The body of `POST /v1/runs`. Unknown members are refused: what is not built yet is never accepted and ignored. */
export const runRequest = z
  .strictObject({
    code: z.union([z.strictObject({ source: z.string() }), z.strictObject({ entry: z.string(), modules })]),
    input: z.unknown().optional(),
    contract: z.string().regex(CONTRACT_NAME).optional(),
    isolation: z.enum(ISOLATIONS).optional(),
    /** Runs that name the same session may share a process; alone, it asks for the isolation `session`. */
    session: sessionName.optional(),
    lane: z.enum(LANES).optional(),
    limits: limits.partial().optional(),
    vars: z
      .record(z.string().regex(VAR_NAME), z.string().refine(bytes, `is longer than ${VAR_BYTES_MAX} bytes`))
      .refine((vars) => Object.keys(vars).length <= VARS_MAX, `has more than ${VARS_MAX} members`)
      .optional(),
    snapshot: text(128).optional(),
    on_busy: z.enum(["reject", "delay", "downgrade"]).optional(),
    wait_ms: z.number().int().min(0).max(WAIT_MS_MAX).optional(),
    expires_at: z.number().int().min(0).optional(),
    retry: z.enum(["never", "if_lost"]).optional(),
    why: text(WHY_MAX).optional(),
    /** What the agent was told. Kept nowhere but beside the ledger, as the contract's redaction says. */
    prompt: text(PROMPT_BYTES_MAX).refine(fitsPrompt, `is longer than ${PROMPT_BYTES_MAX} bytes`).optional(),
    /** The environment that it acts on, as the contract's `targets` name it. */
    target: z.string().regex(TARGET_NAME, "has 1 to 63 of a-z, 0-9 and -, and starts with a letter").optional(),
    /** A signed task over the contract, the code and the input: stands for the token, and is good once. */
    task: compactJws.optional(),
    /** A signature over the code: who signed it is among its authors. */
    code_signature: compactJws.optional(),
  })
  .superRefine(({ isolation, session }, ctx) => {
    if (isolation === undefined || (isolation === "session") === (session !== undefined)) return;
    const message =
      session === undefined
        ? 'is missing: a run with the isolation "session" names its session'
        : `goes with the isolation "session" and with no other: leave it out, or ask for that instead of "${isolation}"`;
    ctx.addIssue({ code: "custom", path: ["session"], message });
  })
  .openapi("RunRequest");
export type RunRequest = Exact<z.output<typeof runRequest>>;

const count = z.number().int();
export type RunError = Exact<z.output<typeof runError>>;

const header: z.ZodType<[string, string]> = z
  .tuple([z.string(), z.string()])
  .openapi({ type: "array", items: { type: "string" }, minItems: 2, maxItems: 2 });

/** A run as its tenant sees it. In a list, `result` is left out. */
export const runView = z
  .strictObject({
    id: z.string(),
    state: z.enum(RUN_STATES),
    contract: z.strictObject({ name: z.string(), version: count }),
    snapshot: z.string(),
    lane: z.enum(LANES),
    isolation: z.enum(ISOLATIONS),
    session: z.string().optional(),
    code_hash: z.string(),
    limits,
    attempt: count,
    created_at: count,
    /** Who asked for it: accountable principal first. */
    chain: z.array(z.strictObject({ actor: z.string(), kind: z.enum(["human", "agent", "service"]) })),
    termination: z.enum(TERMINATIONS).optional(),
    retry_class: z.enum(["timeout", "capacity", "policy", "guest"]).optional(),
    result: z.unknown().optional(),
    error: runError.optional(),
    http: z.strictObject({ status: count, headers: z.array(header) }).optional(),
    usage: z
      .strictObject({
        cpu_ms: z.number(),
        rss_peak_mb: z.number(),
        log_bytes: count,
        log_dropped: count,
        output_bytes: count,
      })
      .optional(),
    timing: z.strictObject({ queued_ms: z.number(), startup_ms: z.number(), completion_ms: z.number() }).optional(),
    jail: z.enum(["unshare", "bwrap", "none"]).optional(),
    cold: z.boolean().optional(),
    blocked: z.array(z.strictObject({ host: z.string(), method: z.string(), count })).optional(),
    /** What its door let out and what it refused. */
    egress: z.array(egressRow).optional(),
    evidence: z.strictObject({ entries: z.array(z.string()) }),
    target: z.string().optional(),
    /** What people must approve, or have approved, before it starts; and the SHA-256 of what they are shown. */
    approval: z.string().optional(),
    statement_hash: z.string().optional(),
    /** The run that started this one, the first of its tree, and how far below that it is. */
    parent: z.string().optional(),
    root: z.string().optional(),
    depth: count.optional(),
    next_steps: z.array(next_step).optional(),
    position: count.optional(),
    estimated_start_ms: count.optional(),
  })
  .openapi("Run");
export type RunView = Exact<z.output<typeof runView>>;
export type RunCalls = Exact<z.output<typeof runCalls>>;

export const logLine = z
  .strictObject({
    seq: count,
    at: count,
    level: z.enum(["log", "debug", "info", "warn", "error", "runner"]),
    text: z.string(),
  })
  .openapi("LogLine");
export type LogLine = Exact<z.output<typeof logLine>>;

export interface RunQuery {
  /** The `next` of the page before. */
  cursor?: string;
  /** 1 to `RUNS_PAGE_MAX`, default `RUNS_PAGE_DEFAULT`. */
  limit?: number;
  state?: RunState;
  termination?: Termination;
  session?: string;
  /** Only what this run, and what it started, have started. */
  root?: string;
}

export interface Page<T> {
  items: T[];
  next?: string;
}

/** Runs, from the request to the recorded end. Another tenant's run is `RUN_NOT_FOUND` everywhere. */
export interface Runs {
  /**
   * Decides, records, runs, and waits up to `wait_ms` for the end. The run goes on when the caller does not.
   * @param o.key  idempotency key; equal key and request within `RUN_KEY_TTL_MS`: the same run.
   * A run that waits for people is answered at once, and `get` waits for its end.
   * @param o.task  what `ask.task` says, verified; `who` is its issuer.
   * @returns the run; `state` says whether it has ended.
   * @throws LIMIT_RANGE INPUT_TOO_LARGE INPUT_DEPTH IDEMPOTENCY_MISMATCH CONTRACT_UNKNOWN SNAPSHOT_STALE CODE_*
   *   RUN_CONCURRENCY RUN_CAPACITY RUNNER_NO_JAIL RUNNER_SESSION_BUSY EVIDENCE_UNAVAILABLE TASK_HASH_MISMATCH TASK_REPLAYED
   *   GATE_PENDING_MAX; a denial throws its first reason's code.
   */
  submit(who: Principal, ask: RunRequest, o?: { key?: string; task?: VerifiedTask }): Promise<RunView>;
  /** @param wait_ms  how long to wait for the end, at most `WAIT_MS_MAX`. @throws RUN_NOT_FOUND */
  get(who: Principal, id: string, wait_ms?: number): Promise<RunView>;
  /** Newest first, without results. */
  list(who: Principal, query: RunQuery): Promise<Page<RunView>>;
  /**
   * Lines with `seq > after`, in order and without a gap; with `follow` until the run's end.
   * @throws RUN_NOT_FOUND RUN_FOLLOWERS, when called and not while lines are read
   */
  logs(
    who: Principal,
    id: string,
    after: number,
    follow: boolean,
    signal?: AbortSignal,
  ): Promise<AsyncIterable<LogLine>>;
  /** What the run called. @param cursor  the `next` of the page before. @throws RUN_NOT_FOUND EGRESS_BAD_REQUEST */
  calls(who: Principal, id: string, cursor?: string): Promise<RunCalls>;
  /** Ends a run that has not ended; idempotent. @throws RUN_NOT_FOUND */
  cancel(who: Principal, id: string): Promise<RunView>;
}
