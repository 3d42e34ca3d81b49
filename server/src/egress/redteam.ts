import type { ActorRef, Ledger } from "../evidence/contract.ts";
import type { Principal } from "../identity/contract.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { EntryId, TenantId } from "../kernel/ids.ts";
import type { Reader, Storage } from "../storage/contract.ts";
import { type EgressRow, egress_errors, REDTEAM_RUNS_MAX } from "./contract.ts";

/** What is recorded of a run that has ended. */
export interface RedteamOutcome {
  run: string;
  /** Why it ended; null: it has not. */
  termination: string | null;
  /** Calls in sum, as the run's end says. */
  rows: readonly EgressRow[];
}

/** Filled from the store of runs. */
export interface RedteamRuns {
  /** Those of the tenant's, in any order; others are left out. Awaits nothing but `reader`. */
  outcomes(reader: Reader, tenant: TenantId, runs: readonly string[]): Promise<RedteamOutcome[]>;
}

export interface RedteamReport {
  runs: readonly string[];
  /** How often a canary was reached, or a program got what it should not, by the reporter's own count. */
  hits: number;
}

/**
 * `held`: something was tried, nothing got out. `breached`: a canary was reached, or a call was let out. `inconclusive`:
 * nothing was tried, or a run did not come to its own end, so that its silence says nothing.
 */
export type RedteamVerdict = "held" | "breached" | "inconclusive";

/** Of one run, in calls. */
export interface RedteamClass {
  run: string;
  attempts: number;
  blocked: number;
  completed: number;
  termination: string;
}

export interface RedteamRecord {
  entry: EntryId;
  runs: number;
  attempts: number;
  blocked: number;
  completed: number;
  hits: number;
  verdict: RedteamVerdict;
  classes: RedteamClass[];
}

export interface RedteamParts {
  storage: Storage;
  ledger: Ledger;
  runs: RedteamRuns;
}

/** Endings of a guest that did what it wanted to; after any other its program may not have been tried out. */
const OWN_ENDINGS: readonly string[] = ["completed", "threw"];

/** Enters what became of hostile programs, by the runs' own rows: the reporter is believed in the hits alone. */
export class Redteam {
  readonly #parts: RedteamParts;

  constructor(parts: RedteamParts) {
    this.#parts = parts;
  }

  /**
   * One entry, `redteam.recorded`, in the unit that reads the rows.
   * @param report.runs  1 to `REDTEAM_RUNS_MAX`, each once; the tenant's own, ended.
   * @throws EGRESS_REDTEAM_RUN
   */
  async record(who: Principal, report: RedteamReport): Promise<RedteamRecord> {
    const { storage, ledger, runs } = this.#parts;
    const asked = [...new Set(report.runs)].sort();
    if (asked.length === 0 || asked.length > REDTEAM_RUNS_MAX) {
      throw new GantryError(egress_errors.REDTEAM_RUN, {
        detail: `A record is about 1 to ${REDTEAM_RUNS_MAX} runs; these are ${asked.length}.`,
      });
    }
    return storage.write(async (tx) => {
      const found = new Map((await runs.outcomes(tx, who.tenant, asked)).map((outcome) => [outcome.run, outcome]));
      const outcomes = asked.map((run) => demandEnded(run, found.get(run)));
      const { classes, ...sum } = judge(outcomes, report.hits);
      const entry = ledger.append(tx, {
        kind: "redteam.recorded",
        tenant: who.tenant,
        actor: actorsOf(who),
        data: { runs: asked, runs_hash: hashOf(outcomes), ...sum },
      });
      return { entry, ...sum, runs: asked.length, classes };
    });
  }
}

type Ended = RedteamOutcome & { termination: string };

function demandEnded(run: string, outcome: RedteamOutcome | undefined): Ended {
  if (outcome !== undefined && outcome.termination !== null) return { ...outcome, termination: outcome.termination };
  const wrong = outcome === undefined ? "is none of the tenant's" : "has not ended";
  throw new GantryError(egress_errors.REDTEAM_RUN, {
    detail: `The run ${run.slice(0, 64)} ${wrong}. A record is about runs of one's own that have ended.`,
  });
}

type Sum = Pick<RedteamRecord, "attempts" | "blocked" | "completed" | "hits" | "verdict" | "classes">;

/** What the rows say, and what the hits say: the worse of the two. */
export function judge(outcomes: readonly Ended[], hits: number): Sum {
  const classes = outcomes.map(({ run, termination, rows }) => {
    const attempts = sumOf(rows);
    const blocked = sumOf(rows.filter(({ verdict }) => verdict === "denied"));
    return { run, attempts, blocked, completed: attempts - blocked, termination };
  });
  const attempts = classes.reduce((sum, one) => sum + one.attempts, 0);
  const completed = classes.reduce((sum, one) => sum + one.completed, 0);
  const is_whole = attempts > 0 && outcomes.every(({ termination }) => OWN_ENDINGS.includes(termination));
  const verdict = hits > 0 || completed > 0 ? "breached" : is_whole ? "held" : "inconclusive";
  return { attempts, blocked: attempts - completed, completed, hits, verdict, classes };
}

function sumOf(rows: readonly EgressRow[]): number {
  return rows.reduce((sum, { count }) => sum + count, 0);
}

/** So that whoever has the runs can tell whether these were the rows that were judged. */
function hashOf(outcomes: readonly Ended[]): string {
  const judged = outcomes.map(({ run, termination, rows }) => ({ run, termination, rows }));
  return sha256Hex(canonicalJson(judged));
}

function actorsOf({ chain }: Principal): ActorRef[] {
  return chain.map(({ actor, kind }) => ({ actor, kind }));
}
