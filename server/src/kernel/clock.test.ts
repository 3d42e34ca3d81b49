import { describe, expect, it } from "vitest";
import { type Clock, systemClock, within } from "./clock.ts";

/** A clock whose alarms a test rings. */
function alarmClock(): Clock & { ring(): void; pending(): number } {
  const alarms = new Set<() => void>();
  return {
    now: () => 0,
    monotonic: () => 0,
    after(_, fn) {
      alarms.add(fn);
      return () => alarms.delete(fn);
    },
    every: () => () => {},
    ring() {
      for (const fn of alarms) fn();
      alarms.clear();
    },
    pending: () => alarms.size,
  };
}

const never = new Promise<string>(() => {});

describe("within", () => {
  it("gives what the work gives, and its alarm is off then", async () => {
    const clock = alarmClock();
    await expect(within(clock, 5, Promise.resolve("done"), () => "late")).resolves.toBe("done");
    await expect(within(clock, 5, Promise.reject(new Error("broken")), () => "late")).rejects.toThrow("broken");
    expect(clock.pending()).toBe(0);
  });

  it("gives what `late` gives, or throws, when the work takes too long", async () => {
    const clock = alarmClock();
    const late = within(clock, 5, never, () => "late");
    const thrown = within(clock, 5, never, () => {
      throw new Error("too late");
    });
    clock.ring();
    await expect(late).resolves.toBe("late");
    await expect(thrown).rejects.toThrow("too late");
  });

  it("does not care for what the work does after its time", async () => {
    const clock = alarmClock();
    let fail = (_: Error): void => {};
    const work = new Promise<string>((_, reject) => {
      fail = reject;
    });
    const late = within(clock, 5, work, () => "late");
    clock.ring();
    fail(new Error("nobody listens"));
    await expect(late).resolves.toBe("late");
  });
});

describe("the system clock", () => {
  it("counts integer milliseconds and never goes back", () => {
    const clock = systemClock();
    let last = clock.now();
    for (let i = 0; i < 1_000; i++) {
      const now = clock.now();
      expect(Number.isSafeInteger(now)).toBe(true);
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
  });

  it("calls once, calls again and again, and calls nobody who cancelled", async () => {
    const clock = systemClock();
    let ticks = 0;
    let cancelled = 0;
    clock.after(1, () => {
      cancelled += 1;
    })();
    await new Promise<void>((resolve) => {
      const stop = clock.every(1, () => {
        ticks += 1;
        if (ticks < 3) return;
        stop();
        clock.after(5, resolve);
        setTimeout(() => {}, 50); // Keeps the process alive: the clock's timers do not.
      });
      setTimeout(() => {}, 50);
    });
    expect({ ticks, cancelled }).toEqual({ ticks: 3, cancelled: 0 });
  });
});
