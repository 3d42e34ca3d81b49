/**
 * Who gets a slot, in virtual time, against one line for all; and what each step of it costs in real time.
 */
import { Admission, type Ticket } from "../../server/src/intent/admission.ts";
import { type Lane, QUEUE_INTERACTIVE_MAX } from "../../server/src/intent/contract.ts";
import { jain } from "../../server/src/intent/fairness.ts";
import { quantile, SimulatedNode, seeded, waitOf } from "../../tests/fixtures/simulated_node.ts";
import { VirtualClock } from "../../tests/fixtures/virtual_clock.ts";
import { median, table } from "./measure.ts";

const SLOTS = 8;

/** One that asks, with how long its run takes and when it comes. */
interface Demand {
  tenant: string;
  lane: Lane;
  at: number;
  run_ms: number;
}
interface Served extends Demand {
  wait_ms: number;
}

/** The floor: first come, first served over all tenants and lanes. */
function inOneLine(demands: Demand[]): Served[] {
  const free = new Array<number>(SLOTS).fill(0);
  return [...demands]
    .sort((a, b) => a.at - b.at)
    .map((demand) => {
      const slot = free.indexOf(Math.min(...free));
      const start = Math.max(demand.at, free[slot] ?? 0);
      free[slot] = start + demand.run_ms;
      return { ...demand, wait_ms: start - demand.at };
    });
}

function byAdmission(demands: Demand[]): Served[] {
  const node = new SimulatedNode({ slots: SLOTS });
  const began = node.clock.now();
  const asked = [...demands]
    .sort((a, b) => a.at - b.at)
    .map((demand) => {
      node.clock.advance(Math.max(0, demand.at - (node.clock.now() - began)));
      return { demand, run: node.ask(demand) };
    });
  const taken = asked.filter(({ run }) => run.placement.kind !== "refuse");
  node.until(() => taken.every(({ run }) => run.started_at !== undefined), 3_600_000, 5);
  return taken.map(({ demand, run }) => ({ ...demand, wait_ms: waitOf(run) }));
}

/** One tenant's 10,000 batch runs at once, and another's twenty interactive ones a second later. */
function burst(batch: number): Demand[] {
  const random = seeded(batch + 1);
  const flood = Array.from({ length: batch }, () => ({
    ...{ tenant: "a", lane: "batch" as const, at: 0, run_ms: Math.ceil(random() * 100) },
  }));
  const small = Array.from({ length: 20 }, () => ({
    ...{ tenant: "b", lane: "interactive" as const, at: 1_000, run_ms: Math.ceil(random() * 100) },
  }));
  return [...flood, ...small];
}

/** What four tenants have had of the slots after `until`; one of them asks fifty times as much as the others. */
function flooded(serve: (demands: Demand[]) => Served[], until: number): number {
  const random = seeded(3);
  const demands: Demand[] = [];
  for (const [tenant, each] of Object.entries({ flood: 100, b: 2, c: 2, d: 2 })) {
    for (let at = 0; at < until; at += 100) {
      for (let n = 0; n < each; n++) demands.push({ tenant, lane: "batch", at, run_ms: Math.ceil(random() * 200) });
    }
  }
  const given = new Map<string, number>();
  for (const { tenant, at, wait_ms, run_ms } of serve(demands)) {
    const start = at + wait_ms;
    const had = Math.max(0, Math.min(until, start + run_ms) - start);
    given.set(tenant, (given.get(tenant) ?? 0) + had);
  }
  return jain([...given.values()]);
}

export function waits(): void {
  const rows = [["one line for all", inOneLine] as const, ["ours", byAdmission] as const].map(([name, serve]) => {
    const of = (batch: number) =>
      serve(burst(batch))
        .filter(({ tenant }) => tenant === "b")
        .map(({ wait_ms }) => wait_ms);
    const [alone, beside] = [of(0), of(10_000)];
    return [
      name,
      quantile(alone, 0.5),
      quantile(alone, 0.99),
      quantile(beside, 0.5),
      quantile(beside, 0.99),
      flooded(serve, 20_000).toFixed(3),
    ];
  });
  console.log(
    `virtual time, ${SLOTS} slots, runs of 1 to 100 ms: waits of 20 interactive runs (ms), and Jain's index of four`,
  );
  console.log("tenants' slot time of whom one asks fifty times as much\n");
  table(["", "alone p50", "p99", "beside 10,000 batch p50", "p99", "Jain"], rows);
  console.log();
}

const ROUNDS = 9;
const STEPS = 20_000;

/** µs of one run's way through admission, with so many waiting all the time. */
function stepUs(waiting: number, tenants: number): { step: number; refusal: number; place: number } {
  const clock = new VirtualClock();
  const running: Ticket[] = [];
  const admission = new Admission(clock, { slots: SLOTS, memory_mb: 65_536 }, (ticket) => running.push(ticket));
  let n = 0;
  const ask = (): Ticket => {
    n += 1;
    const lane = waiting > tenants * QUEUE_INTERACTIVE_MAX || n % 2 === 0 ? "batch" : "interactive";
    const tenant = `t${n % tenants}`;
    return { run: String(n), tenant, lane, code: `c${n % 64}`, contract: "scratch", memory_mb: 64 };
  };
  const place = (): void => {
    const ticket = ask();
    if (admission.place(ticket, "delay").kind === "start") running.push(ticket);
  };
  while (admission.waiting("batch") + admission.waiting("interactive") < waiting) place();
  const timed = (times: number, work: () => void): number => {
    const began = performance.now();
    for (let i = 0; i < times; i++) work();
    return ((performance.now() - began) * 1_000) / times;
  };
  const step = timed(STEPS, () => {
    admission.end(running.shift() as Ticket);
    place();
  });
  const full = ask();
  const refusal = timed(200, () => void admission.place({ ...full }, "reject"));
  const placed = ask();
  admission.restore(placed);
  return { step, refusal, place: timed(200, () => void admission.positionOf(placed)) };
}

export function steps(): void {
  const rows = [
    [0, 10],
    [100, 10],
    [1_000, 10],
    [7_900, 10],
    [7_900, 1_000],
  ].map(([waiting = 0, tenants = 1]) => {
    const rounds = Array.from({ length: ROUNDS }, () => stepUs(waiting, tenants));
    const of = (name: "step" | "refusal" | "place") => median(rounds.map((round) => round[name])).toFixed(1);
    return [`${waiting} of ${tenants} tenants`, of("step"), of("refusal"), of("place")];
  });
  console.log(
    `what admission costs (µs, medians of ${ROUNDS} rounds): a run's end and another's placing; a refusal; asking for a place\n`,
  );
  table(["waiting", "end and place", "refusal", "position"], rows);
  console.log();
}
