import { GantryError } from "../kernel/errors.ts";
import { type BlastRadius, type EffectRef, matchesHost } from "../policy/contract.ts";
import type { Tx } from "../storage/contract.ts";
import { approval_errors } from "./contract.ts";
import { type Executed, glassEnded } from "./execute.ts";
import { altered, notExecutable } from "./judge.ts";
import type { GateParts } from "./parts.ts";
import type { Held } from "./records.ts";
import { openApproval, recordRefusal } from "./refusals.ts";
import { isIntact } from "./statement.ts";
import { addCount, selectCounts } from "./store.ts";

/**
 * Does a person stand behind this effect? Asked in the effect's own unit, which counts it. A refusal is returned, and
 * recorded in the same unit: the caller commits it.
 */
export async function checkEffect(parts: GateParts, tx: Tx, effect: EffectRef): Promise<Executed> {
  const opened = await openApproval(parts, tx, effect, "effect");
  if ("error" in opened) return { ok: false, error: opened.error };
  const { held } = opened;
  const { row } = held;
  const error = await effectFault(parts, tx, held, effect);
  if (error === undefined) {
    if (held.statement.blast_radius.effects_max !== null) addCount(tx, row.id, "effects");
    return { ok: true };
  }
  const { chain } = held.statement;
  await recordRefusal(parts, tx, row, { what: "effect", code: error.code, by: chain, run: effect.run });
  return { ok: false, error };
}

async function effectFault(parts: GateParts, tx: Tx, held: Held, effect: EffectRef): Promise<GantryError | undefined> {
  const { row, statement } = held;
  const now = parts.clock.now();
  if (row.run_id !== effect.run) {
    return new GantryError(approval_errors.SCOPE, {
      detail: `The approval is for ${row.subject_id}, not for this run.`,
    });
  }
  // What it is for has begun: a run that did not go through `execute` has no effects.
  if (row.executed_at === null) {
    const barred = notExecutable(row, now);
    return barred ?? new GantryError(approval_errors.PENDING, { detail: "What was approved has not started." });
  }
  if (row.status === "broken_glass") {
    const ended = await glassEnded(tx, held, now);
    if (ended !== undefined) return ended;
  }
  if (!isIntact(row, statement)) return altered(row);
  return reachFault(statement.blast_radius, effect) ?? (await countFault(tx, held));
}

function reachFault({ hosts, methods }: BlastRadius, { host, method }: EffectRef): GantryError | undefined {
  if (hosts.some((pattern) => matchesHost(pattern, host)) && methods.includes(method)) return undefined;
  return new GantryError(approval_errors.SCOPE, {
    detail: `People approved ${methods.join(", ") || "no method"} to ${hosts.join(", ") || "no host"}, and nothing beyond.`,
  });
}

async function countFault(tx: Tx, { row, statement }: Held): Promise<GantryError | undefined> {
  const { effects_max } = statement.blast_radius;
  if (effects_max === null) return undefined;
  const { effects } = await selectCounts(tx, row.id);
  if (effects < effects_max) return undefined;
  return new GantryError(approval_errors.USED, { detail: `The approved ${effects_max} effects have happened.` });
}
