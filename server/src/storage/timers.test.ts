import { expect, it } from "vitest";
import { TIMER_BACKOFF_MAX_MS } from "./contract.ts";
import { backoffMs } from "./timers.ts";

it("a failed timer waits one second, doubling to five minutes", () => {
  expect([1, 2, 3, 8, 9, 10, 20].map(backoffMs)).toEqual([1_000, 2_000, 4_000, 128_000, 256_000, 300_000, 300_000]);
  expect(backoffMs(1_000)).toBe(TIMER_BACKOFF_MAX_MS);
});
