import type { GantryServer } from "./gantry.ts";
import { summarise, table } from "./measure.ts";
import { atRate, CPU_HEAD, cpuCells, saturated } from "./rounds.ts";
import { type Isolation, lane, rawLoad, type Way } from "./ways.ts";

const TITLES = {
  pooled: "Pooled: a process serves one run at a time, of one caller",
  session: "In sessions: a process per session",
};

/** A lane whose processes serve more than one run: at 50/s, and over eight of them without pause. */
export async function warmLane(gantry: GantryServer, isolation: Exclude<Isolation, "process">): Promise<void> {
  const ours = await lane(gantry, isolation);
  if (typeof ours === "string") return console.log(`${ours}\n`);
  const { way: floor, floors } = await rawLoad(8);
  const ways: Way[] = [floor, ours];
  await saturated([ours], { callers: 8, ms: 500 }); // until eight processes are bound
  ours.take();

  const per_second = 50;
  const paced = await atRate(ways, { per_second, calls: 150 });
  const { startup, completion, cold } = ours.take();
  console.log(`${TITLES[isolation]}, at ${per_second}/s (ms; ${cold} of ${startup.length} found no warm runner)`);
  const parts = [summarise(startup), summarise(completion)] as const;
  table(
    ["", "p50", "p95", "p99", "ratio", "over", ...CPU_HEAD],
    [
      ...paced.map((m) => [m.name, m.p50, m.p95, m.p99, m.ratio.toFixed(2), m.over, ...cpuCells(m.cpu)]),
      ["  of which startup", parts[0].p50, parts[0].p95, parts[0].p99],
      ["  of which the guest", parts[1].p50, parts[1].p95, parts[1].p99],
    ],
  );
  console.log("Saturated, 8 callers over 8 processes");
  const full = await saturated(ways, { callers: 8, ms: 3_000 });
  table(
    ["", "runs/s", "ratio", "p50", "p99", ...CPU_HEAD],
    full.map((m) => [m.name, m.per_second, m.ratio.toFixed(2), m.p50, m.p99, ...cpuCells(m.cpu)]),
  );
  for (const each of floors) each.close();
}
