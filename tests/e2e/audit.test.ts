import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AuditReport } from "../../sdk/src/audit.ts";
import { Gantry } from "../../sdk/src/client.ts";
import type { RunView } from "../../sdk/src/types.ts";
import { engine } from "../fixtures/engine.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { cli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { rawStore } from "../fixtures/tamper.ts";

/** The audit from outside: the built command, with a server up and without one. */

let server: TestServer;
afterEach(() => server?.dispose());

async function run(): Promise<RunView> {
  return server.json<RunView>("/v1/runs", { json: { code: { source: "export default () => 1" } } });
}

/** Waits until nothing waits to be sealed. @returns the newest checkpoint */
async function sealedNote(): Promise<string> {
  let note = "";
  await eventually(async () => {
    const { counts } = await new Gantry({ url: server.url, token: server.token }).evidence.audit();
    note = await (await server.request("/log/checkpoint")).text();
    return counts.pending === 0 && note.split("\n")[1] === String(counts.sealed);
  }, "everything to be sealed");
  return note;
}

async function audit(args: string[], code: number): Promise<AuditReport> {
  const out = await cli(["evidence", "audit", "--json", ...args], { cwd: server.data });
  expect(out.code, out.stderr + out.stdout).toBe(code);
  return JSON.parse(out.stdout) as AuditReport;
}

describe("gantry evidence audit", () => {
  beforeEach(async () => {
    server = await startServer();
  });

  it("passes a server that goes on, and compares it with a saved checkpoint", async () => {
    await run();
    const saved = join(server.data, "saved");
    writeFileSync(saved, await sealedNote());
    await run();
    const report = await audit(["--data", server.data, "--checkpoint", saved], 0);
    expect(report).toMatchObject({ ok: true, first_bad: null, counts: { rows: expect.any(Number) } });
    expect(report.compared.saved).toBe(Number(readFileSync(saved, "utf8").split("\n")[1]));
    const text = await cli(["evidence", "audit", "--data", server.data], { cwd: server.data });
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^ok \d+ sealed entries, \d+ waiting\n {2}looked at {2}\d+ tiles?, /);
    expect(text.stdout).toContain("no saved checkpoint was given");
  });

  it("is refused to strangers, and with what is no checkpoint", async () => {
    const stranger = await server.request("/v1/evidence/audits", { json: {}, token: null });
    expect(stranger.status).toBe(401);
    const bad = await server.request("/v1/evidence/audits", { json: { checkpoint: "nonsense" } });
    expect({ status: bad.status, body: await bad.json() }).toMatchObject({
      status: 400,
      body: { code: "EVIDENCE_BAD_NOTE" },
    });
  });

  it("reads a store with no server up, changes nothing in it, and names what was edited", async () => {
    const { id } = await run();
    await sealedNote();
    await server.stop();
    const before = readdirSync(server.data, { recursive: true }).sort();
    const bytes = readFileSync(join(server.data, "gantry.db"));
    const report = await audit(["--store", server.data], 0);
    expect(report).toMatchObject({ ok: true, counts: { pending: 0 }, compared: { latest: report.size } });
    expect(readdirSync(server.data, { recursive: true }).sort()).toEqual(before);
    expect(readFileSync(join(server.data, "gantry.db")).equals(bytes)).toBe(true);

    await rawStore(server.data).run("UPDATE runs SET termination = 'threw' WHERE id = ?", [id]);
    const bad = await audit(["--store", join(server.data, "gantry.db")], 1);
    expect(bad.first_bad).toMatchObject({
      check: "row",
      table: "runs",
      row: id,
      entry: expect.stringMatching(/^ent_/),
    });
    const text = await cli(["evidence", "audit", "--store", "."], { cwd: server.data });
    expect(text.code).toBe(1);
    expect(text.stdout).toContain(`bad row at index ${bad.first_bad?.index}, entry ${bad.first_bad?.entry}`);
    expect(text.stdout).toContain(`runs/${id}`);
  });

  it("reads what a killed server has left in its WAL, and locks no server out", async () => {
    await run();
    await sealedNote();
    await server.kill();
    const report = await audit(["--store", server.data], 0);
    expect(report.size).toBeGreaterThan(4);
    await server.restart();
    expect((await audit(["--store", server.data], 0)).size).toBeGreaterThanOrEqual(report.size);
    await run();
    await server.stop();
  });

  it("exits 2 with a sentence where there is nothing to judge", async () => {
    await server.stop();
    const said = async (args: string[]) => {
      const out = await cli(["evidence", "audit", ...args], { cwd: server.data });
      expect(out.code, out.stdout).toBe(2);
      expect(out.stderr).not.toMatch(/\n\s+at /);
      return out.stderr;
    };
    expect(await said([])).toContain("No Gantry server runs");
    expect(await said(["--store", "nowhere"])).toContain("There is no store at");
    expect(await said(["--store", "keys/state.key"])).toMatch(/database|STORAGE/);
    expect(await said(["--store", ".", "--checkpoint", "gone"])).toContain("gone");
    expect(await said(["--store", ".", "--checkpoint", "server.json"])).toMatch(/cannot be read|EVIDENCE_BAD_NOTE/);
    expect(await said(["--store", ".", "--data", "keys"])).toContain("EVIDENCE_KEY");
    expect(await said(["--store", "postgres://nobody@127.0.0.1:1/gone"])).toContain("STORAGE_UNREACHABLE");
  });
});

describe("gantry evidence audit of PostgreSQL", () => {
  let postgres: PostgresServer | undefined;
  beforeAll(async () => {
    if (postgresMissing() === undefined) postgres = await startPostgres();
    engine.server = postgres;
  });
  afterAll(async () => {
    engine.server = undefined;
    await postgres?.remove();
  });
  beforeEach((context) => need(context, "postgres", postgresMissing()));

  it("reads the database with no server up", async () => {
    const url = await postgres!.createDatabase();
    server = await startServer({ args: ["--store", url] });
    const { id } = await run();
    await sealedNote();
    await server.stop();
    const report = await audit(["--store", url, "--data", server.data], 0);
    expect(report).toMatchObject({ ok: true, compared: { latest: report.size } });
    await postgres!.sql(`DELETE FROM runs WHERE id = '${id}'`, url);
    expect((await audit(["--store", url, "--data", server.data], 1)).first_bad).toMatchObject({
      check: "row",
      row: id,
    });
  });
});
