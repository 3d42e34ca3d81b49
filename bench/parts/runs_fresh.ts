import { openFloor } from "./floor_load.ts";
import type { GantryServer } from "./gantry.ts";
import { median, summarise, table } from "./measure.ts";
import { atRate, CPU_HEAD, cpuCells, ROUNDS, saturated } from "./rounds.ts";
import { lane, rawLoad, type Way } from "./ways.ts";

/** A process per run: at a rate that processes can be booted at, and with callers that do not pause. */
export async function fresh(gantry: GantryServer): Promise<void> {
  const per_second = 10;
  const { way: floor, floors } = await rawLoad(8);
  const ours = await lane(gantry, "process");
  if (typeof ours === "string") return console.log(`${ours}\n`);
  ours.take();
  const ways: Way[] = [floor, ours];
  const paced = await atRate(ways, { per_second, calls: 40 });
  const { startup, cold } = ours.take();
  const part = summarise(startup);
  console.log(`A fresh process per run, at ${per_second}/s (ms; ${cold} of ${part.n} found no warm runner)`);
  table(
    ["", "p50", "p95", "p99", "ratio", ...CPU_HEAD],
    [
      ...paced.map((m) => [m.name, m.p50, m.p95, m.p99, m.ratio.toFixed(2), ...cpuCells(m.cpu)]),
      ["  of which startup", part.p50, part.p95, part.p99],
    ],
  );
  const boots: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const booted = await openFloor();
    boots.push(booted.boot_ms);
    booted.close();
  }
  const full = await saturated(ways, { callers: 8, ms: 3_000 });
  console.log("Saturated, 8 callers (a fresh process per run cannot be faster than processes boot)");
  table(
    ["", "runs/s", "ratio", ...CPU_HEAD],
    full.map((m) => [m.name, m.per_second, m.ratio.toFixed(3), ...cpuCells(m.cpu)]),
  );
  console.log(`A raw boot of workerd takes ${median(boots).toFixed(0)} ms.\n`);
  for (const each of floors) each.close();
}
