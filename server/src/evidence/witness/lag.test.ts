import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { scripted, WitnessedLog } from "../../../../tests/fixtures/witnessed_log.ts";
import { SINK_LAG_ENTRY_MS, SINK_POLL_MS, WITNESS_HOLD_MS } from "../contract.ts";

let log: WitnessedLog;
beforeEach(async () => {
  log = await WitnessedLog.open();
});
afterEach(() => log.remove());

describe("a witness that lags", () => {
  it("is one entry after fifteen minutes, not before, and one when it is back", async () => {
    let works = false;
    const publish = async ({ size }: { size: number }): Promise<number> => {
      if (!works) throw new Error("down");
      return size;
    };
    const witnesses = log.begin([scripted("webhook:w", publish)]);
    const { at } = await log.grow();
    await log.passing(async () => (await witnesses.list())[0]?.error !== null, "the first error");
    log.clock.advance(SINK_LAG_ENTRY_MS - 20 * SINK_POLL_MS);
    await log.passing(async () => (await log.entriesOf("sink.lagged")).length > 0, "the entry");
    for (let i = 0; i < 5; i++) {
      log.clock.advance(SINK_LAG_ENTRY_MS);
      await log.looked("webhook:w");
    }
    const [lagged, ...more] = await log.entriesOf("sink.lagged");
    expect(more).toEqual([]);
    expect(lagged?.at).toBeGreaterThanOrEqual(at + SINK_LAG_ENTRY_MS);
    expect(lagged?.at).toBeLessThan(at + SINK_LAG_ENTRY_MS + 60_000);
    expect(lagged).toMatchObject({ actor: [], data: { sink: "webhook:w", size: 0, since_at: at } });
    works = true;
    await log.passing(async () => (await log.entriesOf("sink.recovered")).length > 0, "the other entry");
    const [recovered] = await log.entriesOf("sink.recovered");
    expect(recovered?.data).toMatchObject({ sink: "webhook:w", since_at: at });
    // The next outage is another one.
    works = false;
    await log.grow();
    log.clock.advance(SINK_LAG_ENTRY_MS - 20 * SINK_POLL_MS);
    await log.passing(async () => (await log.entriesOf("sink.lagged")).length === 2, "the next outage");
    expect((await log.entriesOf("sink.recovered")).length).toBe(1);
  });

  it("is told once, although the process is another one by then", async () => {
    const down = () => scripted("webhook:w", () => Promise.reject(new Error("down")));
    const first = log.begin([down()]);
    await log.grow();
    log.clock.advance(SINK_LAG_ENTRY_MS - 20 * SINK_POLL_MS);
    await log.passing(async () => (await log.entriesOf("sink.lagged")).length === 1, "the entry");
    await first.stop();
    await log.ground.stop();
    await log.reopen();
    const second = log.begin([down()]);
    log.clock.advance(SINK_LAG_ENTRY_MS);
    await log.looked("webhook:w");
    await log.passing(async () => (await second.list())[0]?.error !== null, "an attempt");
    expect((await log.entriesOf("sink.lagged")).length).toBe(1);
  });
});

describe("of several nodes over one database", () => {
  it("one publishes, and another takes over when it is gone", async () => {
    const given: string[] = [];
    const of = (node: string) =>
      scripted("webhook:w", async ({ size }) => {
        given.push(node);
        return size;
      });
    const first = log.begin([of("a")], "a");
    await log.grow();
    await log.passing(() => given.length === 1, "a copy");
    const second = log.begin([of("b")], "b");
    for (let i = 0; i < 3; i++) {
      const { size } = await log.grow();
      await log.passing(async () => (await second.list())[0]?.size === size, "the next copy");
    }
    expect(given).toEqual(["a", "a", "a", "a"]);
    await first.stop();
    const gone_at = log.clock.now();
    await log.grow();
    await log.passing(() => given.at(-1) === "b", "the other to publish");
    expect(log.clock.now() - gone_at).toBeLessThanOrEqual(WITNESS_HOLD_MS);
  });

  it("one that lost its office notes nothing any more", async () => {
    let release: (() => void) | undefined;
    const slow = scripted("webhook:w", async ({ size }) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return size;
    });
    const first = log.begin([slow], "a");
    await log.grow();
    await log.passing(() => release !== undefined, "an attempt");
    await log.ground.storage.locks.take("evidence-witness", "a", WITNESS_HOLD_MS);
    release?.();
    await eventually(() => log.logged.some(({ message }) => message === "what a witness holds could not be noted"));
    expect((await first.list())[0]?.size).toBe(0);
  });
});
