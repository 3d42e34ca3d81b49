/**
 * `npm run bench -- control`: what a governed run costs in the control plane itself. The real HTTP surface, store, ledger
 * and admission in one process, with a pool whose guests answer at once; the callers are in another process.
 * `control-load` and `control-idle` are its parts.
 */
import type { Spent } from "./parts/cpu.ts";
import { closedLoop, median, printMachine, sleep, summarise, table } from "./parts/measure.ts";
import { openPlane } from "./parts/plane.ts";

const ROUNDS = 5;
const ROUND_MS = 3_000;
/** Until the engine has compiled what it will: the first thousand runs cost twice as much as the later ones. */
const WARM_MS = 15_000;
/** As many as one tenant may have at once. */
const CALLERS = 8;
const what = process.argv[2] ?? "";
const plane = await openPlane();
printMachine();
await closedLoop(CALLERS, WARM_MS, plane.run);
if (what === "" || what === "load") await load();
if (what === "" || what === "idle") await idle();
await plane.close();
process.exit();

async function load(): Promise<void> {
  const per_second: number[] = [];
  const spent: Spent[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = await plane.spent();
    const began = performance.now();
    const rate = await closedLoop(CALLERS, ROUND_MS, plane.run);
    const runs = (rate * (performance.now() - began)) / 1_000;
    const after = await plane.spent();
    per_second.push(rate);
    spent.push({
      process_us: (after.process_us - before.process_us) / runs,
      main_us: (after.main_us - before.main_us) / runs,
      writer_us: (after.writer_us - before.writer_us) / runs,
    });
  }
  console.log(`${CALLERS} callers without pause, guests that answer at once (medians of ${ROUNDS} rounds)`);
  table(
    ["", "value"],
    [
      ["governed runs/s, callers on the same cores", median(per_second)],
      ["CPU of one run, µs", median(spent.map((each) => each.process_us))],
      ["  main thread", median(spent.map((each) => each.main_us))],
      ["  writer thread", median(spent.map((each) => each.writer_us))],
    ],
  );
}

async function idle(): Promise<void> {
  const times: number[] = [];
  const before = await plane.spent();
  for (let i = 0; i < 200; i++) {
    await sleep(20);
    const from = performance.now();
    await plane.run();
    times.push(performance.now() - from);
  }
  const between = await plane.spent();
  await sleep(5_000);
  const after = await plane.spent();
  const { p50, p95, p99 } = summarise(times);
  console.log("One run at a time, 20 ms between them (ms, seen by the caller); then 5 s of nothing");
  table(
    ["", "p50", "p95", "p99"],
    [
      ["governed run, two synced commits in it", p50, p95, p99],
      ["CPU of one run, µs", (between.process_us - before.process_us) / times.length, "", ""],
      ["CPU of an idle second, µs", (after.process_us - between.process_us) / 5, "", ""],
    ],
  );
}
