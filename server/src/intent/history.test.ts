import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import type { Ending, Outcome } from "../execution/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { errors as storage_errors } from "../storage/contract.ts";
import type { RunView } from "./contract.ts";

/** Whatever callers, guests and the disk do, a run's record tells one story. */

let house: RunsGround;

beforeAll(async () => {
  house = await openRunsGround({ capacity: { slots: 2, memory_mb: 1_024 } });
  await house.runs.recover();
});
afterAll(() => house.remove());

const ENDINGS: Ending[] = ["completed", "threw", "cpu_exceeded", "runner_lost", "output_exceeded"];
const deed = fc.record({
  do: fc.constantFrom("submit", "submit", "submit", "delay", "cancel", "fail_write", "breathe"),
  ending: fc.constantFrom(...ENDINGS),
  ticks: fc.nat(3),
  pick: fc.nat(20),
});

const breathe = () => new Promise((resolve) => setImmediate(resolve));

it("an ended run stays as it is, has one run.ended, and at most one run.admitted before it", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { minLength: 5, maxLength: 25 }), async (deeds) => {
      const runs: string[] = [];
      const seen = new Map<string, RunView>();
      const answers: Promise<unknown>[] = [];
      const note = (view: RunView) => {
        if (!runs.includes(view.id)) runs.push(view.id);
        if (view.state === "ended") seen.set(view.id, view);
      };
      for (const d of deeds) {
        const picked = runs[d.pick % Math.max(1, runs.length)];
        if (d.do === "submit" || d.do === "delay") {
          house.pool.script = async (): Promise<Partial<Outcome>> => {
            for (let i = 0; i < d.ticks; i++) await breathe();
            return { ending: d.ending };
          };
          const more = d.do === "delay" ? ({ wait_ms: 0 } as const) : {};
          answers.push(house.runs.submit(house.owner, ask(more)).then(note, () => undefined));
        } else if (d.do === "cancel" && picked !== undefined) {
          answers.push(house.runs.cancel(house.owner, picked).then(note, () => undefined));
        } else if (d.do === "fail_write") {
          house.stalling.failNext(new GantryError(storage_errors.FULL, { detail: "full" }));
        } else await breathe();
      }
      await Promise.all(answers);
      await eventually(async () => {
        const { items } = await house.runs.list(house.owner, { limit: 200 });
        return items.every(({ state }) => state === "ended");
      });
      for (const id of runs) {
        const kinds = await house.kindsOf(id);
        expect(kinds.at(-1)).toBe("run.ended");
        expect(kinds.filter((kind) => kind === "run.ended")).toHaveLength(1);
        expect(kinds.filter((kind) => kind === "run.admitted").length).toBeLessThanOrEqual(1);
        expect(kinds.filter((kind) => kind === "run.queued").length).toBeLessThanOrEqual(1);
        const now = await house.runs.get(house.owner, id);
        expect(now.evidence.entries).toEqual((await house.entriesOf(id)).map((entry) => entry.id));
        const then = seen.get(id);
        if (then !== undefined) expect(now).toEqual(then);
      }
    }),
    { numRuns: 12 },
  );
}, 120_000);
