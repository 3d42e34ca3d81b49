import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { Outcome } from "../execution/contract.ts";
import type { RunId } from "../kernel/ids.ts";
import { type Contract, ISOLATIONS, type Isolation, isWeaker } from "../policy/contract.ts";
import type { Storage } from "../storage/contract.ts";
import { CodeShelf } from "./code_shelf.ts";
import {
  CODE_KNOWN_MAX,
  CODE_USED_MS,
  ERROR_DETAIL_MAX,
  ERROR_STACK_MAX,
  QUEUE_AGE_MS,
  runRequest,
  SESSION_MAX,
  WAIT_MS_DEFAULT,
} from "./contract.ts";
import { isolationUnder, normalise, requestHash } from "./normalise.ts";
import { waitUntil } from "./readiness.ts";
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

describe("the isolation of a request", () => {
  const code = { source: "x" };
  const under = (isolation: Isolation, isolation_floor: Isolation) => ({ isolation, isolation_floor }) as Contract;

  it("is what it asks, a session alone being one; else it is left to the contract", () => {
    expect(normalise({ code })).toMatchObject({ isolation: undefined, session: null });
    expect(normalise({ code, isolation: "pooled" })).toMatchObject({ isolation: "pooled", session: null });
    expect(normalise({ code, session: "s" })).toMatchObject({ isolation: "session", session: "s" });
    expect(normalise({ code, session: "s", isolation: "session" })).toMatchObject({ session: "s" });
    for (const odd of [{ isolation: "session" }, { isolation: "process", session: "s" }] as const) {
      expect(() => normalise({ code, ...odd })).toThrow(/a session is named/);
    }
  });

  it("that asks for nothing is the stronger of default and floor, and never a session without a name", () => {
    for (const isolation of ISOLATIONS) {
      for (const floor of ISOLATIONS) {
        const given = isolationUnder(under(isolation, floor), undefined);
        expect(isWeaker(given, isolation)).toBe(false);
        expect(isWeaker(given, floor)).toBe(false);
        expect(given).not.toBe("session");
        for (const asked of ISOLATIONS) expect(isolationUnder(under(isolation, floor), asked)).toBe(asked);
      }
    }
    expect(isolationUnder(under("pooled", "pooled"), undefined)).toBe("pooled");
  });

  it("is refused by the schema where the session does not go with it, at /session", () => {
    const faults = (more: object) => runRequest.safeParse({ code, ...more }).error?.issues ?? [];
    expect(faults({ session: "s" })).toEqual([]);
    expect(faults({ isolation: "session", session: "s" })).toEqual([]);
    for (const isolation of ["pooled", "process"]) {
      expect(faults({ isolation })).toEqual([]);
      expect(faults({ isolation, session: "s" })).toMatchObject([
        { path: ["session"], message: expect.stringContaining(`instead of "${isolation}"`) },
      ]);
    }
    expect(faults({ isolation: "session" })).toMatchObject([
      { path: ["session"], message: 'is missing: a run with the isolation "session" names its session' },
    ]);
  });

  it("names its session in at most 64 characters", () => {
    const fits = (session: string) => runRequest.safeParse({ code, session }).success;
    for (const name of ["a", "0", "A.b_c-9", "x".repeat(SESSION_MAX)]) expect(fits(name)).toBe(true);
    for (const name of ["", "x".repeat(SESSION_MAX + 1), ".a", "-a", "_a", "a b", "a/b", "é", "a\n", "a\0"]) {
      expect(fits(name)).toBe(false);
    }
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
