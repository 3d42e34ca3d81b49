import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { rawStore } from "../../../tests/fixtures/tamper.ts";
import { Auditor } from "../evidence/audit/audit.ts";
import type { AuditReport } from "../evidence/audit/report.ts";
import { loadStateKey } from "../evidence/state_key.ts";
import { audited_tables as identity_tables } from "../identity/store.ts";
import { audited_tables as policy_tables } from "../policy/store.ts";
import type { RunRequest } from "./contract.ts";
import { audited_tables } from "./row_store.ts";

describe("audited rows of runs", () => {
  /** Every way that a run's row can go, and after each an audit: no change of a row is without its digest. */

  const tables = [...identity_tables, ...policy_tables, ...audited_tables];

  let house: RunsGround;

  beforeEach(async () => {
    house = await openRunsGround({ capacity: { slots: 1, memory_mb: 512 } });
    await house.runs.recover();
    house.storage.timers.start(() => {});
  });
  afterEach(async () => {
    await house.storage.timers.stop();
    await house.remove();
  });

  async function audit({ ground }: RunsGround): Promise<AuditReport> {
    const state_key = await loadStateKey(ground.files, ground.random);
    return new Auditor({ ...ground, state_key, tables }).audit({});
  }

  const submit = (more: Partial<RunRequest> = {}) => house.runs.submit(house.owner, ask(more));

  it("rows of runs are what their newest entry says, however they ended or wait", async () => {
    await submit({ input: { big: "x".repeat(70_000) }, why: "to see" });
    house.pool.script = () => ({ ending: "threw", error: { code: "GUEST_THREW", detail: "no" }, blocked: [] });
    await submit();
    house.pool.script = () => ({ result: JSON.stringify("y".repeat(70_000)), http: { status: 200, headers: [] } });
    await submit();
    const held = heldScript();
    house.pool.script = held.script;
    const running = await submit({ wait_ms: 0, lane: "batch" });
    await eventually(() => held.waiting.includes(running.id));
    const cancelled = await submit({ wait_ms: 0 });
    const waiting = await submit({ wait_ms: 0, isolation: "process" });
    await house.runs.cancel(house.owner, cancelled.id);
    expect(await audit(house)).toMatchObject({ ok: true, first_bad: null, counts: { rows: 4 + 6 } });
    house.pool.script = () => ({});
    held.endAll();
    await eventually(async () => (await house.runs.get(house.owner, waiting.id)).state === "ended");
    expect(await audit(house)).toMatchObject({ ok: true, first_bad: null });
  });

  it("an edited one is named with the entry that its digest stands in", async () => {
    const run = await submit();
    const raw = rawStore(house.directory);
    await raw.run("UPDATE runs SET cpu_us = cpu_us + 1 WHERE id = ?", [run.id]);
    const entries = await house.entriesOf(run.id);
    expect((await audit(house)).first_bad).toEqual({
      index: null,
      entry: entries.at(-1)?.id,
      check: "row",
      detail: expect.stringContaining(run.id),
      table: "runs",
      row: run.id,
    });
    await raw.run("UPDATE runs SET cpu_us = cpu_us - 1 WHERE id = ?", [run.id]);
    expect((await audit(house)).ok).toBe(true);
  });

  it("a node that takes over what another has left changes no row without an entry", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const running = await submit({ wait_ms: 0 });
    await eventually(() => held.waiting.includes(running.id));
    await submit({ wait_ms: 0, retry: "if_lost" });
    await house.crash();
    house = await openRunsGround({
      directory: house.directory,
      boot: "boot-2",
      capacity: { slots: 1, memory_mb: 512 },
    });
    await house.runs.recover();
    await eventually(async () =>
      (await house.runs.list(house.owner, { limit: 200 })).items.every(({ state }) => state === "ended"),
    );
    expect(await audit(house)).toMatchObject({ ok: true, first_bad: null });
  });
});
