import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { COST_CODES_MAX, COST_CONTRACTS_MAX, COST_MS_DEFAULT, COST_WEIGHT, DRAIN_WINDOW_MS } from "./contract.ts";
import { Costs } from "./costs.ts";
import { Fairness, jain } from "./fairness.ts";
import { Drain, leftOf, waitBehind } from "./load.ts";

const run = (code: string, contract = "scratch", tenant = "a") => ({ tenant, code, contract });

describe("what a run will cost", () => {
  it("is what its tenant's runs of the same code took, else of the same contract, else a guess", () => {
    const costs = new Costs();
    expect(costs.of(run("x"))).toBe(COST_MS_DEFAULT);
    costs.settle(run("x"), 1_000);
    expect(costs.of(run("x"))).toBe(1_000);
    expect(costs.of(run("y"))).toBe(1_000);
    expect(costs.of(run("y", "other"))).toBe(COST_MS_DEFAULT);
    expect(costs.of(run("x", "scratch", "b"))).toBe(COST_MS_DEFAULT);
    costs.settle(run("y"), 10);
    expect(costs.of(run("y"))).toBe(10);
    expect(costs.of(run("x"))).toBe(1_000);
  });

  it("is a plain average at first, and then moves by the weight of the newest", () => {
    const costs = new Costs();
    for (const ms of [100, 200, 300]) costs.settle(run("x"), ms);
    expect(costs.of(run("x"))).toBeCloseTo(200);
    costs.settle(run("x"), 200);
    costs.settle(run("x"), 200);
    costs.settle(run("x"), 1_200);
    expect(costs.of(run("x"))).toBeCloseTo(200 + COST_WEIGHT * 1_000);
  });

  it("is forgotten of the code, and of the contract, that was longest unheard of", () => {
    const costs = new Costs();
    costs.settle(run("first"), 7);
    for (let i = 0; i < COST_CODES_MAX - 1; i++) costs.settle(run(`c${i}`), 1_000);
    expect(costs.of(run("first"))).toBe(7);
    costs.settle(run("one more"), 1_000);
    expect(costs.of(run("first"))).toBeCloseTo(1_000);
    for (let i = 0; i < COST_CONTRACTS_MAX - 1; i++) costs.settle(run("z", `k${i}`), 50);
    expect(costs.of(run("first"))).toBeCloseTo(1_000);
    costs.settle(run("z", "one more"), 50);
    expect(costs.of(run("first"))).toBe(COST_MS_DEFAULT);
  });

  it("is never nothing", () => {
    const costs = new Costs();
    costs.settle(run("x"), 0);
    expect(costs.of(run("x"))).toBe(1);
  });
});

describe("how quickly run time drains", () => {
  it("is the slots in use while something waits, over the window", () => {
    const clock = new VirtualClock();
    const drain = new Drain(clock);
    expect(drain.rate()).toBe(0);
    drain.tell(3, false);
    clock.advance(4_000);
    expect(drain.rate()).toBe(0);
    drain.tell(4, true);
    clock.advance(1_500);
    expect(drain.rate()).toBeCloseTo(4);
    drain.tell(8, true);
    clock.advance(1_500);
    expect(drain.rate()).toBeCloseTo(6);
    drain.tell(8, false);
    clock.advance(1_000);
    expect(drain.rate()).toBeCloseTo(6);
    clock.advance(DRAIN_WINDOW_MS);
    expect(drain.rate()).toBe(0);
  });

  it("forgets what lies before the window", () => {
    const clock = new VirtualClock();
    const drain = new Drain(clock);
    drain.tell(2, true);
    clock.advance(DRAIN_WINDOW_MS * 3 + 123);
    expect(drain.rate()).toBeCloseTo(2);
    drain.tell(6, true);
    clock.advance(DRAIN_WINDOW_MS);
    expect(drain.rate()).toBeCloseTo(6);
  });
});

describe("how long who waits will wait", () => {
  it("is until a slot is free, and then as long as what stands before takes on the free ones", () => {
    expect(waitBehind(0, [500, 100, 300], 1)).toBe(100);
    expect(waitBehind(150, [500, 100, 300], 1)).toBe(250);
    expect(waitBehind(400, [500, 100, 300], 1)).toBe(400);
    expect(waitBehind(1_200, [500, 100, 300], 1)).toBe(700);
    expect(waitBehind(1_200, [500, 100, 300], 0.5)).toBe(1_100);
    expect(waitBehind(100, [], 1)).toBe(100);
  });

  it("takes a run that is past its guess for one that goes on", () => {
    expect(leftOf(100, 0)).toBe(100);
    expect(leftOf(100, 60)).toBe(40);
    expect(leftOf(100, 10_000)).toBe(5_000);
  });
});

describe("how evenly slot time is given", () => {
  it("is 1 for even shares and 1/n when one has all", () => {
    expect(jain([5, 5, 5])).toBeCloseTo(1);
    expect(jain([9, 0, 0])).toBeCloseTo(1 / 3);
    expect(jain([])).toBe(1);
  });

  it("is told of the tenants that waited through the whole period, of the time within it", () => {
    const fairness = new Fairness(0);
    const both = { interactive: new Set(["a", "b", "c"]), batch: new Set(["a"]) };
    const hold = (tenant: string, since: number) => ({ lane: "interactive" as const, tenant, since });
    expect(fairness.close(1_000, [hold("a", 0), hold("b", 400)], both)).toEqual({
      interactive: undefined,
      batch: undefined,
    });
    fairness.ended(hold("a", 0), 1_600);
    fairness.ended(hold("c", 1_000), 1_900);
    const after = { interactive: new Set(["a", "b"]), batch: new Set<string>() };
    // a has had 600 ms of this period, b 300; c had enough before its end.
    const { interactive, batch } = fairness.close(2_000, [hold("b", 1_700)], after);
    expect(interactive).toBeCloseTo(900 ** 2 / (2 * (600 ** 2 + 300 ** 2)));
    expect(batch).toBeUndefined();
  });
});
