import { appendFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { scripted, WitnessedLog } from "../../../../tests/fixtures/witnessed_log.ts";
import {
  SINK_ANSWER_MS,
  SINK_BACKOFF_MAX_MS,
  SINK_BACKOFF_MS,
  SINK_ERROR_CHARS_MAX,
  SINK_POLL_MS,
  SINK_STOP_MS,
} from "../contract.ts";

let log: WitnessedLog;
beforeEach(async () => {
  log = await WitnessedLog.open();
});
afterEach(() => log.remove());

const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped"))));

describe("each witness", () => {
  it("gets the newest checkpoint, and only that one", async () => {
    await log.grow(3);
    const second = await log.grow(300);
    log.begin([log.file(), log.webhook()]);
    await log.passing(() => log.http.size() === second.size && log.held().length === 1, "both to have the second");
    expect(log.held()[0]).toBe(second.note.trimEnd());
    expect(log.http.note()).toBe(second.note);
    const third = await log.grow(700);
    await log.passing(() => log.http.size() === third.size && log.held().length === 2, "both to have the third");
    expect(log.http.offered).toMatchObject([
      { old: 0, size: second.size, status: 200 },
      { old: second.size, size: third.size, status: 200 },
    ]);
  });

  it("is proved every step from what it holds, and says itself what that is", async () => {
    const first = await log.grow(5);
    log.http.remember(first.note);
    const second = await log.grow(6);
    log.begin([log.webhook()]);
    await log.passing(() => log.http.size() === second.size, "the witness to go on");
    expect(log.http.offered.map(({ old, status }) => [old, status])).toEqual([
      [0, 409],
      [first.size, 200],
    ]);
    for (let i = 0; i < 6; i++) {
      const next = await log.grow(1 + i * 37);
      await log.passing(() => log.http.size() === next.size, "the next");
    }
    expect(log.http.offered.slice(1).every(({ status }) => status === 200)).toBe(true);
  });

  it("is asked what it holds before the first copy, where it tells", async () => {
    const first = await log.grow(5);
    log.http.remember(first.note);
    log.http.tells = true;
    const second = await log.grow(6);
    log.begin([log.webhook()]);
    await log.passing(() => log.http.size() === second.size, "the witness to go on");
    expect(log.http.offered).toMatchObject([{ old: first.size, size: second.size, status: 200 }]);
  });

  it("goes on after a restart from the size that it has", async () => {
    const first = await log.grow(4);
    const witnesses = log.begin([log.webhook()]);
    await log.passing(async () => (await witnesses.list())[0]?.size === first.size, "the first copy to be noted");
    await witnesses.stop();
    await log.ground.stop();
    await log.reopen();
    const second = await log.grow(9);
    log.begin([log.webhook()]);
    await log.passing(() => log.http.size() === second.size, "the second copy");
    expect(log.http.offered.at(-1)).toMatchObject({ old: first.size, size: second.size, status: 200 });
    expect(log.http.offered.length).toBe(2);
  });

  it("is shown with its size, its lag and what was wrong", async () => {
    const witnesses = log.begin([
      log.file(),
      scripted("webhook:down", () => Promise.reject(new Error("no \u001b[1m route"))),
    ]);
    expect(await witnesses.list()).toEqual([
      { sink: `file:${log.path}`, size: 0, lag_ms: 0, ok_at: null, error: null },
      { sink: "webhook:down", size: 0, lag_ms: 0, ok_at: null, error: null },
    ]);
    const { at, size } = await log.grow();
    await log.passing(
      async () => (await witnesses.list()).every(({ ok_at, error }) => ok_at !== null || error !== null),
      "",
    );
    const [good, bad] = await witnesses.list();
    expect(good).toMatchObject({ size, lag_ms: 0, error: null });
    expect(bad).toEqual({
      sink: "webhook:down",
      size: 0,
      lag_ms: log.clock.now() - at,
      ok_at: null,
      error: "no  [1m route",
    });
    log.clock.advance(SINK_POLL_MS);
    await eventually(() => log.lags.get("webhook:down") === (log.clock.now() - at) / 1_000, "the metric to follow");
    expect(log.lags.get(`file:${log.path}`)).toBe(0);
  });
});

describe("a witness that fails", () => {
  it("holds up neither sealing nor the others, however long", async () => {
    const silent = scripted("webhook:silent", (_, signal) => never(signal));
    log.begin([silent, log.file(), scripted("webhook:hung", () => new Promise(() => {}))]);
    for (let i = 0; i < 20; i++) {
      const { size, note: newest } = await log.grow();
      await log.passing(() => log.held().at(-1) === newest.trimEnd(), `size ${size} to be in the file`);
      log.clock.advance(SINK_ANSWER_MS / 4);
    }
    expect((await log.ground.log.checkpoint()).size).toBeGreaterThan(20);
    expect(log.ground.guard.refusal()).toBeUndefined();
  });

  it("is left alone for a second, then twice as long, up to five minutes; a success starts anew", async () => {
    const tried: number[] = [];
    let works = false;
    log.begin([
      scripted("webhook:w", async ({ size }) => {
        tried.push(log.clock.now());
        if (!works) throw new Error("down");
        return size;
      }),
    ]);
    await log.grow();
    const backoff_ms = (i: number): number => Math.min(SINK_BACKOFF_MS * 2 ** i, SINK_BACKOFF_MAX_MS);
    for (let i = 0; i < 11; i++) {
      await log.passing(() => log.logged.length === i + 1, `attempt ${i + 1} to fail`);
      if (i < 10) log.clock.advance(Math.max(0, backoff_ms(i) - 2 * SINK_POLL_MS));
    }
    const waited = tried.slice(1).map((at, i) => at - (tried[i] ?? 0));
    for (const [i, ms] of waited.entries()) {
      expect(ms).toBeGreaterThanOrEqual(backoff_ms(i));
      // The test itself may move on by a look or two before an attempt has begun.
      expect(ms).toBeLessThan(backoff_ms(i) + 20 * SINK_POLL_MS);
    }
    expect(waited.length).toBe(10);
    log.clock.advance(SINK_BACKOFF_MAX_MS);
    works = true;
    await log.passing(() => tried.length === 12, "it to work again");
    works = false;
    await log.grow();
    await log.passing(() => tried.length === 14, "two more attempts");
    expect(tried[13]! - tried[12]!).toBeLessThan(SINK_BACKOFF_MAX_MS / 2);
  });

  it("has an answer's time to answer, not more, and no second attempt meanwhile", async () => {
    let attempts = 0;
    const signals: AbortSignal[] = [];
    const witnesses = log.begin([
      scripted("webhook:w", (_, signal) => {
        attempts += 1;
        signals.push(signal);
        return new Promise(() => {});
      }),
    ]);
    await log.grow();
    await log.passing(() => attempts === 1, "the attempt");
    log.clock.advance(SINK_ANSWER_MS - 1);
    expect(signals[0]?.aborted).toBe(false);
    log.clock.advance(1);
    expect(signals[0]?.aborted).toBe(true);
    await log.passing(async () => (await witnesses.list())[0]?.error !== null, "the error");
    expect((await witnesses.list())[0]?.error).toBe(`no answer within ${SINK_ANSWER_MS / 1_000} s`);
    log.clock.advance(SINK_BACKOFF_MAX_MS);
    log.clock.advance(SINK_BACKOFF_MAX_MS);
    await eventually(async () => (await witnesses.list())[0]?.lag_ms !== 0);
    expect(attempts).toBe(1);
  });

  it("is given up by a stop after a while, even when it does not let go", async () => {
    let attempts = 0;
    const witnesses = log.begin([
      scripted("webhook:w", () => {
        attempts += 1;
        return new Promise(() => {});
      }),
    ]);
    await log.grow();
    await log.passing(() => attempts === 1, "the attempt");
    let stopped = false;
    const stopping = witnesses.stop().then(() => {
      stopped = true;
    });
    const pending = log.clock.pending;
    await eventually(() => log.clock.pending !== pending || stopped);
    log.clock.advance(SINK_STOP_MS - 1);
    expect(stopped).toBe(false);
    await eventually(() => {
      log.clock.advance(1);
      return stopped;
    });
    await stopping;
  });

  it("is quoted up to a limit", async () => {
    const witnesses = log.begin([
      scripted("webhook:exact", () => Promise.reject(new Error("x".repeat(SINK_ERROR_CHARS_MAX)))),
      scripted("webhook:long", () => Promise.reject(new Error("x".repeat(SINK_ERROR_CHARS_MAX + 1)))),
    ]);
    await log.grow();
    await log.passing(async () => (await witnesses.list()).every(({ error }) => error !== null), "both errors");
    for (const { error } of await witnesses.list()) expect(error).toBe("x".repeat(SINK_ERROR_CHARS_MAX));
  });

  it.each([
    ["holds a larger log", 100_000, /holds size 100000, and this log has only/],
    ["holds less, again and again", 0, /says that it holds size 0, and takes nothing/],
  ])("because it %s is told so", async (_, answer, said) => {
    const witnesses = log.begin([scripted("webhook:w", async () => answer)]);
    await log.grow();
    await log.passing(async () => (await witnesses.list())[0]?.error !== null, "the error");
    expect((await witnesses.list())[0]?.error).toMatch(said);
    expect((await witnesses.list())[0]?.size).toBe(0);
  });

  it("because it holds a larger copy of this log is given none of a smaller one", async () => {
    const { note: larger, size } = await log.grow(3);
    const forged = larger.replace(`\n${size}\n`, `\n${size + 50}\n`);
    appendFileSync(log.path, `${forged}\n`);
    const witnesses = log.begin([log.file()]);
    await log.passing(async () => (await witnesses.list())[0]?.error !== null, "the error");
    expect((await witnesses.list())[0]?.error).toBe(
      `the witness holds size ${size + 50}, and this log has only ${size}`,
    );
    expect(readFileSync(log.path, "utf8")).toBe(`${forged}\n`);
  });

  it("because its file was emptied gets the newest again at the next start, and the log is told", async () => {
    const { note: newest } = await log.grow(3);
    const witnesses = log.begin([log.file()]);
    await log.passing(async () => (await witnesses.list())[0]?.ok_at !== null, "the first copy");
    await witnesses.stop();
    writeFileSync(log.path, "");
    log.begin([log.file()]);
    await log.passing(() => log.held()[0] === newest.trimEnd(), "the copy again");
    expect(log.logged.map(({ message }) => message)).toContain("a witness holds less than it had taken");
  });
});

it("a database that was restored, with the file beside it, is caught by a witness's copy", async () => {
  await log.grow(4);
  await log.ground.stop();
  const directory = log.data;
  const old = join(log.base, "old");
  cpSync(directory, old, { recursive: true });
  await log.reopen();
  await log.grow(6);
  const witnesses = log.begin([log.file()]);
  await log.passing(async () => (await witnesses.list())[0]?.ok_at !== null, "the copy");
  await witnesses.stop();
  await log.ground.stop();
  // What the operator can take back: the database, the keys, and `checkpoint.latest`.
  rmSync(directory, { recursive: true, force: true });
  cpSync(old, directory, { recursive: true });
  await log.reopen();
  await log.ground.seal();
  expect(log.ground.guard.refusal()).toBeUndefined();
  await log.ground.stop();
  rmSync(directory, { recursive: true, force: true });
  cpSync(old, directory, { recursive: true });
  await log.reopen({ witnesses: [log.file()] });
  await log.ground.sealer.seal();
  expect(log.ground.guard.fault?.code).toBe("EVIDENCE_ROLLBACK");
});
