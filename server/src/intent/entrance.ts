import { BOOT_FAILURES_MAX, type CompiledCode, type Compiler, type RunnerPool } from "../execution/contract.ts";
import { type Gates, gate_errors, review_errors } from "../gates/contract.ts";
import type { Identity, Principal, VerifiedTask } from "../identity/contract.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import type { Clock } from "../kernel/clock.ts";
import { type ErrorKind, GantryError, hasCode } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ActorId, Ids } from "../kernel/ids.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { ApprovalDraft, GateRule, Policy, PolicyView } from "../policy/contract.ts";
import { type Storage, errors as storage_errors } from "../storage/contract.ts";
import { factsOf } from "./approval_facts.ts";
import type { Charges } from "./charges.ts";
import { demandRunners, type Judgement, judgeRun } from "./decide.ts";
import type { RunDoors } from "./doors.ts";
import { endedEntry, typedFields } from "./entries.ts";
import { type Accepted, keyHash } from "./keys.ts";
import type { LiveRuns } from "./live_runs.ts";
import { checkInput, type Intent, limitsUnder } from "./normalise.ts";
import { type PreviewDeps, previewOf } from "./previews.ts";
import { type Creation, type KeyBinding, mayBeRefused, type Recorder, unavailable } from "./recorder.ts";
import { deniedRow, endedWithout, newRow } from "./rows.ts";
import type { RunRow } from "./store.ts";
import { authorsOf, carriedBy, demandSameTask, lackOf } from "./task.ts";

export interface EntranceDeps extends PreviewDeps {
  storage: Storage;
  identity: Pick<Identity, "verifyCodeSignature">;
  policy: Policy;
  gates: Pick<Gates, "demandNoDebt">;
  charges: Charges;
  compiler: Compiler;
  pool: RunnerPool;
  recorder: Recorder;
  lives: LiveRuns;
  doors: RunDoors;
  clock: Clock;
  ids: Ids;
  metrics: Metrics;
}

/** A request whose caller, scope, schema and idempotency key have been judged. */
export interface Entry {
  who: Principal;
  intent: Intent;
  task: VerifiedTask | undefined;
  key: KeyBinding | undefined;
}

/** A run as far as it has come, before it has a record. */
interface Draft {
  row: RunRow;
  view: PolicyView;
  code: CompiledCode;
  creation: Creation;
}

/**
 * Walks a request to its first record. The order is fixed, and the first failure answers: contract and snapshot, code
 * and input, what was signed for, what the contract requires, policy, review debt, gates, budgets, capacity. So load never
 * hides a denial, and whatever is weighed later has been allowed before.
 */
export class Entrance {
  readonly #d: EntranceDeps;

  constructor(deps: EntranceDeps) {
    this.#d = deps;
  }

  /** What is thrown here left no row, a denial excepted. */
  async accept(entry: Entry): Promise<Accepted> {
    try {
      return await this.#walk(entry);
    } catch (error) {
      if (error instanceof GantryError && error.parts.run === undefined) {
        this.#d.metrics.add("gantry_runs_refused_total", { code: error.code });
      }
      throw error;
    }
  }

  async #walk(entry: Entry): Promise<Accepted> {
    const draft = await this.#draft(entry);
    const judged = await this.#judge(draft, entry.intent);
    if (judged.kind === "deny") return this.#deny(draft, judged.denial);
    const { row, creation, view } = draft;
    await this.#d.doors.demand(row, view);
    if (row.expires_at !== null && row.expires_at <= row.created_at) {
      await this.#conclude(endedWithout(row, this.#d.clock.now(), "expired"), creation);
      return { id: row.id };
    }
    const { charges } = this.#d;
    try {
      const { row: placed, days } = await charges.demand(entry.who, row, view);
      const within = { ...draft, row: placed, creation: { ...creation, days } };
      return judged.kind === "gate" ? await this.#park(within, judged.gate) : await this.#place(within, entry.intent);
    } catch (error) {
      await charges.refused(entry.who, error, row);
      throw error;
    }
  }

  async #draft({ who, intent, task, key }: Entry): Promise<Draft> {
    const { policy, compiler, identity, clock, ids, storage } = this.#d;
    const trouble = storage.unwritable();
    if (trouble !== undefined) {
      const kind = trouble === "STORAGE_FULL" ? storage_errors.FULL : storage_errors.UNREACHABLE;
      throw unavailable(new GantryError(kind, { detail: "" }));
    }
    const view = await policy.open(who.tenant, intent.contract, intent.snapshot ?? task?.snapshot);
    const limits = limitsUnder(view.contract, intent.limits);
    checkInput(intent.input, limits);
    const code = await compiler.compile(intent.source, limits);
    const authors = await authorsOf(identity, who, code.hash, intent.code_signature);
    const carries = carriedBy(intent, task, authors);
    const told = { limits, code_hash: code.hash, key_hash: keyHash(key?.key), carries, authors, now: clock.now() };
    const row = newRow(ids("run"), who, intent, view, told);
    if (task !== undefined) demandSameTask(task, row);
    const creation: Creation = {
      input: intent.input,
      source: intent.source,
      key,
      typed: typedFields(intent, view.contract),
    };
    if (task !== undefined) creation.task = { who, task };
    return { row, view, code, creation };
  }

  async #judge({ row, view }: Draft, intent: Intent): Promise<Judgement> {
    const { pool, gates, storage } = this.#d;
    const carries = row.facts?.carries ?? [];
    const lack = lackOf(view, row, carries);
    if (lack !== undefined) return { kind: "deny", denial: lack };
    const judged = judgeRun(view, row, { limits: intent.limits, carries }, pool);
    if (judged.kind === "deny" || view.contract.class !== "privileged") return judged;
    try {
      await gates.demandNoDebt(storage, row.tenant);
    } catch (error) {
      if (!hasCode(error, review_errors.DEBT_OPEN)) throw error;
      return { kind: "deny", denial: error };
    }
    return judged;
  }

  /** Records the run as denied, and throws why. */
  async #deny({ row, creation }: Draft, denial: GantryError): Promise<never> {
    const { detail, reasons = [{ code: denial.code, detail }] } = denial.parts;
    const of_run = new GantryError(denial.kind, { ...denial.parts, reasons, run: row.id, snapshot: row.snapshot });
    await this.#conclude(deniedRow(row, this.#d.clock.now(), of_run), creation);
    throw of_run;
  }

  /** The run waits for people. It holds no slot, and capacity is not asked. */
  async #park(draft: Draft, gate: GateRule): Promise<Accepted> {
    const { creation } = draft;
    const asked = await this.#ask(draft, gate);
    const timer = draft.row.expires_at === null ? {} : { wait_until: draft.row.expires_at };
    try {
      await this.#d.recorder.park(asked.row, asked.draft, { ...creation, ...timer });
    } catch (error) {
      // Nobody could ever decide, or a review is owed since a moment: what policy says, and not what failed.
      const denial = DENYING.map((kind) => (hasCode(error, kind) ? error : undefined)).find(
        (each) => each !== undefined,
      );
      if (denial === undefined) throw error;
      return this.#deny(draft, denial);
    }
    return { id: draft.row.id };
  }

  async #ask({ row, view, code, creation }: Draft, gate: GateRule): Promise<{ row: RunRow; draft: ApprovalDraft }> {
    const preview = await previewOf(this.#d, { row, view, gate, source: creation.source, facts: code.facts });
    const preview_hash = sha256Hex(canonicalJson(preview));
    const { action, code: what, contract, target, blast_radius } = factsOf(row, view, preview_hash);
    const { name, execute_before_ms } = gate;
    const facts = { carries: [], ...row.facts, gate: { name, execute_before_ms, statement_hash: "", preview_hash } };
    const draft: ApprovalDraft = {
      tenant: row.tenant,
      subject: "run",
      subject_id: row.id,
      gate,
      action,
      code: what,
      snapshot: view.snapshot,
      contract,
      target,
      blast_radius,
      preview,
      requester: { actor: row.actor as ActorId, chain: row.chain, chain_hash: row.chain_hash },
      authors: (row.authors ?? []) as ActorId[],
      privileged: view.contract.class === "privileged",
    };
    return { row: { ...row, facts }, draft };
  }

  async #place({ row, view, code, creation }: Draft, { input, on_busy }: Intent): Promise<Accepted> {
    const { pool, lives } = this.#d;
    demandRunners(pool, BOOT_FAILURES_MAX);
    const warrant = { class: view.contract.class };
    const leased = view.contract.egress.some(({ secret }) => secret !== undefined);
    const first = { ...creation, warrant, leased };
    const live = lives.place(row, on_busy, { code, input, view }, first);
    // Its first unit may refuse it: only then is it known whether there is a run.
    if (mayBeRefused(row, first)) await live.accepted.promise;
    return { id: row.id, live };
  }

  /** Records a run that ends before it could start. */
  async #conclude(row: RunRow, creation: Creation): Promise<void> {
    await this.#d.recorder.create(row, endedEntry(row), creation);
    this.#d.metrics.add("gantry_runs_ended_total", { lane: row.lane, termination: row.termination ?? "" });
  }
}

/** Refusals of gates that are denials of the run, and are recorded as such. */
const DENYING: readonly ErrorKind[] = [gate_errors.UNSATISFIABLE, review_errors.DEBT_OPEN];
