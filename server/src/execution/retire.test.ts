import { describe, expect, it } from "vitest";
import {
  RUNNER_AGE_MS_MAX,
  RUNNER_GROWTH_MB_MAX,
  RUNNER_IDLE_CPU_MS_MAX,
  RUNNER_IDLE_MS_MAX,
  RUNNER_RUNS_MAX,
} from "./contract.ts";
import type { Bound } from "./group.ts";
import { spentBy, staleBy } from "./retire.ts";

const MB = 1024 * 1024;
const NUMBERS = { cpu_ms: 100, cpu_ticks: 10, rss_bytes: 50 * MB, rss_peak_bytes: 60 * MB };

/** A process that was bound at 0 and last looked at then. */
function bound(more: Partial<Bound> = {}): Bound {
  const rest = { primed_rss_bytes: 50 * MB, bound_at: 0, runs: 1, idle_since: null, seen: NUMBERS, seen_at: 0 };
  return { ...rest, ...more } as Bound;
}

describe("after a clean run a process", () => {
  it("serves RUNNER_RUNS_MAX runs and not one more", () => {
    expect(spentBy(bound({ runs: RUNNER_RUNS_MAX - 1 }), NUMBERS, 1)).toBeUndefined();
    expect(spentBy(bound({ runs: RUNNER_RUNS_MAX }), NUMBERS, 1)).toBe("runs");
  });

  it("serves until RUNNER_AGE_MS_MAX", () => {
    expect(spentBy(bound(), NUMBERS, RUNNER_AGE_MS_MAX - 1)).toBeUndefined();
    expect(spentBy(bound(), NUMBERS, RUNNER_AGE_MS_MAX)).toBe("age");
  });

  it("may have grown by RUNNER_GROWTH_MB_MAX and not by more", () => {
    const grown = { ...NUMBERS, rss_bytes: (50 + RUNNER_GROWTH_MB_MAX) * MB };
    expect(spentBy(bound(), grown, 1)).toBeUndefined();
    expect(spentBy(bound(), { ...grown, rss_bytes: grown.rss_bytes + 1 }, 1)).toBe("growth");
  });
});

describe("a process without a run", () => {
  it("waits for RUNNER_IDLE_MS_MAX", () => {
    const idle = bound({ idle_since: 10 });
    expect(staleBy(idle, NUMBERS, RUNNER_IDLE_MS_MAX + 9)).toBeUndefined();
    expect(staleBy(idle, NUMBERS, RUNNER_IDLE_MS_MAX + 10)).toBe("idle");
  });

  it("may use RUNNER_IDLE_CPU_MS_MAX in a second, however short the time was", () => {
    const used = (more: number) => ({ ...NUMBERS, cpu_ms: NUMBERS.cpu_ms + more });
    for (const now of [1, 1_000]) {
      expect(staleBy(bound(), used(RUNNER_IDLE_CPU_MS_MAX), now)).toBeUndefined();
      expect(staleBy(bound(), used(RUNNER_IDLE_CPU_MS_MAX + 0.1), now)).toBe("leftover");
    }
    expect(staleBy(bound(), used(2 * RUNNER_IDLE_CPU_MS_MAX), 2_000)).toBeUndefined();
    expect(staleBy(bound(), used(2 * RUNNER_IDLE_CPU_MS_MAX + 0.1), 2_000)).toBe("leftover");
  });

  it("that is gone has died, and one that is old goes", () => {
    expect(staleBy(bound(), undefined, 1)).toBe("died");
    expect(staleBy(bound(), NUMBERS, RUNNER_AGE_MS_MAX)).toBe("age");
  });
});
