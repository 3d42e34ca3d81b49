/** `evidence-run`: a governed run with the sealed ledger, and the same with nothing recorded; guests answer at once. */
import { closedLoop, median, openLoop, summarise, table } from "./measure.ts";
import { openPlane, type Plane } from "./plane.ts";

const ROUNDS = 5;
const PER_SECOND = 50;
const CALLS = 200;
/** Until the engine has compiled what it will. */
const WARM_MS = 10_000;

export async function overhead(): Promise<void> {
  const planes = [
    { name: "nothing recorded", plane: await openPlane("none"), p50: [] as number[], times: [] as number[] },
    { name: "recorded and sealed", plane: await openPlane("sealed"), p50: [] as number[], times: [] as number[] },
  ];
  for (const { plane } of planes) await closedLoop(8, WARM_MS, plane.run);
  for (let round = 0; round < ROUNDS; round++) {
    for (const each of round % 2 === 0 ? planes : planes.toReversed()) await measure(each);
  }
  console.log(`A governed run at ${PER_SECOND}/s, guests that answer at once (ms)`);
  const [floor] = planes;
  table(
    ["", "p50", "p99", "over"],
    planes.map(({ name, p50, times }) => {
      const over = median(p50.map((each, round) => each - (floor?.p50[round] ?? 0)));
      return [name, median(p50).toFixed(2), summarise(times).p99.toFixed(2), over.toFixed(2)];
    }),
  );
  for (const { plane } of planes) await plane.close();
}

async function measure(of: { plane: Plane; p50: number[]; times: number[] }): Promise<void> {
  const times = await openLoop(PER_SECOND, CALLS, of.plane.run);
  of.p50.push(summarise(times).p50);
  of.times.push(...times);
}
