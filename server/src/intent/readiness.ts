import type { Compiler, RunnerPool } from "../execution/contract.ts";
import type { Identity } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { gateNames, type Policy, type PolicyView } from "../policy/contract.ts";
import type { Storage } from "../storage/contract.ts";
import { factsOf } from "./approval_facts.ts";
import type { Work } from "./attempts.ts";
import type { Charges } from "./charges.ts";
import type { CodeShelf } from "./code_shelf.ts";
import { QUEUE_AGE_MS } from "./contract.ts";
import { judgeRun } from "./decide.ts";
import type { RunDoors } from "./doors.ts";
import type { Live } from "./live.ts";
import type { Outward } from "./passage.ts";
import type { Warrant } from "./recorder.ts";
import { deniedRow, endedWithout } from "./rows.ts";
import { findRun, type RunRow } from "./store.ts";

export interface ReadinessDeps {
  storage: Storage;
  identity: Pick<Identity, "demandActive">;
  policy: Policy;
  charges: Pick<Charges, "refusalOf">;
  compiler: Compiler;
  pool: RunnerPool;
  shelf: CodeShelf;
  doors: Pick<RunDoors, "prepare">;
  clock: Clock;
  log: Logger;
  node: { serves(): boolean };
}

/** What a run that waited is started with. */
export interface Ready {
  row: RunRow;
  work: Work;
  warrant: Warrant;
  outward: Outward | undefined;
}

type Allowed = Pick<Ready, "warrant" | "outward"> & { view: PolicyView };

/**
 * Asks everything again just before a run starts that has waited, for a slot or for people: whether those in its chain
 * still may, what policy says now, what of its budgets is left; and reads what it needs. What people approved is compared
 * later, in the unit that starts it.
 * @returns what the run is started with, or the row that it ends with; undefined when it is another's now.
 */
export async function readyOf(d: ReadinessDeps, live: Live): Promise<Ready | RunRow | undefined> {
  const { storage, clock } = d;
  const row = await findRun(storage, live.row.id);
  if (row === undefined || !isHeld(row, live) || !d.node.serves()) return undefined;
  const now = clock.now();
  if (live.abort.signal.aborted) return cancelledRow(row, now, live);
  // The clocks of an approval are judged with it.
  if (row.approval === null && waitUntil(row, row.queued_at ?? row.created_at) <= now) {
    return endedWithout(row, now, "expired");
  }
  const allowed = await allowedOf(d, row);
  return "warrant" in allowed ? workOf(d, row, allowed) : allowed;
}

/** As it ends when somebody has asked for its end. */
export function cancelledRow(row: RunRow, now: number, by: Pick<Live, "cancelled_by" | "override">): RunRow {
  return { ...endedWithout(row, now, "cancelled"), cancelled_by: by.cancelled_by, override: by.override };
}

async function allowedOf(d: ReadinessDeps, row: RunRow): Promise<Allowed | RunRow> {
  const { storage, identity, policy, clock, pool } = d;
  try {
    await identity.demandActive(storage, row.tenant, row.chain);
    const view = await policy.open(row.tenant, row.contract, row.approval === null ? row.snapshot : undefined);
    const warrant = warrantOf(row, view);
    // Under another state than the approved one nothing is decided anew: the comparison says what has changed.
    if (row.approval !== null && view.snapshot !== row.snapshot) return { warrant, view, outward: undefined };
    const { carries = [], gate } = row.facts ?? {};
    const gates = gate === undefined ? {} : { gates: gateNames(gate.name) };
    const judged = judgeRun(view, row, { limits: row.limits, carries, ...gates }, pool);
    if (judged.kind === "deny") return deniedRow(row, clock.now(), judged.denial);
    assert(judged.kind === "allow", "what was approved or needed nobody is allowed under the same snapshot");
    const refusal = await d.charges.refusalOf(row, view);
    if (refusal !== undefined) return deniedRow(row, clock.now(), refusal);
    return { warrant, view, outward: await d.doors.prepare(row, view) };
  } catch (error) {
    // The state that the run was accepted under is gone: it may not start under another.
    if (isGantryError(error) && error.kind.whose !== "gantry") return deniedRow(row, clock.now(), error);
    throw error;
  }
}

function warrantOf(row: RunRow, view: PolicyView): Warrant {
  const { class: of_class } = view.contract;
  if (row.approval === null) return { class: of_class };
  assert(row.facts?.gate !== undefined, "a run with an approval knows its gate");
  return { class: of_class, facts: factsOf(row, view, row.facts.gate.preview_hash) };
}

async function workOf(d: ReadinessDeps, row: RunRow, { warrant, view, outward }: Allowed): Promise<Ready | RunRow> {
  const { storage, shelf, compiler, clock, log } = d;
  try {
    const code = await compiler.compile(await shelf.read(row.tenant, row.code_hash), row.limits);
    assert(code.hash === row.code_hash, "kept sources still have the hash that names them");
    return { row, work: { code, input: await inputOf(row, storage.blobs), view }, warrant, outward };
  } catch (error) {
    log.error({ run: row.id, error }, "a run that waited could not be made ready");
    const detail = "What the run needs could not be made ready after it had waited.";
    return endedWithout(row, clock.now(), isGantryError(error) ? "capacity" : "runner_lost", detail);
  }
}

/** Does the run wait in this node's memory, as the node believes? */
export function isHeld(row: RunRow | undefined, live: Live): boolean {
  return row?.state === "queued" && row.holder === live.holder;
}

async function inputOf(row: RunRow, blobs: Storage["blobs"]): Promise<string> {
  if (row.input !== null) return row.input;
  const content = row.input_blob === null ? undefined : await blobs.get(row.input_blob);
  assert(content !== undefined, "an input is in its row or in a blob that is kept");
  return Buffer.from(content).toString("utf8");
}

/**
 * When a run that waits for a slot since `since` ends `expired`. One that people have approved waits as long as their
 * approval holds: they should not have to decide again because every slot was taken for a moment.
 */
export function waitUntil(row: RunRow, since: number): number {
  const age_ms = row.facts?.gate?.execute_before_ms ?? QUEUE_AGE_MS[row.lane];
  return Math.min(since + age_ms, row.expires_at ?? Number.MAX_SAFE_INTEGER);
}
