/**
 * `npm run bench -- runs`: raw `load()` (the floor) and the governed fresh-process run in interleaved rounds of one
 * run, through clients of the same kind. `runs-fresh`, `runs-runaway`, `runs-idle` are its parts.
 */
import { availableParallelism } from "node:os";
import { pssBytes } from "../server/src/execution/adapters/procfs.ts";
import { type Floor, openFloor } from "./parts/floor_load.ts";
import { type GantryServer, openGantry } from "./parts/gantry.ts";
import { closedLoop, median, openLoop, sleep, summarise, table } from "./parts/measure.ts";
import { runnersOf } from "./parts/processes.ts";

const ROUNDS = 5;
const JS = "export default (input) => ({ sum: input.a + input.b });";
const INPUT = { a: 1, b: 2 };
const ask = { code: { source: JS }, input: INPUT, on_busy: "delay" };

const what = process.argv[2] ?? "";
const server = await openGantry({ warm_runners: 8 });
console.log(`${availableParallelism()} cores, Node ${process.versions.node}\n`);
await sleep(3_000); // until the pool is warm
if (what === "" || what === "fresh") await fresh(await openFloor(), server);
if (what === "" || what === "runaway") await runaway(server);
if (what === "" || what === "idle") idle(server);
await server.close();
process.exit();

async function fresh(floor: Floor, gantry: GantryServer): Promise<void> {
  const rate = 10;
  const calls = 40;
  const times = { floor: [] as number[], ours: [] as number[], startup: [] as number[], cold: 0 };
  const run = async (): Promise<void> => {
    const view = await gantry.run(ask);
    if (view.termination !== "completed") throw new Error(JSON.stringify(view));
    times.startup.push(view.timing?.startup_ms ?? Number.NaN);
    if (view.cold) times.cold += 1;
  };
  for (let round = 0; round < ROUNDS; round++) {
    times.floor.push(...(await openLoop(rate, calls, () => floor.call(JS, INPUT))));
    times.ours.push(...(await openLoop(rate, calls, run)));
  }
  const floors = summarise(times.floor);
  const ours = summarise(times.ours);
  const startup = summarise(times.startup);
  console.log(`A fresh process per run, at ${rate}/s (ms; ${times.cold} of ${ours.n} found no warm runner)`);
  table(
    ["", "p50", "p95", "p99"],
    [
      ["raw load(), unjailed, ungoverned", floors.p50, floors.p95, floors.p99],
      ["governed run", ours.p50, ours.p95, ours.p99],
      ["  of which startup", startup.p50, startup.p95, startup.p99],
      ["ratio", ours.p50 / floors.p50, ours.p95 / floors.p95, ours.p99 / floors.p99],
    ],
  );
  const boots: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const booted = await openFloor();
    boots.push(booted.boot_ms);
    booted.close();
  }
  const raw = await closedLoop(8, 4_000, () => floor.call(JS, INPUT));
  const governed = await closedLoop(8, 6_000, run);
  console.log("Saturated, 8 callers (a fresh process per run cannot be faster than processes boot)");
  table(
    ["", "value"],
    [
      ["raw load(), runs/s", raw],
      ["raw boot of workerd, ms", median(boots)],
      ["governed, runs/s", governed],
    ],
  );
  floor.close();
}

async function runaway(gantry: GantryServer): Promise<void> {
  const neighbour = (): Promise<unknown> => gantry.run(ask);
  const budget = 100;
  const loop = { code: { source: "export default () => { for (;;); }" }, limits: { cpu_ms: budget } };
  const cpu: number[] = [];
  const wall: number[] = [];
  const baseline: number[] = [];
  const beside: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await sleep(1_500);
    baseline.push(...(await openLoop(4, 12, neighbour)));
    await sleep(1_500);
    const killed = gantry.run(loop).then((view) => {
      if (view.termination !== "cpu_exceeded") throw new Error(JSON.stringify(view));
      cpu.push((view.usage?.cpu_ms ?? 0) - budget);
      wall.push((view.timing?.completion_ms ?? 0) - budget);
    });
    beside.push(...(await openLoop(4, 12, neighbour)));
    await killed;
  }
  const before = summarise(baseline);
  const during = summarise(beside);
  console.log(`A runaway with cpu_ms ${budget}, a neighbour at 4/s (ms, medians of ${ROUNDS} rounds)`);
  table(
    ["", "value"],
    [
      ["CPU past the budget when killed", median(cpu)],
      ["wall past the budget when killed", median(wall)],
      ["neighbour's p99 alone", before.p99],
      ["neighbour's p99 beside it", during.p99],
      ["ratio", during.p99 / before.p99],
    ],
  );
}

function idle(gantry: GantryServer): void {
  const sizes = runnersOf(gantry.pid).map((pid) => (pssBytes(pid) ?? 0) / 1024 / 1024);
  console.log(`${sizes.length} idle warm runners (MB of Pss)`);
  table(["", "median", "all"], [["a runner", median(sizes), sizes.reduce((a, b) => a + b, 0)]]);
}
