import type { GantryServer } from "./gantry.ts";
import { closedLoop, median, openLoop, summarise, table } from "./measure.ts";
import { quiet } from "./processes.ts";
import { ROUNDS } from "./rounds.ts";
import { INPUT, lane, MODULE } from "./ways.ts";

const CPU_MS = 100;
const loop = { code: { source: "export default () => { for (;;); }" }, limits: { cpu_ms: CPU_MS } };
const honest = { code: { source: MODULE }, input: INPUT, on_busy: "delay" as const };

/** How far past its budget an endless loop in a fresh process gets, and what its neighbour notices. */
export async function runawayFresh(gantry: GantryServer): Promise<void> {
  const neighbour = (): Promise<unknown> => gantry.run({ ...honest, isolation: "process" });
  const cpu: number[] = [];
  const wall: number[] = [];
  const baseline: number[] = [];
  const beside: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await quiet(gantry.pid);
    baseline.push(...(await openLoop(4, 12, neighbour)));
    await quiet(gantry.pid);
    const killed = gantry.run({ ...loop, isolation: "process" }).then((view) => {
      if (view.termination !== "cpu_exceeded") throw new Error(JSON.stringify(view));
      cpu.push((view.usage?.cpu_ms ?? 0) - CPU_MS);
      wall.push((view.timing?.completion_ms ?? 0) - CPU_MS);
    });
    beside.push(...(await openLoop(4, 12, neighbour)));
    await killed;
  }
  const before = summarise(baseline);
  const during = summarise(beside);
  console.log(`A runaway with cpu_ms ${CPU_MS}, a neighbour at 4/s (ms, medians of ${ROUNDS} rounds)`);
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

/** One run in a hundred loops for ever, among honest ones of the same caller: who ends how, and how much speed is kept. */
export async function runawayPooled(gantry: GantryServer): Promise<void> {
  const pooled = await lane(gantry, "pooled");
  if (typeof pooled === "string") return console.log(`${pooled}\n`);
  const limits = { cpu_ms: CPU_MS };
  const ends = { innocent: new Map<string, number>(), guilty: new Map<string, number>() };
  let calls = 0;
  const call = async (guilty: boolean): Promise<void> => {
    const ask = guilty ? { ...loop, on_busy: "delay" as const } : { ...honest, limits };
    const { termination = "none" } = await gantry.run({ ...ask, isolation: "pooled" });
    const counts = guilty ? ends.guilty : ends.innocent;
    counts.set(termination, (counts.get(termination) ?? 0) + 1);
  };
  const clean = (): Promise<void> => call(false);
  const mixed = (): Promise<void> => call(calls++ % 100 === 50);
  await closedLoop(8, 1_000, clean);
  const kept: number[] = [];
  const alone: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await quiet(gantry.pid);
    const without = await closedLoop(8, 3_000, clean);
    await quiet(gantry.pid);
    const beside = await closedLoop(8, 5_000, mixed);
    alone.push(without);
    kept.push(beside / without);
  }
  console.log(`1 % of pooled runs loop for ever with cpu_ms ${CPU_MS}, 8 callers (medians of ${ROUNDS} rounds)`);
  const told = (counts: Map<string, number>): string => [...counts].map(([end, n]) => `${n} ${end}`).join(", ");
  table(
    ["", "value"],
    [
      ["runs/s without loops", median(alone)],
      ["share of the rate that is kept", median(kept).toFixed(2)],
      ["innocent runs", told(ends.innocent)],
      ["endless loops", told(ends.guilty)],
    ],
  );
}
