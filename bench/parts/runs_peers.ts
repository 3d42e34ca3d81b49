import type { GantryServer } from "./gantry.ts";
import { table } from "./measure.ts";
import { peers } from "./peers.ts";
import { atRate, CPU_HEAD, cpuCells } from "./rounds.ts";
import { lane, rawLoad, type Way } from "./ways.ts";

/** Every way to run the same program, side by side, at a rate that all of them keep up with. */
export async function sideBySide(gantry: GantryServer): Promise<void> {
  const per_second = 5;
  const { way: floor, floors } = await rawLoad(8);
  const lanes = [await lane(gantry, "process"), await lane(gantry, "pooled"), await lane(gantry, "session")];
  const all = [floor, ...lanes, ...peers()];
  const ways = all.filter((each): each is Way => typeof each !== "string");
  const paced = await atRate(ways, { per_second, calls: 20 });
  console.log(`The same program in every way, at ${per_second}/s (ms)`);
  table(
    ["", "p50", "p95", "p99", "ratio", ...CPU_HEAD],
    paced.map((m) => [m.name, m.p50, m.p95, m.p99, m.ratio.toFixed(2), ...cpuCells(m.cpu)]),
  );
  const missing = all.filter((each) => typeof each === "string");
  if (missing.length > 0) console.log(`${missing.join("\n")}\n`);
  for (const each of floors) each.close();
}
