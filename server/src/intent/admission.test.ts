import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { Admission, type Capacity, type Ticket } from "./admission.ts";
import {
  COST_MS_DEFAULT,
  type Lane,
  QUEUE_BATCH_MAX,
  QUEUE_INTERACTIVE_MAX,
  QUEUE_NODE_BATCH_MAX,
  QUEUE_NODE_MAX,
  RETRY_AFTER_MS_MAX,
  RETRY_AFTER_MS_MIN,
  TENANT_CONCURRENCY_MAX,
} from "./contract.ts";

function desk(capacity: Partial<Capacity> = {}) {
  const clock = new VirtualClock();
  const started: Ticket[] = [];
  const admission = new Admission(clock, { slots: 2, memory_mb: 1_024, ...capacity }, (t) => started.push(t));
  let n = 0;
  const ticket = (tenant: string, lane: Lane = "interactive", memory_mb = 128): Ticket => {
    n += 1;
    return { run: `run_${n}`, tenant, lane, memory_mb, code: "c", contract: "scratch" };
  };
  /** Places a ticket that may wait. */
  const delay = (tenant: string, lane: Lane = "interactive", memory_mb = 128) => {
    const t = ticket(tenant, lane, memory_mb);
    return { t, placement: admission.place(t, "delay") };
  };
  return { clock, admission, started, ticket, delay };
}

describe("a slot", () => {
  it("is given at once while there are some, and then refused or queued", () => {
    const { admission, ticket, started } = desk();
    const first = ticket("a");
    expect(admission.place(first, "reject")).toEqual({ kind: "start" });
    expect(admission.place(ticket("b"), "reject")).toEqual({ kind: "start" });
    expect(admission.place(ticket("c"), "reject")).toMatchObject({ kind: "refuse", error: { code: "RUN_CAPACITY" } });
    const waiting = ticket("c");
    expect(admission.place(waiting, "delay")).toEqual({ kind: "wait", downgraded: false });
    expect(admission.positionOf(waiting)).toMatchObject({ position: 1 });
    admission.end(first);
    expect(started).toEqual([waiting]);
    expect(admission.positionOf(waiting)).toBeUndefined();
  });

  it("is freed once, however often its end is told", () => {
    const { admission, ticket } = desk();
    const t = ticket("a");
    admission.place(t, "reject");
    admission.end(t);
    admission.end(t);
    expect(admission.active).toBe(0);
  });

  it("is never given past the node's memory, and a run that memory does not fit keeps its turn", () => {
    const { admission, ticket, started } = desk({ slots: 8, memory_mb: 512 });
    const small = ticket("a", "interactive", 128);
    admission.place(small, "reject");
    const large = ticket("b", "interactive", 512);
    expect(admission.place(large, "delay").kind).toBe("wait");
    expect(admission.place(ticket("c", "interactive", 128), "delay").kind).toBe("wait");
    expect(started).toEqual([]);
    admission.end(small);
    expect(started).toEqual([large]);
    admission.end(large);
    expect(started).toHaveLength(2);
  });

  it("is refused at once to a run that no node could hold", () => {
    const { admission, ticket } = desk({ memory_mb: 256 });
    expect(admission.place(ticket("a", "batch", 256), "delay").kind).toBe("start");
    expect(admission.place(ticket("a", "batch", 257), "delay")).toMatchObject({ kind: "refuse" });
  });
});

describe("a tenant", () => {
  it("at its own cap is told so, and others are served past it", () => {
    const { admission, ticket, delay, started } = desk({ slots: TENANT_CONCURRENCY_MAX + 1, memory_mb: 65_536 });
    const own = Array.from({ length: TENANT_CONCURRENCY_MAX }, () => ticket("a"));
    for (const t of own) expect(admission.place(t, "reject").kind).toBe("start");
    expect(admission.place(ticket("a"), "reject")).toMatchObject({
      kind: "refuse",
      error: { code: "RUN_CONCURRENCY" },
    });
    const { t: ninth } = delay("a");
    expect(admission.place(ticket("b"), "reject").kind).toBe("start");
    const { t: waiting } = delay("c");
    admission.end(own[0] as Ticket);
    // Its turn came first, and its cap has room again.
    expect(started).toEqual([ninth]);
    admission.end(own[1] as Ticket);
    expect(started).toEqual([ninth, waiting]);
  });

  it.each([
    ["interactive", QUEUE_INTERACTIVE_MAX],
    ["batch", QUEUE_BATCH_MAX],
  ] as const)("has a queue in the %s lane of exactly %i", (lane, max) => {
    const { admission, delay, ticket } = desk({ slots: 1 });
    admission.place(ticket("x"), "reject");
    for (let i = 0; i < max; i++) expect(delay("a", lane).placement.kind).toBe("wait");
    expect(delay("a", lane).placement).toMatchObject({ kind: "refuse", error: { code: "RUN_CONCURRENCY" } });
    expect(delay("b", lane).placement.kind).toBe("wait");
  });

  it("that floods does not starve one that asks now and then", () => {
    const { admission, delay, started } = desk({ slots: 1 });
    const { t: running } = delay("flood");
    for (let i = 0; i < 90; i++) delay("flood");
    const { t: rare } = delay("rare");
    let at: Ticket | undefined = running;
    for (let i = 0; i < 3 && at !== rare; i++) {
      admission.end(at as Ticket);
      at = started.at(-1);
    }
    expect(started.indexOf(rare)).toBeLessThanOrEqual(1);
  });
});

describe("the lanes", () => {
  it("share slots four to one while both wait, and each has them all while it waits alone", () => {
    const { admission, delay, started } = desk({ slots: 1 });
    const { t: first } = delay("z");
    for (let i = 0; i < 20; i++) {
      delay(`i${i % 3}`, "interactive");
      delay(`b${i % 3}`, "batch");
    }
    let current = first;
    for (let i = 0; i < 40; i++) {
      admission.end(current);
      current = started.at(-1) as Ticket;
    }
    const first20 = started.slice(0, 20).filter(({ lane }) => lane === "interactive").length;
    expect(first20).toBe(16);
    expect(started.slice(25).every(({ lane }) => lane === "batch")).toBe(true);
    expect(started).toHaveLength(40);
  });

  it("let an interactive run become a batch run, never the other way", () => {
    const { admission, ticket } = desk({ slots: 1 });
    admission.place(ticket("a"), "reject");
    const t = ticket("a", "interactive");
    expect(admission.place(t, "downgrade")).toEqual({ kind: "wait", downgraded: true });
    expect(t.lane).toBe("batch");
    const b = ticket("a", "batch");
    expect(admission.place(b, "downgrade")).toEqual({ kind: "wait", downgraded: false });
    expect(b.lane).toBe("batch");
  });

  it("hold at most the node's number of waiting runs", () => {
    const { admission, delay, ticket } = desk({ slots: 1 });
    admission.place(ticket("x"), "reject");
    for (let i = 0; i < QUEUE_NODE_MAX; i++) expect(delay(`t${i % 150}`).placement.kind).toBe("wait");
    expect(delay("other").placement).toMatchObject({ kind: "refuse", error: { code: "RUN_CAPACITY" } });
  });

  it("keep room for interactive ones, however many batch ones there are", () => {
    const { admission, delay, ticket } = desk({ slots: 1 });
    admission.place(ticket("x"), "reject");
    for (let i = 0; i < QUEUE_NODE_BATCH_MAX; i++) expect(delay(`t${i % 10}`, "batch").placement.kind).toBe("wait");
    expect(delay("other", "batch").placement).toMatchObject({ kind: "refuse", error: { code: "RUN_CAPACITY" } });
    expect(delay("other", "interactive").placement.kind).toBe("wait");
  });
});

describe("several nodes", () => {
  it("each give a tenant its part of what it may have, and at least one", () => {
    const { admission, delay, ticket, started } = desk({ slots: 64, memory_mb: 65_536 });
    admission.shareWith(3);
    const own = Array.from({ length: 2 }, () => delay("a").t); // a third of eight
    expect(admission.active).toBe(2);
    expect(admission.place(ticket("a"), "reject")).toMatchObject({
      kind: "refuse",
      error: { code: "RUN_CONCURRENCY" },
      detail: expect.stringContaining("on each of 3 nodes"),
    });
    for (let i = 0; i < Math.floor(QUEUE_INTERACTIVE_MAX / 3); i++) expect(delay("a").placement.kind).toBe("wait");
    expect(delay("a").placement.kind).toBe("refuse");
    expect(delay("b").placement.kind).toBe("start");
    admission.shareWith(1_000);
    admission.end(own[0] as Ticket);
    admission.end(own[1] as Ticket);
    expect(started).toHaveLength(1);
    expect(admission.place(ticket("new"), "reject").kind).toBe("start");
    admission.shareWith(1); // the others have gone: what waits is started, as far as it may be
    expect(started).toHaveLength(TENANT_CONCURRENCY_MAX);
  });
});

describe("retry after", () => {
  it("is the waiting run time over the rate at which run time drains, from 1 to 60 seconds", () => {
    const { admission, clock, delay, ticket } = desk({ slots: 1 });
    const retry = () => {
      const placed = admission.place(ticket("z"), "reject");
      return placed.kind === "refuse" ? placed.retry_after_ms : undefined;
    };
    const { t } = delay("a");
    expect(retry()).toBe(RETRY_AFTER_MS_MIN); // one default cost over one slot is less than a second
    for (let i = 0; i < 11; i++) delay("a");
    expect(retry()).toBe(12 * COST_MS_DEFAULT);
    clock.advance(5_000);
    admission.end(t); // a run of 5 s ended: the tenant's average rises, the rate is what ended in the window
    for (let i = 0; i < 89; i++) delay("a");
    expect(retry()).toBe(RETRY_AFTER_MS_MAX);
  });
});

describe("closing", () => {
  it("starts nothing more, and keeps what waits", () => {
    const { admission, delay, started } = desk({ slots: 1 });
    const { t } = delay("a");
    delay("a");
    admission.close();
    admission.end(t);
    expect(started).toEqual([]);
    expect(admission.waiting("interactive")).toBe(1);
    expect(delay("b").placement.kind).toBe("wait");
  });
});

describe("whatever happens", () => {
  it("slots, memory and caps hold, nothing is lost, and nothing waits that could start", () => {
    const step = fc.record({
      do: fc.constantFrom("place", "place", "end", "withdraw"),
      tenant: fc.constantFrom("a", "b", "c"),
      lane: fc.constantFrom<Lane>("interactive", "batch"),
      memory_mb: fc.constantFrom(64, 128, 512),
      pick: fc.nat(50),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const capacity = { slots: 10, memory_mb: 1_024 };
        const { admission, started, ticket } = desk(capacity);
        const active: Ticket[] = [];
        const waiting: Ticket[] = [];
        for (const s of steps) {
          if (s.do === "place") {
            const t = ticket(s.tenant, s.lane, s.memory_mb);
            if (admission.place(t, "delay").kind === "start") active.push(t);
            else waiting.push(t);
          } else if (s.do === "end" && active.length > 0) {
            admission.end(active.splice(s.pick % active.length, 1)[0] as Ticket);
          } else if (s.do === "withdraw" && waiting.length > 0) {
            expect(admission.withdraw(waiting.splice(s.pick % waiting.length, 1)[0] as Ticket)).toBe(true);
          }
          for (const t of started.splice(0)) {
            waiting.splice(waiting.indexOf(t), 1);
            active.push(t);
          }
          const memory = active.reduce((sum, t) => sum + t.memory_mb, 0);
          const of = (tenant: string) => active.filter((t) => t.tenant === tenant).length;
          expect(admission.active).toBe(active.length);
          expect(active.length).toBeLessThanOrEqual(capacity.slots);
          expect(memory).toBeLessThanOrEqual(capacity.memory_mb);
          for (const tenant of ["a", "b", "c"]) expect(of(tenant)).toBeLessThanOrEqual(TENANT_CONCURRENCY_MAX);
          expect(admission.waiting("interactive") + admission.waiting("batch")).toBe(waiting.length);
          const eligible = waiting.filter((t) => of(t.tenant) < TENANT_CONCURRENCY_MAX);
          const free =
            active.length < capacity.slots && eligible.every((t) => memory + t.memory_mb <= capacity.memory_mb);
          expect(free && eligible.length > 0).toBe(false);
        }
      }),
    );
  });

  it("one tenant's runs start in their order within a lane", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 60 }), (tenants) => {
        const { admission, started, delay } = desk({ slots: 1 });
        const all = tenants.map((tenant) => delay(tenant));
        let current: Ticket | undefined = all[0]?.t;
        for (let i = 0; i < all.length; i++) {
          admission.end(current as Ticket);
          current = started.at(-1);
        }
        for (const tenant of ["a", "b", "c"]) {
          const asked = all.map(({ t }) => t).filter((t) => t.tenant === tenant);
          const ran = [all[0]?.t as Ticket, ...started].filter((t) => t.tenant === tenant);
          expect(ran).toEqual(asked);
        }
        // Round robin: while two tenants wait, neither starts twice in a row past the other by more than one.
        expect(started).toHaveLength(all.length - 1);
      }),
    );
  });
});
