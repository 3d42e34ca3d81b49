import { GantryError } from "../../kernel/errors.ts";
import { errors } from "../contract.ts";
import type { Step } from "../unit.ts";
import type { BatchOutcome, Statement } from "./postgres_batch.ts";
import { judgePg, TransactionLost } from "./postgres_errors.ts";
import type { TurnConnection } from "./postgres_turn.ts";

/** Savepoints open at once: past 64 a session's subtransactions no longer fit its cache, and every reader pays for it. */
const SAVEPOINTS_MAX = 64;

/** The first unit of a batch that must be taken back. */
interface Fault {
  /** Index of its statement. */
  at: number;
  error: GantryError;
}

export function statementsOf(steps: readonly Step[]): Statement[] {
  return steps.map(({ sql, params }) => ({ text: sql, params }));
}

/**
 * @returns the first statement that failed, or changed another number of rows than it was to; undefined for none.
 * @throws TransactionLost when the transaction is at an end, whatever its units are.
 */
export function faultOf(steps: readonly Step[], { replies, failure }: BatchOutcome): Fault | undefined {
  if (failure !== undefined) {
    const verdict = judgePg(failure.error, steps[replies.length]?.sql);
    if (verdict.scope !== "unit") throw new TransactionLost(verdict);
  }
  for (const [at, { sql, expect }] of steps.entries()) {
    const reply = replies[at];
    if (reply === undefined) break;
    if (expect !== undefined && reply.changed !== expect) {
      const internal = { sql, expected: expect, changed: reply.changed };
      const detail = "The state has changed since it was read. Read it again and decide anew.";
      return { at, error: new GantryError(errors.CONFLICT, { detail, internal }) };
    }
  }
  if (failure === undefined) return undefined;
  return { at: replies.length, error: judgePg(failure.error, steps[replies.length]?.sql).error };
}

/**
 * Commits blind units as one transaction: all statements of all units in one round trip, COMMIT in a second one.
 * Almost always every unit is good, so there are no savepoints at first. When one is not, the transaction is taken back
 * and done again with them.
 * @returns for each unit why it was taken back, or undefined when it is durable.
 * @throws TransactionLost when none of them is.
 */
export async function commitGroup(
  turn: TurnConnection,
  units: readonly Step[][],
): Promise<(GantryError | undefined)[]> {
  try {
    const steps = [turn.mark(), ...units.flat()];
    const fault = faultOf(steps, await turn.begin("READ COMMITTED", statementsOf(steps)));
    if (fault === undefined) {
      await turn.commit(true);
      return units.map(() => undefined);
    }
    await turn.rollBack();
    if (units.length === 1) return [fault.error];
    return await commitWithSavepoints(turn, units);
  } catch (error) {
    await turn.rollBack();
    throw error;
  }
}

async function commitWithSavepoints(
  turn: TurnConnection,
  units: readonly Step[][],
): Promise<(GantryError | undefined)[]> {
  const mark = [turn.mark()];
  faultOf(mark, await turn.begin("READ COMMITTED", statementsOf(mark)));
  const errors_of: (GantryError | undefined)[] = units.map(() => undefined);
  let undo: Statement[] = [];
  // After a fault one unit, then two, four, …: what a later fault takes back with it stays little.
  let size = 1;
  for (let from = 0; from < units.length; ) {
    const part = units.slice(from, from + size);
    const { failed, error, next } = await tryUnits(turn, undo, part);
    if (failed === undefined) {
      from += part.length;
      size = Math.min(size * 2, SAVEPOINTS_MAX);
    } else {
      errors_of[from + failed] = error;
      from += failed + 1;
      size = 1;
    }
    undo = next;
  }
  if (errors_of.every((error) => error !== undefined)) {
    await turn.rollBack();
    return errors_of;
  }
  faultOf([], await turn.run(undo));
  await turn.commit(true);
  return errors_of;
}

/**
 * Runs units each under a savepoint.
 * @param before  what ends the savepoints of the units before.
 * @returns the first that failed, with its error; and what then ends the savepoints of those that are kept.
 */
async function tryUnits(
  turn: TurnConnection,
  before: Statement[],
  units: readonly Step[][],
): Promise<{ failed?: number; error?: GantryError; next: Statement[] }> {
  const own = (text: string): Statement => ({ text, unnamed: true });
  const owners: number[] = [];
  const steps: Step[] = [];
  const statements: Statement[] = [];
  const add = (unit: number, statement: Statement, step: Step): void => {
    owners.push(unit);
    statements.push(statement);
    steps.push(step);
  };
  for (const { text } of before) add(0, own(text), { sql: text, params: [] });
  for (const [unit, of_unit] of units.entries()) {
    const savepoint = `SAVEPOINT u${unit}`;
    add(unit, own(savepoint), { sql: savepoint, params: [] });
    for (const [index, statement] of statementsOf(of_unit).entries()) {
      add(unit, statement, of_unit[index] ?? { sql: statement.text, params: [] });
    }
  }
  const fault = faultOf(steps, await turn.run(statements));
  // Savepoints are nested: the first one takes all after it along.
  const release = own("RELEASE SAVEPOINT u0");
  if (fault === undefined) return { next: [release] };
  const failed = owners[fault.at] ?? 0;
  return { failed, error: fault.error, next: [own(`ROLLBACK TO SAVEPOINT u${failed}`), release] };
}
