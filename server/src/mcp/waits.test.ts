import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import { MCP_AWAITS_MAX } from "./contract.ts";
import { pause, Waits } from "./waits.ts";

describe("calls that wait for people", () => {
  it("are at most MCP_AWAITS_MAX at once; one that ends makes room", async () => {
    const waits = new Waits();
    const ends: (() => void)[] = [];
    const open = () => waits.during(() => new Promise<void>((resolve) => void ends.push(resolve)));
    const all = Array.from({ length: MCP_AWAITS_MAX }, open);
    const code = await open().catch((error: unknown) => (isGantryError(error) ? error.code : error));
    expect(code).toBe("MCP_BUSY");
    ends[0]?.();
    await all[0];
    const next = open();
    for (const end of ends) end();
    await Promise.all([...all, next]);
  });

  it("make room when they fail", async () => {
    const waits = new Waits();
    for (let n = 0; n <= MCP_AWAITS_MAX; n++) {
      await expect(waits.during(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    }
  });
});

describe("a pause", () => {
  it("ends when its time is over, or when it is aborted", async () => {
    const clock = new VirtualClock(0);
    const controller = new AbortController();
    const long = pause(clock, 1_000, controller.signal);
    const other = pause(clock, 5_000, controller.signal);
    await clock.advance(1_000);
    await long;
    controller.abort(new Error("gone"));
    await expect(other).rejects.toThrow("gone");
    await expect(pause(clock, 1, controller.signal)).rejects.toThrow("gone");
  });
});
