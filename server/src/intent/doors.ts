import {
  type Egress,
  type EgressIdentity,
  type EgressRow,
  type EgressSummary,
  leaseVariable,
  type PreparedLeases,
} from "../egress/contract.ts";
import { type BlockedCall, type DoorHandler, RUNNER_WAIT_MS_MAX } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ApprovalId } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import { type Contract, gateNames, type PolicyView } from "../policy/contract.ts";
import type { Tx } from "../storage/contract.ts";
import { run_errors } from "./contract.ts";
import type { Departed, Outward, Passage } from "./passage.ts";
import type { Companion } from "./recorder.ts";
import type { RunRow } from "./store.ts";

/** What this room asks of egress/. */
export type RunEgress = Pick<Egress, "door" | "fence" | "effects" | "forget" | "leases" | "logs">;

export interface DoorDeps {
  egress: RunEgress;
  clock: Clock;
  log: Logger;
}

const NO_LEASES: PreparedLeases = { vars: {}, write() {} };

/** The doors of runs: one for each attempt, fenced by the attempt's number, and gone before its end is recorded. */
export class RunDoors implements Companion {
  readonly #d: DoorDeps;

  constructor(deps: DoorDeps) {
    this.#d = deps;
  }

  /** Asked before anything waits: what a start would be refused for already. @throws RUN_VAR_TAKEN SECRETS_UNKNOWN */
  async demand(row: RunRow, view: PolicyView): Promise<void> {
    const secrets = secretsOf(view.contract);
    if (secrets.length === 0) return;
    for (const secret of secrets) demandFree(row, view, secret);
    await this.#d.egress.leases.demand(row.tenant, view);
  }

  /**
   * What an attempt is admitted with, just before its unit. At once for a contract without secrets.
   * @returns undefined: the contract grants no network.
   * @throws SECRETS_UNKNOWN LEASE_APPROVAL
   */
  prepare(row: RunRow, view: PolicyView): Outward | Promise<Outward> | undefined {
    if (view.contract.egress.length === 0) return undefined;
    const who = identityOf(row, view, this.#d.clock.now());
    const outward = (leases: PreparedLeases): Outward => ({ who, leases, door: undefined, closing: undefined });
    if (secretsOf(view.contract).length === 0) return outward(NO_LEASES);
    return this.#d.egress.leases.prepare(who).then(outward);
  }

  /** @param deadline_at  the guest's own, which counts from its start. */
  open(outward: Outward, deadline_at: number): DoorHandler {
    outward.door ??= this.#d.egress.door(Object.assign(outward.who, { deadline_at }));
    return outward.door;
  }

  /**
   * Closes it for good: what was called is known then, and every end of an effect is recorded.
   * @throws when that cannot be recorded.
   */
  async depart(outward: Outward): Promise<Departed> {
    const { tenant, subject, epoch } = outward.who;
    const summary = await close(outward);
    const log = summary?.log ?? "";
    const writeLog = await this.#d.egress.logs.keep({ tenant, subject, epoch }, log);
    return { outward, summary, log_hash: log === "" ? undefined : sha256Hex(log), writeLog };
  }

  /** The attempt is no longer this node's, or never was one: nothing of it leaves any more. */
  abandon(outward: Outward | undefined): void {
    if (outward === undefined) return;
    close(outward).catch((error: unknown) => {
      this.#d.log.warn(
        { run: outward.who.subject, error },
        "the calls of a run that was given up are not all recorded",
      );
    });
  }

  admitted(tx: Tx, row: RunRow, { outward }: Passage): Promise<void> | undefined {
    return outward === undefined ? undefined : this.#fenced(tx, row, outward);
  }

  async #fenced(tx: Tx, row: RunRow, outward: Outward): Promise<void> {
    assert(outward.who.epoch === row.attempt, "a way out belongs to one attempt");
    const { tenant, id: root, attempt: epoch } = row;
    await this.#d.egress.fence(tx, { tenant, root, epoch });
    outward.leases.write(tx);
  }

  ended(tx: Tx, { tenant, id: subject }: RunRow, { departed }: Passage): void {
    if (departed === undefined) return;
    departed.writeLog(tx);
    if ((departed.summary?.effects ?? 0) > 0) this.#d.egress.forget(tx, { root: subject });
    if (departed.outward.leases !== NO_LEASES) this.#d.egress.leases.end(tx, { tenant, subject });
  }

  /** Whoever still acts for that attempt, on a node that slept or was cut off, changes nothing any more. */
  async lost(tx: Tx, { tenant, id }: RunRow, attempt: number): Promise<void> {
    await this.#d.egress.fence(tx, { tenant, root: id, epoch: attempt + 1 });
    this.#d.egress.leases.end(tx, { tenant, subject: id });
  }
}

function close(outward: Outward): Promise<EgressSummary | undefined> {
  outward.closing ??= outward.door?.close();
  return outward.closing ?? Promise.resolve(undefined);
}

function secretsOf({ egress }: Contract): string[] {
  return [...new Set(egress.flatMap(({ secret }) => (secret === undefined ? [] : [secret.name])))];
}

function demandFree({ vars }: RunRow, { ref }: PolicyView, secret: string): void {
  const name = leaseVariable(secret);
  if (!Object.hasOwn(vars, name)) return;
  throw new GantryError(run_errors.VAR_TAKEN, {
    detail: `Under the contract ${ref.name} the variable ${name} is the run's lease of the secret ${secret}; the request gives it a value of its own.`,
    problems: [{ at: `/vars/${name}`, text: "is the name of a lease" }],
    next_steps: [{ kind: "change", text: `Leave ${name} out of vars, or call it otherwise.` }],
  });
}

/** As late as the attempt can go on: its guest's time begins when a runner has been found. */
function identityOf(row: RunRow, view: PolicyView, now: number): EgressIdentity {
  const { tenant, chain, id, attempt, approval, facts, limits } = row;
  return {
    tenant,
    chain,
    subject: id,
    scope: id,
    root: id,
    epoch: attempt,
    began_at: now,
    view,
    approval: approval === null ? null : { id: approval as ApprovalId, gates: gateNames(facts?.gate?.name ?? "") },
    deadline_at: now + RUNNER_WAIT_MS_MAX + limits.wall_ms,
  };
}

/** The ended run together with what its door saw; what was denied counts as blocked as well. */
export function withCalls(row: RunRow, summary: EgressSummary | undefined): RunRow {
  if (summary === undefined) return row;
  const egress = [...summary.rows, ...walledRows(row.blocked ?? [])];
  return { ...row, egress, blocked: blockedOf(egress) };
}

/** Calls that went nowhere because there was no door for them, as a door would tell of them. */
export function walledRows(blocked: BlockedCall[]): EgressRow[] {
  const nothing = { path: null, rule: null, code: null, request_bytes: 0, response_bytes: 0 };
  return blocked.map(({ host, method, count }) => ({ host, method, ...nothing, verdict: "denied", count }));
}

function blockedOf(rows: EgressRow[]): BlockedCall[] {
  const calls = new Map<string, BlockedCall>();
  for (const { host, method, count, verdict } of rows) {
    if (verdict === "allowed") continue;
    const key = `${method} ${host}`;
    const known = calls.get(key);
    if (known === undefined) calls.set(key, { host, method, count });
    else known.count += count;
  }
  return [...calls.values()];
}
