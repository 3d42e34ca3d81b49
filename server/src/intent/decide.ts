import type { RunnerPool } from "../execution/contract.ts";
import { runner_errors } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import { GantryError, type Reason } from "../kernel/errors.ts";
import type { LimitTable } from "../kernel/limits.ts";
import {
  type Decision,
  type GateRule,
  isWeaker,
  mergeGates,
  type PolicyRequest,
  type PolicyView,
  type Requirement,
} from "../policy/contract.ts";
import { resourceOf } from "./approval_facts.ts";
import { isolation_errors, run_errors } from "./contract.ts";
import type { RunRow } from "./store.ts";
import { denialKind } from "./view.ts";

/** `denial`: to be recorded and thrown. `gate`: what people must approve first. */
export type Judgement = { kind: "allow" } | { kind: "deny"; denial: GantryError } | { kind: "gate"; gate: GateRule };

/** What is asked of policy besides what the row says. */
export interface Asked {
  /** The limits that the request names; at a later start, those that it got. */
  limits: Partial<LimitTable>;
  carries: Requirement[];
  /** Names of the gates that an approval holds open. */
  gates?: string[];
}

/** What policy says of a run, and what this host can give it. */
export function judgeRun(view: PolicyView, row: RunRow, asked: Asked, pool: RunnerPool): Judgement {
  const decision = view.decide(requestOf(row, asked));
  const deny = (denial: GantryError): Judgement => ({ kind: "deny", denial });
  if (decision.verdict === "deny") return deny(denialOf(view, row, decision));
  const unfit = unfitness(view, row, pool);
  if (unfit !== undefined) return deny(unfit);
  const waits = [...decision.gates, ...outwardGates(view, asked.gates ?? [])];
  return waits.length === 0 ? { kind: "allow" } : { kind: "gate", gate: mergeGates(waits) };
}

/**
 * Those that hold what the run could call, or its use of a secret, when it goes on: nobody waits in the middle of a call,
 * so people are asked about the run as a whole, before it starts.
 */
function outwardGates({ contract: { gates, egress } }: PolicyView, open: readonly string[]): GateRule[] {
  const is_leased = egress.some(({ secret }) => secret !== undefined);
  return gates.filter(({ on, name }) => {
    const holds = (on === "egress.request" && egress.length > 0) || (on === "lease.use" && is_leased);
    return holds && !open.includes(name);
  });
}

/** What policy is asked of a run. */
export function requestOf(row: RunRow, { limits, carries, gates }: Asked): PolicyRequest {
  const [first, last] = [row.chain[0], row.chain.at(-1)];
  assert(first !== undefined && last !== undefined, "a chain has at least one link");
  return {
    action: "run.submit",
    resource: resourceOf(row),
    principal: { actor: last.actor, kind: last.kind, for: first.actor },
    ...(gates === undefined ? {} : { gates }),
    context: { limits, carries, ...(row.target === null ? {} : { target: row.target }) },
  };
}

function denialOf(view: PolicyView, row: RunRow, { reasons }: Decision): GantryError {
  const [first] = reasons;
  const detail = reasons.map((reason) => reason.detail).join(" ") || run_errors.DENIED.title;
  return new GantryError(denialKind(first?.code), { detail, reasons, run: row.id, snapshot: view.snapshot });
}

/** Where the host or the isolation falls short of the contract. */
function unfitness(view: PolicyView, { id: run, isolation }: RunRow, pool: RunnerPool): GantryError | undefined {
  const common = { run, snapshot: view.snapshot };
  if (view.contract.jail === "required" && pool.stats().jail === "none") {
    const detail = `The contract ${view.ref.name} asks for a jail, and this host runs guest code without one.`;
    return new GantryError(isolation_errors.FLOOR, { detail, reasons: floor(detail), ...common });
  }
  const { isolation_floor } = view.contract;
  if (!isWeaker(isolation, isolation_floor)) return undefined;
  const detail = `The isolation asked for is ${isolation}; the floor of the contract ${view.ref.name} is ${isolation_floor}.`;
  const step = { kind: "change" as const, text: `Ask for the isolation ${isolation_floor}, or for none.` };
  return new GantryError(isolation_errors.FLOOR, { detail, reasons: floor(detail), next_steps: [step], ...common });
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
