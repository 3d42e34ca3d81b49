import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Fire,
  type Storage,
  TIMER_ATTEMPTS_MAX,
  TIMER_BACKOFF_MAX_MS,
  TIMER_CLAIM_MAX,
  TIMER_CLAIM_MS,
  TIMER_POLL_MS,
} from "../../server/src/storage/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import type { VirtualClock } from "../fixtures/virtual_clock.ts";
import { INSERT, notes, type OpenStore, type StoreUnderTest } from "./storage_notes.ts";

const OWNER = "tests.bell";

/** What every engine promises of its durable timers. */
export function storageTimersContract(name: string, open: OpenStore): void {
  describe(`timers on ${name}`, () => {
    let store: StoreUnderTest;
    let storage: Storage;
    let clock: VirtualClock;
    let fires: Fire[];
    let parked: { fire: Fire; error: string }[];

    beforeEach(async () => {
      store = await open([notes]);
      ({ storage, clock } = store);
      fires = [];
      parked = [];
    });
    afterEach(() => store.remove());

    const start = (handler: (fire: Fire) => Promise<void>): void => {
      storage.timers.on(OWNER, async (fire) => {
        fires.push(fire);
        await handler(fire);
      });
      storage.timers.start((tx, fire, error) => {
        parked.push({ fire, error });
        tx.run(INSERT, [`parked ${fire.key}`, fire.attempts]);
      });
    };
    const end = (fire: Fire) => storage.write((tx) => storage.timers.done(tx, fire));
    const set = (key: string, in_ms: number, payload?: string) =>
      storage.write((tx) =>
        storage.timers.set(tx, {
          owner: OWNER,
          key,
          due_at: clock.now() + in_ms,
          ...(payload === undefined ? {} : { payload }),
        }),
      );
    const rows = () => storage.all("SELECT key, attempts, parked_at FROM timers ORDER BY key", []);
    const claimed = async () => (await storage.all("SELECT key FROM timers WHERE claimed_by IS NOT NULL", [])).length;
    /** Moves time on step by step until the condition holds; not while a claim runs, which would run out unnoticed. */
    const pass = (condition: () => boolean | Promise<boolean>, what: string, step_ms = TIMER_POLL_MS) =>
      eventually(async () => {
        if (await condition()) return true;
        if ((await claimed()) === 0) clock.advance(step_ms);
        return false;
      }, what);

    it("fire when they are due and not before, with their payload, once", async () => {
      start(end);
      await set("a", 5_000, '{"n":1}');
      const due_at = clock.now() + 5_000;
      clock.advance(4_999);
      await storage.locks.take("turn", "x", 1); // A round trip of the writer: a claim would have come before it.
      expect(fires).toEqual([]);
      await pass(() => fires.length > 0, "the timer to fire");
      expect(fires[0]).toMatchObject({ owner: OWNER, key: "a", due_at, payload: '{"n":1}', attempts: 1 });
      await pass(async () => (await rows()).length === 0, "the timer to end");
      clock.advance(TIMER_CLAIM_MS * 2);
      await storage.locks.take("turn", "x", 1);
      expect(fires).toHaveLength(1);
    });

    it("that are due when their unit commits fire without a poll", async () => {
      start(end);
      await set("now", 0);
      await eventually(() => fires.length === 1);
      await set("past", -1_000);
      await eventually(() => fires.length === 2);
    });

    it("that a unit takes back do not exist", async () => {
      start(end);
      const unit = storage.write((tx) => {
        storage.timers.set(tx, { owner: OWNER, key: "a", due_at: clock.now() });
        throw new Error("no");
      });
      await expect(unit).rejects.toThrow("no");
      expect(await rows()).toEqual([]);
    });

    it("are replaced by `set` and removed by `cancel`", async () => {
      start(end);
      await set("a", 1_000, '"first"');
      await set("a", 3_000, '"second"');
      await set("b", 1_000);
      await storage.write((tx) => storage.timers.cancel(tx, OWNER, "b"));
      await storage.write((tx) => storage.timers.cancel(tx, OWNER, "absent"));
      await pass(() => fires.length > 0, "the timer to fire");
      await pass(async () => (await rows()).length === 0, "the timer to end");
      expect(fires.map((fire) => fire.payload)).toEqual(['"second"']);
    });

    it("have state effects once: `done` is part of the handler's unit", async () => {
      let first = true;
      start(async (fire) => {
        await storage.write((tx) => {
          tx.run(INSERT, [`effect ${fire.attempts}`, 1]);
          storage.timers.done(tx, fire);
          if (first) {
            first = false;
            throw new Error("after the effect");
          }
        });
      });
      await set("a", 0);
      await pass(() => fires.length === 2, "the second attempt");
      await eventually(async () => (await rows()).length === 0);
      expect(await storage.all("SELECT key FROM notes", [])).toEqual([{ key: "effect 2" }]);
    });

    it("that are set during their fire fence the handler and fire again", async () => {
      const outcomes: unknown[] = [];
      start(async (fire) => {
        if (fires.length === 1) await set("a", 2_000, '"again"');
        await end(fire).then(
          () => outcomes.push("done"),
          (error: { code: string }) => outcomes.push(error.code),
        );
      });
      await set("a", 0);
      await eventually(() => outcomes.length === 1);
      await pass(() => outcomes.length === 2, "the second fire");
      expect(outcomes).toEqual(["STORAGE_CONFLICT", "done"]);
      expect(fires.map((fire) => [fire.payload, fire.attempts])).toEqual([
        [null, 1],
        ['"again"', 1],
      ]);
    });

    it("that are cancelled and set anew during their fire fence the handler as well", async () => {
      let outcome: unknown;
      start(async (fire) => {
        if (fires.length > 1) return end(fire);
        await storage.write((tx) => storage.timers.cancel(tx, OWNER, "a"));
        await set("a", 0);
        await eventually(() => fires.length === 2); // The new row has been claimed once, as the old one was.
        outcome = await end(fire).catch((error: { code: string }) => error.code);
      });
      await set("a", 0);
      await eventually(() => outcome !== undefined);
      expect(outcome).toBe("STORAGE_CONFLICT");
    });

    it("wait longer after each failure, at most five minutes, and are parked in the end", async () => {
      start(async () => {
        throw new Error("the far side is down");
      });
      await set("a", 0);
      const failed = (attempts: number) =>
        storage.get("SELECT claimed_until FROM timers WHERE attempts = ? AND claimed_by IS NULL", [attempts]);
      for (let attempts = 1; attempts < TIMER_ATTEMPTS_MAX; attempts++) {
        await eventually(async () => (await failed(attempts)) !== undefined, `failure ${attempts}`);
        const wait_ms = Math.min(1_000 * 2 ** (attempts - 1), TIMER_BACKOFF_MAX_MS);
        expect(await failed(attempts)).toEqual({ claimed_until: clock.now() + wait_ms });
        clock.advance(wait_ms + TIMER_POLL_MS);
      }
      await eventually(async () => (await rows())[0]?.["parked_at"] !== null, "the timer to be parked");
      expect(fires).toHaveLength(TIMER_ATTEMPTS_MAX);
      expect(parked[0]).toMatchObject({ fire: { key: "a", attempts: TIMER_ATTEMPTS_MAX } });
      expect(parked[0]?.error).toContain("the far side is down");
      expect(await storage.get("SELECT n FROM notes WHERE key = ?", ["parked a"])).toEqual({ n: TIMER_ATTEMPTS_MAX });
      clock.advance(TIMER_BACKOFF_MAX_MS * 2);
      await storage.locks.take("turn", "x", 1);
      expect(fires).toHaveLength(TIMER_ATTEMPTS_MAX);
      await set("a", 0); // A parked timer that is set anew is a new one.
      await eventually(() => fires.length === TIMER_ATTEMPTS_MAX + 1);
      expect(fires.at(-1)?.attempts).toBe(1);
    });

    it("whose handler ends without ending them are tried again", async () => {
      start(async (fire) => {
        if (fires.length > 1) await end(fire);
      });
      await set("a", 0);
      await pass(() => fires.length === 2, "the second attempt");
    });

    it("stay claimed while their handler runs, however long", async () => {
      let goOn = (): void => {};
      start(async (fire) => {
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
        await end(fire);
      });
      await set("a", 0);
      await eventually(() => fires.length === 1);
      for (let i = 0; i < 30; i++) {
        clock.advance(5_000);
        await storage.locks.take("turn", "x", 1);
      }
      expect(fires).toHaveLength(1);
      goOn();
      await eventually(async () => (await rows()).length === 0);
    });

    it("that a dead process had claimed fire again when the claim has run out", async () => {
      await set("a", 0);
      // What a process leaves behind that ended in its handler.
      const left = "UPDATE timers SET epoch = epoch + 1, attempts = 1, claimed_by = ?, claimed_until = ?";
      await storage.write((tx) => tx.run(left, ["dead", clock.now() + TIMER_CLAIM_MS], 1));
      start(end);
      clock.advance(TIMER_CLAIM_MS - 1);
      await storage.locks.take("turn", "x", 1);
      expect(fires).toEqual([]);
      await eventually(() => {
        clock.advance(TIMER_POLL_MS);
        return fires.length === 1;
      }, "the claim to run out");
      expect(fires[0]).toMatchObject({ key: "a", attempts: 2 });
    });

    it("that end their process at every attempt are parked without another one", async () => {
      await set("a", 0);
      await storage.write((tx) => tx.run("UPDATE timers SET attempts = ?", [TIMER_ATTEMPTS_MAX], 1));
      start(end);
      await pass(() => parked.length === 1, "the timer to be parked");
      expect(fires).toEqual([]);
      expect(parked[0]?.error).toContain("the process ended");
    });

    it("are claimed by the hundred and all fire", async () => {
      const count = TIMER_CLAIM_MAX * 3 + 1;
      let running = 0;
      let most = 0;
      start(async (fire) => {
        running += 1;
        most = Math.max(most, running);
        await end(fire);
        running -= 1;
      });
      await storage.write((tx) => {
        for (let i = 0; i < count; i++) {
          storage.timers.set(tx, { owner: OWNER, key: `k${i}`, due_at: clock.now() - i });
        }
      });
      await eventually(() => fires.length === count);
      expect(new Set(fires.map((fire) => fire.key)).size).toBe(count);
      expect(fires[0]?.key).toBe(`k${count - 1}`);
      expect(most).toBeLessThanOrEqual(TIMER_CLAIM_MAX);
    });

    it("of an owner without a handler wait", async () => {
      start(end);
      await storage.write((tx) => storage.timers.set(tx, { owner: "tests.nobody", key: "a", due_at: clock.now() }));
      await set("b", 0);
      await eventually(async () => (await rows()).length === 1);
      expect(await rows()).toEqual([{ key: "a", attempts: 0, parked_at: null }]);
    });

    it("survive a restart", async () => {
      await set("a", 0);
      storage = await store.reopen([notes]);
      start(end);
      await eventually(() => fires.length === 1);
    });

    it("do not fire after `stop`, which waits for the handlers that run", async () => {
      let ended = false;
      let goOn = (): void => {};
      start(async (fire) => {
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
        await end(fire);
        ended = true;
      });
      await set("a", 0);
      await eventually(() => fires.length === 1);
      const stopped = storage.timers.stop();
      goOn();
      await stopped;
      expect(ended).toBe(true);
      await set("b", 0);
      clock.advance(TIMER_POLL_MS * 3);
      await storage.locks.take("turn", "x", 1);
      expect(fires).toHaveLength(1);
    });
  });
}
