import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { Outcome } from "../execution/contract.ts";
import type { RunId } from "../kernel/ids.ts";
import type { Storage } from "../storage/contract.ts";
import { CodeShelf } from "./code_shelf.ts";
import {
  CODE_KNOWN_MAX,
  CODE_USED_MS,
  ERROR_DETAIL_MAX,
  ERROR_STACK_MAX,
  QUEUE_AGE_MS,
  WAIT_MS_DEFAULT,
} from "./contract.ts";
import { waitUntil } from "./live_runs.ts";
import { normalise, requestHash } from "./normalise.ts";
import { endedBy } from "./rows.ts";
import type { RunRow } from "./store.ts";

const row = (more: Partial<RunRow> = {}) =>
  ({ id: "run_0" as RunId, lane: "interactive", expires_at: null, ...more }) as RunRow;

describe("a request", () => {
  const code = { source: "x" };

  it("gets its defaults: who waits is rejected, who does not is delayed", () => {
    expect(normalise({ code })).toMatchObject({
      wait_ms: WAIT_MS_DEFAULT,
      on_busy: "reject",
      contract: "scratch",
      lane: "interactive",
      input: "null",
      source: { entry: "main.ts", modules: { "main.ts": "x" } },
    });
    expect(normalise({ code, wait_ms: 0 }).on_busy).toBe("delay");
  });

  it("means the same in any order of its members, and something else with another value", () => {
    const hash = requestHash({ code, input: { a: 1, b: [1, 2] } });
    expect(requestHash({ input: { b: [1, 2], a: 1 }, code })).toBe(hash);
    expect(requestHash({ input: { b: [2, 1], a: 1 }, code })).not.toBe(hash);
  });

  it("nested beyond what can be written is refused", () => {
    const input = JSON.parse("[".repeat(200_000) + "]".repeat(200_000));
    expect(() => normalise({ code, input })).toThrowError(expect.objectContaining({ code: "INPUT_DEPTH" }));
  });
});

describe("what a guest threw", () => {
  it.each([0, 1])("is kept up to its limits and cut %i past them", (past) => {
    const outcome = {
      ending: "threw",
      error: {
        code: "RUN_THREW",
        detail: "d".repeat(ERROR_DETAIL_MAX + past),
        stack: "s".repeat(ERROR_STACK_MAX + past),
      },
      blocked: [],
    } as unknown as Outcome;
    const { error } = endedBy(row(), 0, outcome, { id: "rnr_0", jail: "unshare", cold: false }).row;
    expect(error?.detail).toHaveLength(ERROR_DETAIL_MAX);
    expect(error?.stack).toHaveLength(ERROR_STACK_MAX);
  });
});

describe("a waiting run", () => {
  it("ends by its lane's age, or by its own time if that is sooner", () => {
    expect(waitUntil(row(), 1_000)).toBe(1_000 + QUEUE_AGE_MS.interactive);
    expect(waitUntil(row({ lane: "batch" }), 1_000)).toBe(1_000 + QUEUE_AGE_MS.batch);
    expect(waitUntil(row({ lane: "batch", expires_at: 1_500 }), 1_000)).toBe(1_500);
  });
});

describe("the shelf of code", () => {
  const source = { entry: "a.ts", modules: { "a.ts": "x", "b.wasm": new Uint8Array([0, 255]) } };

  it("writes a code that was used lately once, and knows so many", async () => {
    const clock = new VirtualClock();
    const shelf = new CodeShelf({} as Storage, clock); // small sources touch no blob
    const first = await shelf.prepare("t", "h", source);
    if (first === undefined) throw new Error("nothing is known yet");
    shelf.written(first);
    expect(await shelf.prepare("t", "h", source)).toBeUndefined();
    expect(await shelf.prepare("other", "h", source)).toBeDefined();
    for (let i = 0; i < CODE_KNOWN_MAX - 1; i++) shelf.written({ ...first, hash: `h${i}` });
    expect(await shelf.prepare("t", "h", source)).toBeUndefined();
    shelf.written({ ...first, hash: "one more" });
    expect(await shelf.prepare("t", "h", source)).toBeDefined();
    clock.advance(CODE_USED_MS);
    expect(await shelf.prepare("t", "one more", source)).toBeDefined();
  });
});
