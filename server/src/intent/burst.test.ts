import { describe, expect, it } from "vitest";
import { quantile, type Simulated, SimulatedNode, seeded, waitOf } from "../../../tests/fixtures/simulated_node.ts";
import {
  QUANTUM_MS,
  QUEUE_BATCH_MAX,
  QUEUE_NODE_BATCH_MAX,
  RETRY_AFTER_MS_MAX,
  RETRY_AFTER_MS_MIN,
} from "./contract.ts";
import { jain } from "./fairness.ts";

/** Admission in virtual time: exact, and as long as it takes. The same with a real server is in tests/e2e. */

const SLOTS = 8;

/** B's twenty interactive runs, all at once or one by one, on a node that has something else to do or not. */
function interactive(node: SimulatedNode, gap_ms: number, random: () => number): Simulated[] {
  const runs: Simulated[] = [];
  for (let i = 0; i < 20; i++) {
    runs.push(node.ask({ tenant: "b", lane: "interactive", run_ms: 20 + Math.round(random() * 80) }));
    if (gap_ms > 0) node.clock.advance(gap_ms);
  }
  node.until(() => runs.every(({ ended_at }) => ended_at !== undefined), 60_000);
  return runs;
}

/** Batch runs that take up to a quantum, of so many tenants, as many as will be taken and then some. */
function flood(node: SimulatedNode, tenants: number, each: number, random: () => number): Simulated[] {
  const runs: Simulated[] = [];
  for (let i = 0; i < each; i++) {
    for (let n = 0; n < tenants; n++) {
      runs.push(node.ask({ tenant: `a${n}`, run_ms: Math.max(1, Math.round(random() * QUANTUM_MS)) }));
    }
  }
  return runs;
}

const isRefused = ({ placement }: Simulated) => placement.kind === "refuse";
const retryOf = ({ placement }: Simulated) => (placement.kind === "refuse" ? placement.retry_after_ms : undefined);

describe("a burst of batch runs", () => {
  it.each([
    ["one tenant with 10,000", 1, 10_000, 0],
    ["one tenant with 10,000, and interactive runs one by one", 1, 10_000, 50],
    ["ten tenants up to the node's bound", 10, 1_100, 0],
    ["ten tenants up to the node's bound, and interactive runs one by one", 10, 1_100, 50],
  ])("leaves a neighbour's interactive runs within twice their own wait and a quantum: %s", (_, tenants, each, gap) => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const alone = interactive(new SimulatedNode({ slots: SLOTS }), gap, seeded(seed)).map(waitOf);
      const node = new SimulatedNode({ slots: SLOTS });
      const batch = flood(node, tenants, each, seeded(seed + 100));
      expect(batch.filter(isRefused).length).toBeGreaterThan(0);
      expect(node.admission.waiting("batch")).toBe(Math.min(QUEUE_NODE_BATCH_MAX, tenants * QUEUE_BATCH_MAX));
      const beside = interactive(node, gap, seeded(seed)).map(waitOf);
      expect(quantile(beside, 0.99)).toBeLessThanOrEqual(2 * quantile(alone, 0.99) + QUANTUM_MS);
    }
  });

  it("starves nobody: batch runs go on beside interactive ones, and all that was taken is done", () => {
    const random = seeded(7);
    const node = new SimulatedNode({ slots: SLOTS });
    const batch = flood(node, 3, 400, random);
    const small: Simulated[] = [];
    // As much interactive work as the node has room for, and more.
    for (let i = 0; i < 1_000; i++) {
      for (const tenant of ["b", "c"]) small.push(node.ask({ tenant, lane: "interactive", run_ms: 50 }));
      node.clock.advance(10);
    }
    const done = batch.filter(({ ended_at }) => ended_at !== undefined).length;
    const served = small.filter(({ ended_at }) => ended_at !== undefined).length;
    expect(done / (done + served)).toBeGreaterThan(0.19); // its fifth
    const taken = [...batch, ...small].filter((run) => !isRefused(run));
    node.until(() => taken.every(({ ended_at }) => ended_at !== undefined), 600_000, 100);
    expect(taken.every(({ ended_at }) => ended_at !== undefined)).toBe(true);
    expect(node.admission.active).toBe(0);
  });

  it("of one tenant fifty times the others' leaves every tenant its share of the slots", () => {
    const random = seeded(11);
    const node = new SimulatedNode({ slots: SLOTS });
    for (let i = 0; i < 1_000; i++) node.ask({ tenant: "flood", run_ms: Math.ceil(random() * 200) });
    const given = new Map<string, number>();
    const names = ["flood", "b", "c", "d"];
    const keep = (tenant: string) => {
      const runs = () => node.runs.filter((run) => run.ticket.tenant === tenant && run.started_at === undefined);
      while (runs().length < 20) node.ask({ tenant, run_ms: Math.ceil(random() * 200) });
    };
    for (const tenant of names.slice(1)) keep(tenant);
    node.admission.fairness();
    for (let i = 0; i < 600; i++) {
      for (const tenant of names.slice(1)) keep(tenant);
      node.clock.advance(20);
    }
    for (const { ticket, started_at, ended_at, run_ms } of node.runs) {
      if (started_at === undefined) continue;
      const ms = ended_at === undefined ? node.clock.now() - started_at : run_ms;
      given.set(ticket.tenant, (given.get(ticket.tenant) ?? 0) + ms);
    }
    expect(jain(names.map((name) => given.get(name) ?? 0))).toBeGreaterThanOrEqual(0.99);
    keep("b");
    const told = node.admission.fairness().batch;
    expect(told).toBeGreaterThanOrEqual(0.99);
  });
});

/** Until the moment at which who was refused would have had its slot, had it been let wait. */
function truthOf(node: SimulatedNode, ahead: Simulated[]): number {
  const from = node.clock.now();
  node.until(() => ahead.every(({ started_at }) => started_at !== undefined), 10 * RETRY_AFTER_MS_MAX, 5);
  return node.clock.now() - from;
}

function expectRight(told: number | undefined, truth: number): void {
  const bounded = Math.min(RETRY_AFTER_MS_MAX, Math.max(RETRY_AFTER_MS_MIN, truth));
  expect(told).toBeGreaterThanOrEqual(bounded / 2);
  expect(told).toBeLessThanOrEqual(bounded * 2);
}

/** How long a run takes, by what is usual for it. */
const SHAPES: Record<string, (usual: number, random: () => number) => number> = {
  steady: (usual) => usual,
  even: (usual, random) => Math.max(1, 2 * usual * random()),
  exponential: (usual, random) => Math.max(1, -usual * Math.log(1 - random())),
};

describe("Retry-After", () => {
  const cases = Object.keys(SHAPES).flatMap((shape) => [20, 150, 1_500].map((usual) => [shape, usual] as const));

  it.each(cases)("is right within a factor of two for a full queue of %s runs of %i ms", (shape, usual) => {
    for (const tenants of [1, 3]) {
      const random = seeded(usual + tenants);
      const runMs = () => Math.round((SHAPES[shape] as (typeof SHAPES)["steady"])(usual, random));
      const node = new SimulatedNode({ slots: SLOTS });
      // A node that has served such runs for a while: what is refused in its first moments can only be guessed.
      for (let i = 0; i < QUEUE_BATCH_MAX + SLOTS; i++) {
        for (let n = 0; n < tenants; n++) node.ask({ tenant: `a${n}`, run_ms: runMs() });
      }
      node.until(() => node.runs.filter(({ ended_at }) => ended_at !== undefined).length > 200, 600_000, 5);
      for (let n = 0; n < tenants; n++) {
        while (!isRefused(node.ask({ tenant: `a${n}`, run_ms: runMs() })));
      }
      const told = retryOf(node.ask({ tenant: "a0", run_ms: runMs() }));
      const own = node.runs.filter((run) => run.ticket.tenant === "a0" && run.placement.kind === "wait");
      expectRight(told, truthOf(node, own));
    }
  });

  it.each(cases)("is right for who will not wait, beside %s runs of %i ms", (shape, usual) => {
    const random = seeded(usual);
    const runMs = () => Math.round((SHAPES[shape] as (typeof SHAPES)["steady"])(usual, random));
    const node = new SimulatedNode({ slots: SLOTS });
    for (let i = 0; i < 300; i++) for (const tenant of ["a", "b"]) node.ask({ tenant, run_ms: runMs() });
    node.until(() => node.runs.filter(({ ended_at }) => ended_at !== undefined).length > 60, 600_000, 5);
    const told = retryOf(node.ask({ tenant: "z", lane: "interactive", run_ms: runMs(), on_busy: "reject" }));
    const ahead = node.runs.filter((run) => run.placement.kind !== "refuse");
    expectRight(told, truthOf(node, ahead));
  });

  it("is right in the lane that has a fifth, and in the one that has the rest", () => {
    const node = new SimulatedNode({ slots: SLOTS });
    const asks = (tenant: string, lane: "interactive" | "batch", count: number) =>
      Array.from({ length: count }, () => node.ask({ tenant, lane, run_ms: 200 }));
    asks("a", "batch", 60);
    node.clock.advance(400);
    const batch = asks("a", "batch", 1_000).filter(({ placement }) => placement.kind === "wait");
    const small = asks("b", "interactive", 101);
    expectRight(retryOf(small.at(-1) as Simulated), truthOf(node, small.slice(0, 100)));
    const more = asks("a", "batch", 1_000);
    const again = asks("b", "interactive", 101);
    expect(again.at(-1)?.placement.kind).toBe("refuse");
    const told = retryOf(asks("a", "batch", 1)[0] as Simulated);
    const waits = [...batch, ...more].filter(({ placement }) => placement.kind === "wait");
    expectRight(told, truthOf(node, waits));
  });

  it("speaks of the tenant's own runs when its own cap is what holds it back", () => {
    const node = new SimulatedNode({ slots: 64 });
    for (let i = 0; i < 20; i++) node.ask({ tenant: "a", run_ms: 4_000 });
    node.clock.advance(4_000);
    for (let i = 0; i < 200; i++) node.ask({ tenant: "a", run_ms: 4_000 });
    node.clock.advance(4_100);
    const ahead = node.runs.filter(({ placement }) => placement.kind !== "refuse");
    const refused = node.ask({ tenant: "a", run_ms: 4_000, on_busy: "reject" });
    expect(refused.placement).toMatchObject({ error: { code: "RUN_CONCURRENCY" } });
    expectRight(retryOf(refused), truthOf(node, ahead));
    expect(node.ask({ tenant: "b", run_ms: 1, on_busy: "reject" }).placement.kind).toBe("start");
  });
});

describe("ten thousand that wait", () => {
  it("make no step of one run dearer", () => {
    const node = new SimulatedNode({ slots: SLOTS });
    for (let n = 0; n < 10; n++) for (let i = 0; i < 1_010; i++) node.ask({ tenant: `a${n}`, run_ms: 10 });
    expect(node.admission.waiting("batch")).toBe(QUEUE_NODE_BATCH_MAX);
    let steps = 0;
    // Nothing that happens for each run may walk over what waits: counted by the one thing that all walks go through.
    const proto = Map.prototype as unknown as Record<string, unknown>;
    const values = proto["values"] as () => unknown;
    proto["values"] = function counted(this: Map<unknown, unknown>) {
      steps += this.size;
      return values.call(this);
    };
    try {
      node.until(() => node.admission.waiting("batch") < QUEUE_NODE_BATCH_MAX - 500, 10_000);
    } finally {
      proto["values"] = values;
    }
    expect(steps).toBe(0);
  });
});
