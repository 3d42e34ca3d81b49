/**
 * `npm run bench -- admission`: who waits for a slot, who for runners, and for how long, when they are scarce; and what a
 * burst of long runs costs a neighbour. `waits` and `steps` are admission itself, the others are measured at the pool,
 * where several tenants can be played. `admission-<part>` is one part.
 */
import { bwrapJail, missingPrograms, unshareJail } from "../server/src/execution/adapters/jails.ts";
import { jain } from "../server/src/intent/fairness.ts";
import { type JailedPool, openJailedPool } from "../tests/fixtures/jailed_pool.ts";
import { closedLoop, median, openLoop, printMachine, sleep, summarise, table } from "./parts/measure.ts";
import { steps, waits } from "./parts/queue.ts";

const ROUNDS = 5;
const BOUND_MAX = 8;
const HOLDERS = ["ten_a", "ten_b", "ten_c"];
const jail = missingPrograms(bwrapJail.needs).length === 0 ? bwrapJail : unshareJail;

const spin = {
  "main.js":
    "export default (ms) => { const until = performance.now() + ms; while (performance.now() < until); return ms; };",
};
const tiny = { "main.js": "export default (n) => n + 1;" };

const pooled = (tenant: string, key: string) => ({ want: { kind: "pooled" as const, tenant, key } });

/** A run whose claim is timed apart. */
async function timedClaim(pool: JailedPool, tenant: string, key: string): Promise<number> {
  const began = performance.now();
  const want = { kind: "pooled" as const, tenant, key, memory_mb: 128 };
  const runner = await pool.pool.acquire(want, AbortSignal.timeout(30_000));
  const waited = performance.now() - began;
  await pool.executeOn(runner, tiny, { input: 1 });
  return waited;
}

/** Three tenants keep most of the node's runners busy; a fourth comes with eight runs at once, on a key that has none. */
async function cold(): Promise<void> {
  console.log(`a burst of eight on a cold key; ${BOUND_MAX} runners in all, 3 tenants hold them with runs of 20 ms\n`);
  const rows: (string | number)[][] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    const pool = await openJailedPool(jail, { warm: 2, bound_max: BOUND_MAX });
    const done = new Map(HOLDERS.map((tenant) => [tenant, 0]));
    let over = false;
    const holding = HOLDERS.flatMap((tenant) => [tenant, tenant, tenant]).map(async (tenant) => {
      while (!over) {
        await pool.run(spin, { ...pooled(tenant, tenant), input: 20 });
        done.set(tenant, (done.get(tenant) ?? 0) + 1);
      }
    });
    await sleep(3_000);
    for (const tenant of HOLDERS) done.set(tenant, 0);
    const waits = await Promise.all(Array.from({ length: 8 }, () => timedClaim(pool, "ten_d", "cold")));
    const counts = [...done.values()];
    over = true;
    await Promise.all(holding);
    await pool.close();
    waits.sort((a, b) => a - b);
    rows.push([
      String(round),
      waits[0] ?? 0,
      median(waits),
      waits.at(-1) ?? 0,
      counts.join(" "),
      jain(counts).toFixed(2),
    ]);
  }
  table(["round", "first wait ms", "median", "last", "holders' runs meanwhile", "Jain"], rows);
  console.log();
}

/** One tenant's runs of 300 ms of CPU, eight at a time, beside another's small ones at 10/s. */
async function burst(): Promise<void> {
  console.log("runs of 300 ms of CPU, eight at once, beside a neighbour's small runs at 10/s\n");
  const priorities = [0, 10];
  const seen = new Map(priorities.map((nice) => [nice, { small: [] as number[], long: [] as number[] }]));
  const pools = new Map<number, JailedPool>();
  for (const nice of priorities)
    pools.set(nice, await openJailedPool(jail, { warm: 2, bound_max: 16, long_run_nice: nice }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const nice of round % 2 === 0 ? priorities : [...priorities].reverse()) {
      const pool = pools.get(nice);
      const into = seen.get(nice);
      if (pool === undefined || into === undefined) continue;
      const small = (): Promise<unknown> => pool.run(tiny, { ...pooled("ten_b", "small"), input: 1 });
      for (let i = 0; i < 5; i++) await small(); // its runner is there before the burst
      const bursts = closedLoop(8, 4_000, async () => {
        const began = performance.now();
        await pool.run(spin, { ...pooled("ten_a", "long"), input: 300 });
        into.long.push(performance.now() - began);
      });
      await sleep(500);
      into.small.push(...(await openLoop(10, 30, small)));
      await bursts;
    }
  }
  for (const pool of pools.values()) await pool.close();
  const rows = priorities.map((nice) => {
    const small = summarise(seen.get(nice)?.small ?? []);
    const long = summarise(seen.get(nice)?.long ?? []);
    return [nice === 0 ? "same priority" : `nice ${nice}`, small.p50, small.p95, small.p99, long.p50, long.p95];
  });
  table(["long runs have", "small p50 ms", "p95", "p99", "long p50 ms", "p95"], rows);
  console.log();
}

const what = process.argv[2] ?? "";
const parts: Record<string, () => Promise<void> | void> = { waits, steps, cold, burst };
if (what !== "" && parts[what] === undefined) {
  console.error(`admission-${what} is not known; the parts of admission are ${Object.keys(parts).join(", ")}`);
  process.exit(2);
}
printMachine();
for (const [name, part] of Object.entries(parts)) if (what === "" || what === name) await part();
process.exit();
