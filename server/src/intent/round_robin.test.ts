import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEBT_MS_MAX, QUANTUM_MS } from "./contract.ts";
import { Costs } from "./costs.ts";
import { Heap, type Heaped } from "./heap.ts";
import { Line } from "./line.ts";
import { RoundRobin, type Ticket } from "./round_robin.ts";

/** One lane. `codes` are what runs of that code take, and are known to take from the start. */
function lane(codes: Record<string, number>, tenants: string[], may: (tenant: string) => boolean = () => true) {
  const costs = new Costs();
  for (const tenant of tenants) {
    for (const [code, ms] of Object.entries(codes)) costs.settle({ tenant, code, contract: "scratch" }, ms);
  }
  const robin = new RoundRobin(costs, may);
  let n = 0;
  const push = (tenant: string, code: string): Ticket => {
    n += 1;
    const ticket: Ticket = { run: `run_${n}`, tenant, lane: "batch", memory_mb: 64, code, contract: "scratch" };
    robin.push(ticket);
    return ticket;
  };
  return { robin, push, costs };
}

describe("one lane", () => {
  it("gives tenants equal run time, however long their runs are", () => {
    const { robin, push } = lane({ short: 50, long: 400 }, ["a", "b"]);
    for (let i = 0; i < 200; i++) push("a", "short");
    for (let i = 0; i < 50; i++) push("b", "long");
    const used: Record<string, number> = { a: 0, b: 0 };
    for (let i = 0; i < 90; i++) {
      const t = robin.take();
      const ms = t.code === "short" ? 50 : 400;
      used[t.tenant] = (used[t.tenant] ?? 0) + ms;
      robin.settle(t, ms);
    }
    expect(Math.abs((used["a"] ?? 0) - (used["b"] ?? 0))).toBeLessThanOrEqual(QUANTUM_MS + 400);
  });

  it("charges what a run really took: who was cheaper than guessed is owed the rest", () => {
    const { robin, push } = lane({ odd: 1_000 }, ["a", "b"]);
    for (let i = 0; i < 40; i++) {
      push("a", "odd");
      push("b", "odd");
    }
    // All of a's runs take a tenth of the guess, which does not learn of it here: only the deficit does.
    const used: Record<string, number> = { a: 0, b: 0 };
    for (let i = 0; i < 33; i++) {
      const t = robin.take();
      const ms = t.tenant === "a" ? 100 : 1_000;
      used[t.tenant] = (used[t.tenant] ?? 0) + ms;
      robin.settle(t, ms);
    }
    expect(Math.abs((used["a"] ?? 0) - (used["b"] ?? 0))).toBeLessThanOrEqual(QUANTUM_MS + 1_000);
  });

  it("forgives what is owed past DEBT_MS_MAX", () => {
    const { robin, push } = lane({ x: QUANTUM_MS }, ["a", "b", "c"]);
    for (const tenant of ["a", "b"]) for (let i = 0; i < 3; i++) push(tenant, "x");
    const first = robin.take();
    robin.settle(first, QUANTUM_MS + DEBT_MS_MAX);
    expect(robin.deficitOf(first.tenant)).toBe(-DEBT_MS_MAX);
    const second = robin.take();
    robin.settle(second, QUANTUM_MS + DEBT_MS_MAX + 1);
    expect(robin.deficitOf(second.tenant)).toBe(-DEBT_MS_MAX);
  });

  it("keeps a tenant's turn while its own cap holds it back, and gives nothing for the rounds meanwhile", () => {
    const capped = new Set(["a"]);
    const { robin, push } = lane({ x: QUANTUM_MS }, ["a", "b"], (tenant) => !capped.has(tenant));
    for (let i = 0; i < 20; i++) {
      push("a", "x");
      push("b", "x");
    }
    for (let i = 0; i < 10; i++) {
      const t = robin.take();
      expect(t.tenant).toBe("b");
      robin.settle(t, QUANTUM_MS);
    }
    capped.delete("a");
    robin.refresh("a");
    const order = Array.from({ length: 7 }, () => {
      const t = robin.take();
      robin.settle(t, QUANTUM_MS);
      return t.tenant;
    });
    expect(order[0]).toBe("a");
    expect(order.filter((tenant) => tenant === "a").length).toBeLessThanOrEqual(4);
  });

  it("forgets a tenant that neither waits nor runs", () => {
    const { robin, push } = lane({ x: 300 }, ["a"]);
    push("a", "x");
    const t = robin.take();
    expect(robin.deficitOf("a")).toBeDefined();
    robin.settle(t, 5_000);
    expect(robin.deficitOf("a")).toBeUndefined();
    expect(robin.next).toBeUndefined();
  });
});

/** Tenants and the codes of their runs, in the order of their asking; each tenant always has more than it is given. */
const backlog = fc.record({
  codes: fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 4 }),
  tenants: fc.integer({ min: 2, max: 6 }),
  picks: fc.array(fc.nat(1_000), { minLength: 20, maxLength: 120 }),
  slots: fc.integer({ min: 1, max: 8 }),
});

describe("whatever waits", () => {
  it("no tenant that waits lags another by more than a quantum and the largest cost", () => {
    fc.assert(
      fc.property(backlog, ({ codes, tenants, picks, slots }) => {
        const named = Object.fromEntries(codes.map((ms, i) => [`c${i}`, ms]));
        const names = Array.from({ length: tenants }, (_, i) => `t${i}`);
        const { robin, push } = lane(named, names);
        let at = 0;
        const pick = () => `c${(picks[at++ % picks.length] ?? 0) % codes.length}`;
        for (const name of names) for (let i = 0; i < 4; i++) push(name, pick());
        const used = new Map(names.map((name) => [name, 0]));
        const bound = QUANTUM_MS + Math.max(...codes);
        const running: Ticket[] = [];
        for (let i = 0; i < 300; i++) {
          const t = robin.take();
          running.push(t);
          const ms = named[t.code] ?? 0;
          push(t.tenant, pick());
          const over = running.length === slots ? running.shift() : undefined;
          if (over !== undefined) robin.settle(over, named[over.code] ?? 0);
          used.set(t.tenant, (used.get(t.tenant) ?? 0) + ms);
          const all = [...used.values()];
          expect(Math.max(...all) - Math.min(...all)).toBeLessThanOrEqual(bound);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("deficits stay between what runs at once can owe and what is owed for them", () => {
    const step = fc.record({ tenant: fc.nat(3), take: fc.boolean(), actual: fc.integer({ min: 1, max: 3_000 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 6 }), (steps, slots) => {
        const guess = 400;
        const names = ["t0", "t1", "t2", "t3"];
        const { robin, push } = lane({ x: guess }, names);
        const running: Ticket[] = [];
        for (const { tenant, take, actual } of steps) {
          push(`t${tenant}`, "x");
          if (take && running.length === slots) robin.settle(running.shift() as Ticket, actual);
          if (running.length < slots && robin.next !== undefined) running.push(robin.take());
          for (const name of names) {
            const deficit = robin.deficitOf(name) ?? 0;
            expect(deficit).toBeGreaterThanOrEqual(-DEBT_MS_MAX - slots * guess);
            // What it may use at once, and what it is owed for runs that took less than was charged.
            expect(deficit).toBeLessThanOrEqual(QUANTUM_MS + (slots + 1) * guess);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it("a tenant's runs start in their order, nobody starves, and nothing is lost", () => {
    const step = fc.record({
      do: fc.constantFrom("push", "push", "take", "end", "leave", "cap"),
      tenant: fc.nat(4),
      pick: fc.nat(100),
      ms: fc.integer({ min: 1, max: 1_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250 }), (steps) => {
        const capped = new Set<string>();
        const names = ["t0", "t1", "t2", "t3", "t4"];
        const { robin, push } = lane({ a: 10, b: 900 }, names, (tenant) => !capped.has(tenant));
        const waiting: Ticket[] = [];
        const running: Ticket[] = [];
        for (const s of steps) {
          const tenant = `t${s.tenant}`;
          if (s.do === "push") waiting.push(push(tenant, s.pick % 2 === 0 ? "a" : "b"));
          else if (s.do === "end" && running.length > 0)
            robin.settle(running.splice(s.pick % running.length, 1)[0] as Ticket, s.ms);
          else if (s.do === "leave" && waiting.length > 0)
            expect(robin.remove(waiting.splice(s.pick % waiting.length, 1)[0] as Ticket)).toBe(true);
          else if (s.do === "cap") {
            if (!capped.delete(tenant)) capped.add(tenant);
            robin.refresh(tenant);
          } else if (s.do === "take" && robin.next !== undefined) {
            const taken = robin.take();
            expect(taken).toBe(waiting.find((each) => each.tenant === taken.tenant));
            expect(capped.has(taken.tenant)).toBe(false);
            waiting.splice(waiting.indexOf(taken), 1);
            running.push(taken);
          }
          expect(robin.size).toBe(waiting.length);
          // Work conservation: there is a next exactly when somebody waits who may have a slot.
          expect(robin.next !== undefined).toBe(waiting.some((each) => !capped.has(each.tenant)));
        }
        capped.clear();
        robin.refreshAll();
        // Whoever waits now starts within as many rounds as its cost and its debt, while newcomers keep coming.
        const olds = new Set(waiting);
        for (let i = 0; olds.size > 0 && i < 20_000; i++) {
          const t = robin.take();
          olds.delete(t);
          robin.settle(t, 50);
          if (olds.size > 0) push(names[i % 5] ?? "t0", "a");
        }
        expect(olds.size).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});

describe("the line and the heap under it", () => {
  it("behave as an array that is sorted, searched and cut", () => {
    interface Item extends Heaped {
      key: number;
    }
    const step = fc.record({ do: fc.constantFrom("put", "change", "drop"), key: fc.nat(50), pick: fc.nat(100) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const heap = new Heap<Item>((a, b) => a.key < b.key);
        const line = new Line<Item>();
        let items: Item[] = [];
        for (const s of steps) {
          const item = items[s.pick % Math.max(1, items.length)];
          if (s.do === "put" || item === undefined) {
            const fresh = { key: s.key, index: -1 };
            items.push(fresh);
            heap.put(fresh);
            line.push(fresh);
          } else if (s.do === "change") {
            item.key = s.key;
            heap.put(item);
            line.push(item); // it is there already
          } else {
            items = items.filter((each) => each !== item);
            heap.drop(item);
            heap.drop(item);
            expect(line.remove(item)).toBe(true);
            expect(line.remove(item)).toBe(false);
          }
          expect(heap.top?.key).toBe(items.length === 0 ? undefined : Math.min(...items.map(({ key }) => key)));
          expect([...line]).toEqual(items);
          expect(line.size).toBe(items.length);
          expect(line.head).toBe(items[0]);
        }
      }),
    );
  });
});
