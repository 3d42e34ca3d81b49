import { chmodSync, copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunView } from "../../server/src/intent/contract.ts";
import { logFaults, readLog } from "../crash/log_audit.ts";
import { eventually } from "../fixtures/eventually.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ config: { log_origin: "sealing.test/log", warm_runners: 1 } });
});
afterAll(() => server.dispose());

const SLEEPS = "export default (ms) => new Promise((done) => setTimeout(() => done('slept'), ms));";
const submit = (ms = 0, more = {}) =>
  server.request("/v1/runs", { json: { code: { source: SLEEPS }, input: ms, ...more } });
const note = async () => (await server.request("/log/checkpoint", { token: null })).text();
const sizeOf = (checkpoint: string) => Number(checkpoint.split("\n")[1]);
const at = (name: string) => join(server.data, name);
const database = () => at("gantry.db");
const ready = async () => (await server.request("/readyz")).status === 200;

/** Reads go on, mutations do not, and both say why. */
async function demandClosed(code: string): Promise<void> {
  expect(await server.json("/readyz", {}, 503)).toMatchObject({
    causes: [{ name: "evidence", detail: expect.stringContaining(code) }],
  });
  const refused = await submit();
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: "EVIDENCE_UNAVAILABLE", reasons: [{ code }] });
  expect(await server.json("/v1/runs")).toMatchObject({ items: expect.any(Array) });
  expect(await server.json("/v1/evidence/entries")).toMatchObject({ items: expect.any(Array) });
  expect(sizeOf(await note())).toBeGreaterThan(0);
}

describe("a server's signed log", () => {
  it("holds what was recorded soon after, and all of it when the server has stopped", async () => {
    expect((await submit()).status).toBe(200);
    const { items } = await server.json<{ items: unknown[] }>("/v1/evidence/entries?limit=200");
    await eventually(async () => sizeOf(await note()) >= items.length, "every entry to be sealed");
    expect(await note()).toMatch(/^sealing\.test\/log\n/);
    await submit();
    await server.stop();
    const log = readLog(database());
    expect(log.pending).toEqual([]);
    expect(log.leaves.length).toBeGreaterThan(items.length);
    const latest = readFileSync(at("checkpoint.latest"), "utf8");
    expect(latest).toBe(log.checkpoints.at(-1)?.note);
    expect(logFaults(log, [latest])).toEqual([]);
    await server.restart();
  });

  it("has another key when its operator says so", async () => {
    const before = await (await server.request("/log/keys", { token: null })).text();
    const rotated = await server.json<{ old: string; new: string }>("/v1/evidence/keys", { method: "POST" }, 201);
    expect(`${rotated.old}\n`).toBe(before);
    await eventually(
      async () => (await (await server.request("/log/keys")).text()) === `${before}${rotated.new}\n`,
      "the new key to sign",
    );
    await eventually(() => readFileSync(at("log.pub"), "utf8") === `${before}${rotated.new}\n`, "its public copy");
    expect((await server.request("/v1/evidence/keys", { method: "POST", token: null })).status).toBe(401);
  });

  it("whose key others can read records nothing more, and goes on when that is put right", async () => {
    const { id } = (await (await submit(60_000, { wait_ms: 0 })).json()) as RunView;
    const state = async () => (await server.json<RunView>(`/v1/runs/${id}`)).state;
    await eventually(async () => (await state()) === "running", "the run to run");
    await server.kill();
    chmodSync(at("keys/log-ed25519.pem"), 0o644);
    // The run that was lost cannot be recorded as lost: it stays what it was, and nothing is kept from being read.
    await server.restart();
    await demandClosed("EVIDENCE_KEY_MODE");
    expect(await state()).not.toBe("ended");
    chmodSync(at("keys/log-ed25519.pem"), 0o600);
    await eventually(ready, "the server to be ready");
    expect((await submit()).status).toBe(200);
    await eventually(async () => (await state()) === "ended", "the lost run to end", 30_000);
  });

  it("that was restored from an older copy records nothing more", async () => {
    await server.stop();
    copyFileSync(database(), at("older.db"));
    await server.restart();
    expect((await submit()).status).toBe(200);
    await server.stop();
    copyFileSync(database(), at("newer.db"));
    copyFileSync(at("older.db"), database());
    rmSync(`${database()}-wal`, { force: true });
    await server.restart();
    await demandClosed("EVIDENCE_ROLLBACK");
    await server.stop();
    copyFileSync(at("newer.db"), database());
    await server.restart();
    expect(await ready()).toBe(true);
    expect((await submit()).status).toBe(200);
    expect(existsSync(`${database()}-wal`)).toBe(true);
  });
});
