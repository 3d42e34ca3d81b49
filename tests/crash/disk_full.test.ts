import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunView } from "../../server/src/intent/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { serverArgs, withDeadline } from "../fixtures/server.ts";
import { readData, storyFaults } from "./audit.ts";
import { logFaults } from "./log_audit.ts";
import { liveRunnersOf, runtimeOf } from "./runner_processes.ts";

/** A server whose data directory is a disk of its own, small enough to fill: a tmpfs in a mount namespace of its own. */

const DISK = "16m";
const START_MS = 30_000;
/** Mounts, then becomes the server; the namespace and the disk go with it. Arguments: directory, command. */
const SCRIPT = `mount -t tmpfs -o size=${DISK},mode=0700 disk "$1" && shift && exec "$@"`;
const ENTER =
  process.getuid?.() === 0
    ? ["unshare", "--mount", "--"]
    : // The uid stays, so that the server does not take itself for root; the capabilities are for mount alone.
      ["unshare", "--mount", "--user", "--map-current-user", "--keep-caps", "--"];

let base: string;
let child: ChildProcess | undefined;
let url: string;
let token: string;
/** The data directory as the server's own processes see it. */
let inside: string;

beforeEach(async (context) => {
  base = mkdtempSync(join(tmpdir(), "gd-"));
  const data = join(base, "d");
  mkdirSync(data);
  const probe = spawnSync(ENTER[0]!, [...ENTER.slice(1), "sh", "-c", SCRIPT, "sh", data, "true"], { encoding: "utf8" });
  const lacks = probe.status === 0 ? undefined : `no tmpfs can be mounted: ${probe.error?.message ?? probe.stderr}`;
  need(context as Parameters<typeof need>[0], "tmpfs", lacks);
  const [file, ...args] = [...ENTER, "sh", "-c", SCRIPT, "sh", data, process.execPath];
  const env = { ...process.env };
  delete env["XDG_RUNTIME_DIR"];
  const command = [...args, ...serverArgs(base, { config: { warm_runners: 1, log_level: "error" } })];
  child = spawn(file!, command, { env, stdio: ["ignore", "ignore", "ignore", "pipe"] });
  const lines = createInterface({ input: child.stdio[3] as Readable });
  const [line] = (await withDeadline(once(lines, "line"), START_MS, "the server to be ready")) as [string];
  url = (JSON.parse(line) as { url: string }).url;
  inside = `/proc/${child.pid}/root${data}`;
  token = readFileSync(join(inside, "owner.token"), "utf8").trim();
});
afterEach(async () => {
  if (child !== undefined && child.exitCode === null && child.signalCode === null) {
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }
  child = undefined;
  rmSync(runtimeOf(join(base, "d")), { recursive: true, force: true });
  rmSync(base, { recursive: true, force: true });
});

/** Takes what is left of the disk, to the last byte. @returns a function that gives it back. */
function fill(): () => void {
  const path = join(inside, "ballast");
  const fd = openSync(path, "w");
  for (let bytes = 65_536; bytes >= 1; ) {
    try {
      writeSync(fd, Buffer.alloc(bytes));
    } catch {
      bytes /= 2; // ENOSPC: the rest may take less
    }
  }
  closeSync(fd);
  return () => unlinkSync(path);
}

const SLEEPS = "export default (ms) => new Promise((done) => setTimeout(() => done('slept'), ms));";

async function ask(path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(new URL(path, url), {
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: await answer.json() };
}
const submit = (ms: number, more = {}) => ask("/v1/runs", { code: { source: SLEEPS }, input: ms, ...more });
const UNAVAILABLE = { status: 503, body: { code: "EVIDENCE_UNAVAILABLE", reasons: [{ code: "STORAGE_FULL" }] } };
const ready = async () => (await ask("/readyz")).status === 200;

describe("a server whose disk is full", () => {
  it("refuses what it could not record, reads on, says why it is not ready, and works again when there is space", async () => {
    const before = await submit(0);
    expect(before).toMatchObject({ status: 200, body: { termination: "completed", result: "slept" } });
    const { id } = before.body as RunView;

    const free = fill();
    // What is left in the pages of the files may still take a few.
    await eventually(async () => (await submit(0)).status === 503, "a refusal");
    expect(await submit(0)).toMatchObject(UNAVAILABLE);
    expect(await submit(0, { wait_ms: 0 })).toMatchObject(UNAVAILABLE);
    expect(await ask(`/v1/runs/${id}`)).toEqual({ status: 200, body: before.body });
    expect((await ask("/v1/runs")).status).toBe(200);
    expect((await ask(`/v1/evidence/entries?ref=${id}`)).status).toBe(200);
    expect(await ask("/readyz")).toMatchObject({ status: 503, body: { causes: [{ name: "storage" }] } });

    free();
    await eventually(ready, "the server to be ready again");
    expect(await submit(0)).toMatchObject({ status: 200, body: { termination: "completed", result: "slept" } });
    await demandWholeLedger();
  });

  it("releases no result that it cannot record, and ends the run as lost when it can write again", async () => {
    await eventually(() => liveRunnersOf(join(base, "d")).length === 1, "a warm runner");
    const [{ pid } = { pid: 0 }] = liveRunnersOf(join(base, "d"));
    const begun = await submit(2_000, { wait_ms: 0 });
    const { id } = begun.body as RunView;
    await eventually(async () => ((await ask(`/v1/runs/${id}`)).body as RunView).state === "running", "the run to run");
    // It comes to its answer when nothing can be recorded any more, however long that takes.
    process.kill(pid, "SIGSTOP");
    const free = fill();
    await eventually(async () => (await submit(0)).status === 503, "a refusal");
    process.kill(pid, "SIGCONT");
    expect(await ask(`/v1/runs/${id}?wait_ms=30000`)).toMatchObject(UNAVAILABLE);
    expect((await ask(`/v1/runs/${id}`)).body).not.toHaveProperty("result");
    free();
    await eventually(async () => ((await ask(`/v1/runs/${id}`)).body as RunView).state === "ended", "the end", 20_000);
    const { body } = await ask(`/v1/runs/${id}`);
    expect(body).toMatchObject({ termination: "node_lost", error: { code: "RUN_LOST" } });
    expect(body).not.toHaveProperty("result");
    await demandWholeLedger();
  });
});

/** Nothing waits, so nothing is written any more. */
async function isSealed(): Promise<boolean> {
  const { body } = await ask("/v1/evidence/entries?limit=200");
  const { items, next } = body as { items: { sealed: boolean }[]; next?: string };
  return next === undefined && items.length > 0 && items.every(({ sealed }) => sealed);
}

/** Reads a copy of the quiet store: the original is on a disk that only the server's own processes can open by path. */
async function demandWholeLedger(): Promise<void> {
  await eventually(isSealed, "every entry to be sealed");
  const copy = join(base, "copy");
  cpSync(inside, copy, { recursive: true, filter: (path) => !path.endsWith(".db-shm") });
  const { runs, entries, entries_of, log, integrity } = readData(copy);
  expect(integrity).toBe("ok");
  expect([...runs.values()].flatMap((run) => storyFaults(run, entries_of(run.id)))).toEqual([]);
  expect([...runs.values()].every(({ state }) => state === "ended")).toBe(true);
  expect(log.entries).toHaveLength(entries.length);
  expect(logFaults(log)).toEqual([]);
}
