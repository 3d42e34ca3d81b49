import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GROUP_BYTES_MAX, GROUP_UNITS_MAX } from "../contract.ts";
import { migrations } from "../store.ts";
import { type Driver, openDriver } from "./driver.ts";
import { GroupCommitter } from "./group.ts";
import type { FromWriter, ToWriter, UnitMessage } from "./messages.ts";
import { configureWriter } from "./settings.ts";
import { migrateSqlite } from "./sqlite_start.ts";

const INSERT = "INSERT INTO locks (name, owner, epoch, until_at) VALUES (?, 'x', 1, 0)";
const COUNT = { sql: "SELECT COUNT(*) AS n FROM locks", params: [], rows: "first" as const };
const IOERR_FSYNC = 1034;

const unit = (id: number, bytes = 10): UnitMessage => ({
  id,
  bytes,
  steps: [{ sql: INSERT, params: [`n${id}`], expect: 1 }],
});
const many = (count: number, bytes = 10) => Array.from({ length: count }, (_, i) => unit(i, bytes));

describe("a group commit", () => {
  let directory: string;
  let db: Driver;
  let posted: FromWriter[];
  let arriving: ToWriter[];
  let committer: GroupCommitter;

  const committerOf = (driver: Driver) =>
    new GroupCommitter({
      db: driver,
      post: (message) => posted.push(message),
      *drain() {
        for (let next = arriving.shift(); next !== undefined; next = arriving.shift()) yield next;
      },
      monotonic: () => 0,
      afterCommit() {},
    });
  const groups = () => posted.flatMap((m) => (m.type === "ended" && m.commit !== undefined ? [m.commit.units] : []));
  const codes = () =>
    posted.flatMap((m) => (m.type === "ended" ? m.results.map((r) => [r.id, r.error?.code ?? "durable"]) : []));
  const count = () => db.all(COUNT.sql, [], 1)[0]?.["n"];

  beforeEach(async () => {
    directory = await mkdtemp(`${tmpdir()}/gantry-`);
    const path = `${directory}/gantry.db`;
    await migrateSqlite(directory, path, migrations, 0);
    db = await openDriver(path, { read_only: false, busy_ms: 0 });
    configureWriter(db);
    posted = [];
    arriving = [];
    committer = committerOf(db);
  });
  afterEach(async () => {
    db.close();
    await rm(directory, { recursive: true });
  });

  it("sees a close that arrives with another message", () => {
    committer.handle({ type: "units", units: [{ ...unit(1), query: COUNT }] });
    arriving.push({ type: "close" });
    expect(committer.closing).toBe(false);
    committer.handle({ type: "abort", id: 1 });
    expect(committer.closing).toBe(true);
  });

  it(`holds at most ${GROUP_UNITS_MAX} units`, () => {
    committer.handle({ type: "units", units: many(GROUP_UNITS_MAX) });
    expect(groups()).toEqual([GROUP_UNITS_MAX]);
    posted = [];
    committer.handle({ type: "units", units: many(GROUP_UNITS_MAX + 1).map((u) => ({ ...u, steps: [] })) });
    expect(groups()).toEqual([GROUP_UNITS_MAX, 1]);
  });

  it(`holds at most ${GROUP_BYTES_MAX} bytes`, () => {
    committer.handle({ type: "units", units: many(4, GROUP_BYTES_MAX / 2) });
    expect(groups()).toEqual([2, 2]);
    posted = [];
    committer.handle({ type: "units", units: many(2, GROUP_BYTES_MAX / 2 + 1).map((u) => ({ ...u, steps: [] })) });
    expect(groups()).toEqual([1, 1]);
  });

  it("takes what has arrived meanwhile into the next group, and answers each group at once", () => {
    arriving.push({ type: "units", units: [unit(1), unit(2)] });
    committer.handle({ type: "units", units: [unit(0)] });
    expect(groups()).toEqual([3]);
    expect(posted).toHaveLength(1);
  });

  it("rolls back one unit and keeps its neighbours", () => {
    const guarded = {
      ...unit(4),
      steps: [...unit(4).steps, { sql: `${INSERT} ON CONFLICT DO NOTHING`, params: ["n4"], expect: 1 }],
    };
    committer.handle({ type: "units", units: [unit(0), { ...unit(0), id: 1 }, unit(2), unit(3), guarded, unit(5)] });
    expect(codes()).toEqual([
      [0, "durable"],
      [1, "CONSTRAINT"],
      [2, "durable"],
      [3, "durable"],
      [4, "CONFLICT"],
      [5, "durable"],
    ]);
    expect(groups()).toEqual([6]);
    expect(count()).toBe(4);
  });

  it("makes savepoints only after a unit has failed", () => {
    const ran: string[] = [];
    committer = committerOf({
      ...db,
      run(sql, params) {
        ran.push(sql);
        return db.run(sql, params);
      },
    });
    committer.handle({ type: "units", units: [unit(0), unit(1)] });
    expect(ran).toEqual(["BEGIN IMMEDIATE", INSERT, INSERT, "COMMIT"]);
    ran.length = 0;
    committer.handle({ type: "units", units: [unit(2), unit(1)] });
    const apart = (...end: string[]) => ["SAVEPOINT unit", INSERT, ...end, "RELEASE unit"];
    const again = ["ROLLBACK", "BEGIN IMMEDIATE", ...apart(), ...apart("ROLLBACK TO unit"), "COMMIT"];
    expect(ran).toEqual(["BEGIN IMMEDIATE", INSERT, INSERT, ...again]);
    expect(count()).toBe(3);
  });

  it("keeps a unit that has read when one that joins it fails", () => {
    committer.handle({ type: "units", units: [{ ...unit(0), query: COUNT }, unit(0), unit(1)] });
    committer.handle({ type: "end", id: 0, steps: [], bytes: 10 });
    expect(groups()).toEqual([3]);
    expect(count()).toBe(2);
  });

  it("waits while a unit that reads is open, and then takes what has queued with it", () => {
    committer.handle({ type: "units", units: [unit(0), { ...unit(1), query: COUNT }, unit(2)] });
    expect(codes()).toEqual([[0, "durable"]]);
    expect(posted.at(-1)).toEqual({ type: "rows", id: 1, rows: [{ n: 2 }] });
    committer.handle({ type: "units", units: [unit(3)] });
    expect(codes()).toHaveLength(1);
    committer.handle({ type: "end", id: 1, steps: [], bytes: 10 });
    expect(groups()).toEqual([1, 3]);
    expect(count()).toBe(4);
  });

  it("goes on when the open unit is abandoned, and forgets one that waits", () => {
    const reading = (id: number) => ({ ...unit(id), query: COUNT });
    committer.handle({ type: "units", units: [reading(0), reading(1), unit(2)] });
    committer.handle({ type: "abort", id: 1 });
    committer.handle({ type: "abort", id: 0 });
    expect(codes()).toEqual([[2, "durable"]]);
    expect(count()).toBe(1);
  });

  it("refuses everything when the disk is full, until a probe commits", () => {
    const pages = Number(db.pragma("page_count"));
    db.pragma(`max_page_count = ${pages}`);
    const large = { ...unit(1), steps: [{ sql: INSERT, params: ["x".repeat(100_000)] }] };
    committer.handle({ type: "units", units: [unit(0), large, unit(2)] });
    expect(codes()).toEqual([
      [0, "FULL"],
      [1, "FULL"],
      [2, "FULL"],
    ]);
    expect(posted[0]).toEqual({ type: "full", full: true });
    expect(count()).toBe(0);
    posted = [];
    committer.handle({ type: "probe" });
    committer.handle({ type: "units", units: [unit(3)] });
    expect(codes()).toEqual([[3, "FULL"]]);
    db.pragma(`max_page_count = ${pages + 100}`);
    posted = [];
    committer.handle({ type: "probe" });
    expect(posted).toEqual([{ type: "full", full: false }]);
    committer.handle({ type: "units", units: [unit(4)] });
    expect(codes()).toEqual([[4, "durable"]]);
  });

  const FAILS = { ...unit(1), steps: unit(0).steps };
  it.each([
    ["BEGIN IMMEDIATE", unit(1)],
    [INSERT, unit(1)],
    ["COMMIT", unit(1)],
    ["ROLLBACK", FAILS],
    ["SAVEPOINT unit", FAILS],
    ["ROLLBACK TO unit", FAILS],
    ["RELEASE unit", FAILS],
  ])("answers nothing when %j meets a failing disk, neither then nor later", (sql, second) => {
    let calls = 0;
    const failing: Driver = {
      ...db,
      run(text, params) {
        if (text !== sql) return db.run(text, params);
        calls += 1;
        throw Object.assign(new Error("disk I/O error"), { code: "ERR_SQLITE_ERROR", errcode: IOERR_FSYNC });
      },
    };
    committer = committerOf(failing);
    committer.handle({ type: "units", units: [unit(0), second] });
    committer.handle({ type: "units", units: [unit(2)] });
    committer.handle({ type: "probe" });
    expect(posted).toEqual([{ type: "fatal", error: expect.objectContaining({ code: "CLOSED" }) }]);
    expect(calls).toBe(1);
    db.exec("ROLLBACK; BEGIN".slice(sql === "BEGIN IMMEDIATE" ? 10 : 0));
    db.exec("ROLLBACK");
    expect(count()).toBe(0);
  });

  it("is refused as busy, and not fatal, when a process outside holds the database", async () => {
    const outside = await openDriver(`${directory}/gantry.db`, { read_only: false, busy_ms: 0 });
    outside.exec("BEGIN IMMEDIATE");
    committer.handle({ type: "units", units: [unit(0), unit(1)] });
    expect(codes()).toEqual([
      [0, "BUSY"],
      [1, "BUSY"],
    ]);
    outside.exec("ROLLBACK");
    outside.close();
    committer.handle({ type: "units", units: [unit(2)] });
    expect(codes().at(-1)).toEqual([2, "durable"]);
  });
});
