import type { RunnerPool } from "../execution/contract.ts";
import { runner_errors } from "../execution/contract.ts";
import { GantryError, type Reason } from "../kernel/errors.ts";
import type { LimitTable } from "../kernel/limits.ts";
import { type Isolation, isWeaker, type PolicyView } from "../policy/contract.ts";
import { isolation_errors, run_errors } from "./contract.ts";
import { denialKind } from "./view.ts";

/**
 * What policy says of a run, and what this host can give it.
 * @param asked  the limits that the request names.
 * @returns the refusal to record and to throw, or undefined when the run may go on.
 */
export function denialOf(
  view: PolicyView,
  asked: Partial<LimitTable>,
  run: { id: string; code_hash: string; isolation: Isolation },
  pool: RunnerPool,
): GantryError | undefined {
  const resource = `code:${run.code_hash}`;
  const decision = view.decide({ action: "run.submit", resource, context: { limits: asked } });
  const common = { run: run.id, snapshot: view.snapshot };
  if (decision.verdict !== "allow") {
    const [first] = decision.reasons;
    const detail = decision.reasons.map((reason) => reason.detail).join(" ") || run_errors.DENIED.title;
    return new GantryError(denialKind(first?.code), { detail, reasons: decision.reasons, ...common });
  }
  if (view.contract.jail === "required" && pool.stats().jail === "none") {
    const detail = `The contract ${view.ref.name} asks for a jail, and this host runs guest code without one.`;
    return new GantryError(isolation_errors.FLOOR, { detail, reasons: floor(detail), ...common });
  }
  const { isolation_floor } = view.contract;
  if (isWeaker(run.isolation, isolation_floor)) {
    const detail = `The isolation asked for is ${run.isolation}; the floor of the contract ${view.ref.name} is ${isolation_floor}.`;
    const step = { kind: "change" as const, text: `Ask for the isolation ${isolation_floor}, or for none.` };
    return new GantryError(isolation_errors.FLOOR, { detail, reasons: floor(detail), next_steps: [step], ...common });
  }
  return undefined;
}

const floor = (detail: string): Reason[] => [{ code: isolation_errors.FLOOR.code, detail }];

/** @throws RUNNER_NO_JAIL RUN_CAPACITY  when no runner can be had at all. */
export function demandRunners(pool: RunnerPool, boot_failures_max: number): void {
  const { jail, boot_failures } = pool.stats();
  if (jail === null) {
    throw new GantryError(runner_errors.NO_JAIL, {
      detail: "No jail works on this host; `gantry doctor` names what is missing.",
      reasons: pool.report().problems.map(({ code, fix }) => ({ code, detail: fix })),
      next_steps: [{ kind: "command", text: "Find out what is missing", command: "gantry doctor" }],
    });
  }
  if (boot_failures < boot_failures_max) return;
  throw new GantryError(run_errors.CAPACITY, {
    detail: `The last ${boot_failures} jailed processes did not start.`,
    reasons: [{ code: runner_errors.BOOT_FAILED.code, detail: runner_errors.BOOT_FAILED.title }],
    retry_after_ms: 1_000,
  });
}
