import { lease_errors, secrets_errors } from "../egress/contract.ts";
import { runner_errors } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import { type ErrorKind, GantryError } from "../kernel/errors.ts";
import { contract_errors, policy_errors } from "../policy/contract.ts";
import type { Blobs } from "../storage/contract.ts";
import {
  isolation_errors,
  RETRY_AFTER_MS_MIN,
  type RetryClass,
  type RunState,
  type RunView,
  run_errors,
  type Termination,
} from "./contract.ts";
import type { RunRow } from "./store.ts";

const RETRY_CLASSES: Record<Termination, RetryClass> = {
  completed: "guest",
  threw: "guest",
  load_failed: "guest",
  cpu_exceeded: "guest",
  memory_exceeded: "guest",
  wall_exceeded: "timeout",
  output_exceeded: "guest",
  log_exceeded: "guest",
  denied: "policy",
  approval_declined: "policy",
  expired: "timeout",
  cancelled: "guest",
  capacity: "capacity",
  node_lost: "capacity",
  runner_lost: "capacity",
};

/** Which of a caller's policies for repeating fits an end. */
export function retryClass(termination: Termination): RetryClass {
  return RETRY_CLASSES[termination];
}

const ms = (us: number | null) => (us ?? 0) / 1_000;

/** What a row says to its tenant, without its result. @param state  what memory knows better than the row. */
export function viewOf(row: RunRow, state: RunState = row.state): RunView {
  return {
    id: row.id,
    state,
    contract: { name: row.contract, version: row.contract_version },
    snapshot: row.snapshot,
    lane: row.lane,
    isolation: row.isolation,
    ...(row.session === null ? {} : { session: row.session }),
    code_hash: row.code_hash,
    limits: row.limits,
    attempt: row.attempt,
    created_at: row.created_at,
    chain: row.chain.map(({ actor, kind }) => ({ actor, kind })),
    evidence: { entries: row.entries },
    ...gateOf(row),
    ...treeOf(row),
    ...(row.state === "ended" ? endOf(row) : {}),
  };
}

function gateOf({ target, approval, facts, state }: RunRow): Partial<RunView> {
  const view: Partial<RunView> = target === null ? {} : { target };
  if (approval === null || facts?.gate === undefined) return view;
  view.approval = approval;
  view.statement_hash = facts.gate.statement_hash;
  if (state === "waiting_approval") {
    view.next_steps = [{ kind: "command", text: "A human approves it", command: `gantry approve ${approval}` }];
  }
  return view;
}

function treeOf({ parent, root, depth }: RunRow): Partial<RunView> {
  return {
    ...(parent === null ? {} : { parent }),
    ...(root === null ? {} : { root }),
    ...(depth === null ? {} : { depth }),
  };
}

function endOf(row: RunRow): Partial<RunView> {
  const { termination } = row;
  assert(termination !== null, "an ended run has a termination");
  const executed = row.startup_us !== null;
  return {
    termination,
    retry_class: retryClass(termination),
    ...(row.error === null ? {} : { error: row.error }),
    ...(row.http === null ? {} : { http: row.http }),
    ...(row.jail === null ? {} : { jail: row.jail }),
    ...(row.cold === null ? {} : { cold: row.cold }),
    ...(row.egress === null || row.egress.length === 0 ? {} : { egress: row.egress }),
    ...(row.blocked === null || row.blocked.length === 0 ? {} : { blocked: row.blocked }),
    ...(executed
      ? {
          usage: {
            cpu_ms: ms(row.cpu_us),
            rss_peak_mb: row.rss_peak_mb ?? 0,
            log_bytes: row.log_bytes ?? 0,
            log_dropped: row.log_dropped ?? 0,
            output_bytes: row.output_bytes ?? 0,
          },
          timing: {
            queued_ms: Math.max(0, (row.admitted_at ?? row.created_at) - row.created_at),
            startup_ms: ms(row.startup_us),
            completion_ms: ms(row.completion_us),
          },
        }
      : {}),
  };
}

/** The view with its result, from the row or from the blob that it names. */
export async function fullView(row: RunRow, blobs: Blobs): Promise<RunView> {
  const view = viewOf(row);
  if (row.state !== "ended" || row.termination !== "completed") return view;
  let text = row.result;
  if (row.result_blob !== null) {
    const content = await blobs.get(row.result_blob);
    assert(content !== undefined, "a result that a row names is kept");
    text = Buffer.from(content).toString("utf8");
  }
  assert(text !== null, "a completed run has a result");
  return { ...view, result: JSON.parse(text) };
}

/**
 * What `submit` throws for a run that ended without ever having had a slot's use: the recorded reasons, with the run.
 * Undefined for every end that is a normal answer.
 */
export function refusalOf(row: RunRow): GantryError | undefined {
  const { termination, error, id: run, snapshot } = row;
  if (termination === "denied") {
    const kind = denialKind(error?.code);
    const detail = error?.detail ?? kind.title;
    return new GantryError(kind, { detail, run, snapshot, reasons: error?.reasons ?? [] });
  }
  if (termination === "capacity") {
    const detail = error?.detail ?? run_errors.CAPACITY.title;
    const reasons = error === null ? [] : [{ code: error.code, detail: error.detail }];
    const busy = error?.code === runner_errors.SESSION_BUSY.code;
    const kind = busy ? runner_errors.SESSION_BUSY : run_errors.CAPACITY;
    return new GantryError(kind, { detail, run, reasons, retry_after_ms: RETRY_AFTER_MS_MIN });
  }
  return undefined;
}

/** The kind that a denial is answered with: its first reason's, where that has a kind of its own. */
export function denialKind(code: string | undefined): ErrorKind {
  return DENIALS.find((each) => each.code === code) ?? run_errors.DENIED;
}

const DENIALS = [
  lease_errors.APPROVAL,
  secrets_errors.UNKNOWN,
  contract_errors.LIMIT,
  policy_errors.NO_PERMIT,
  policy_errors.EVAL_ERROR,
  isolation_errors.FLOOR,
  run_errors.DENIED,
];
