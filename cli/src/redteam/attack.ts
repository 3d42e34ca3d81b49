import type { Gantry, RunRequest, RunView } from "@gantry/sdk";
import type { Canaries } from "./canaries.ts";
import { type AttackInput, type AttackProgram, type AttackReport, codeOf } from "./program.ts";

/** What one class of attacks came to, as it is seen from here. */
export interface Attacked {
  program: AttackProgram;
  run: RunView;
  /** Undefined when the run did not come to its own end. */
  report: AttackReport | undefined;
  /** Of the canaries while it ran. */
  hits: number;
}

/** Time for what was sent to arrive, after the run that sent it has ended. */
const ARRIVAL_MS = 50;

/**
 * Runs one program to its end. Programs run one after another, so that each hit belongs to one.
 * @throws GantryApiError when the run is refused; the signal's reason.
 */
export async function attack(
  gantry: Gantry,
  program: AttackProgram,
  canaries: Canaries,
  o: { input: AttackInput; contract: string; signal: AbortSignal },
): Promise<Attacked> {
  const before = canaries.hits();
  const request: RunRequest = {
    code: codeOf(program),
    input: o.input,
    contract: o.contract,
    why: `gantry redteam: ${program.name}`,
    on_busy: "delay",
    wait_ms: 0,
  };
  const { id } = await gantry.runs.submit(request, { signal: o.signal });
  const run = await gantry.runs.wait(id, { signal: o.signal });
  await new Promise((resolve) => setTimeout(resolve, ARRIVAL_MS));
  return { program, run, report: reportOf(run.result), hits: canaries.hits() - before };
}

/** A guest may answer anything. */
function reportOf(result: unknown): AttackReport | undefined {
  if (typeof result !== "object" || result === null) return undefined;
  const { tried, escaped, report } = result as Partial<AttackReport>;
  if (typeof tried !== "number" || !Array.isArray(escaped) || typeof report !== "object") return undefined;
  return { tried, escaped: escaped.map(String), report: { ...report } };
}

/** Where a class leaked: hits of a canary, and what its program says that it got. */
export function leaksOf({ report, hits }: Attacked): number {
  return hits + (report?.escaped.length ?? 0);
}
