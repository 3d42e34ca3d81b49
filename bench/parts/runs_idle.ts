import { pssBytes } from "../../server/src/execution/adapters/procfs.ts";
import type { GantryServer } from "./gantry.ts";
import { closedLoop, median, table } from "./measure.ts";
import { cpuMsOf, quiet, runnersOf } from "./processes.ts";
import { lane } from "./ways.ts";

const SERVED_MS = 50;

/** Memory of the processes that wait for their first guest, and of those that are bound to a caller. */
export async function idle(gantry: GantryServer): Promise<void> {
  await quiet(gantry.pid);
  const warm = new Map(runnersOf(gantry.pid).map((pid) => [pid, cpuMsOf(pid)]));
  const rows = [sizes(`${warm.size} warm runners`, [...warm.keys()])];
  const pooled = await lane(gantry, "pooled");
  if (typeof pooled !== "string") {
    await closedLoop(8, 2_000, pooled.call);
    await quiet(gantry.pid);
    const runs = pooled.take().startup.length;
    // Of those that were there, the ones that have worked since; the others were booted in their places.
    const bound = runnersOf(gantry.pid).filter((pid) => cpuMsOf(pid) - (warm.get(pid) ?? Number.NaN) > SERVED_MS);
    rows.push(sizes(`${bound.length} bound pooled runners, after ${runs} runs`, bound));
  }
  console.log("Idle processes (MB of Pss)");
  table(["", "median", "all"], rows);
  if (typeof pooled === "string") console.log(`${pooled}\n`);
}

function sizes(what: string, pids: readonly number[]): [string, number, number] {
  const mb = pids.map((pid) => (pssBytes(pid) ?? 0) / 1024 / 1024);
  return [what, median(mb), mb.reduce((a, b) => a + b, 0)];
}
