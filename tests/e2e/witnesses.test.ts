import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Witness } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type HttpWitness, openHttpWitness } from "../fixtures/http_witness.ts";
import { cli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** A server with a witness of each kind, seen from outside. */

let base: string;
let server: TestServer;
let http: HttpWitness;
let vkeys: string[];

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "gw-"));
  vkeys = [];
  http = await openHttpWitness(() => vkeys);
  const remote = join(base, "w.git");
  execFileSync("git", ["init", "--quiet", "--bare", remote]);
  const witnesses = [
    { file: join(base, "w.txt") },
    { git: remote },
    { webhook: http.url.replace("http://", "http://user:canary@") },
  ];
  server = await startServer({ config: { witnesses, warm_runners: 1 } });
  vkeys = (await (await server.request("/log/keys", { token: null })).text()).trimEnd().split("\n");
});
afterAll(async () => {
  await server?.dispose();
  await http?.close();
  rmSync(base, { recursive: true, force: true });
});

async function listed(): Promise<Witness[]> {
  const { stdout } = await cli(["evidence", "witnesses", "--json", "--data", server.data]);
  return (JSON.parse(stdout) as { items: Witness[] }).items;
}

it("each witness comes to hold the checkpoint that is served, and none is shown with its password", async () => {
  const run = { json: { code: { source: "export default () => 1;" }, wait_ms: 30_000 } };
  const { id } = await server.json<{ id: string }>("/v1/runs", run, 200);
  // Nothing is written after this, so that all witnesses come to hold the same.
  await eventually(async () => {
    const entries = await server.json<{ items: { sealed: boolean }[] }>(`/v1/evidence/entries?ref=${id}`);
    return entries.items.every(({ sealed }) => sealed);
  }, "the run to be sealed");
  const note = await (await server.request("/log/checkpoint", { token: null })).text();
  const size = Number(note.split("\n")[1]);
  let items: Witness[] = [];
  const all = async (): Promise<boolean> => {
    items = await listed();
    return items.every((one) => one.size >= size && one.lag_ms === 0 && one.error === null);
  };
  await eventually(all, "all to hold it", 60_000);
  expect(items.length).toBe(3);
  const git = execFileSync("git", ["--git-dir", join(base, "w.git"), "show", "checkpoints:checkpoint"], {
    encoding: "utf8",
  });
  expect(readFileSync(join(base, "w.txt"), "utf8")).toContain(git);
  expect(http.note()).toBe(git);
  expect(http.offered.filter(({ status }) => status === 200).length).toBeGreaterThan(0);
  // What a witness holds is what an auditor compares with, as the file and the commit are.
  const bundle = join(base, "all.bundle");
  const saved = join(base, "w.txt");
  const exported = await cli(["evidence", "export", "--since", "1d", "-o", bundle, "--data", server.data]);
  expect(exported.code, exported.stderr).toBe(0);
  writeFileSync(join(base, "log.pub"), `${vkeys.join("\n")}\n`);
  const checked = await cli(["evidence", "verify", bundle, "--key", join(base, "log.pub"), "--checkpoint", saved]);
  expect(checked.code, checked.stdout + checked.stderr).toBe(0);
  expect(checked.stdout + checked.stderr).toContain("verified");
  const audited = await cli(["evidence", "audit", "--checkpoint", saved, "--data", server.data]);
  expect(audited.code, audited.stdout + audited.stderr).toBe(0);
  expect(audited.stdout).toMatch(/saved +compared with \d+ entries/);
  const table = await cli(["evidence", "witnesses", "--data", server.data]);
  expect(table.stdout).toContain(`file:${base}/w.txt`);
  let metrics = "";
  // The gauge is set at each look, and a look may have come before the copy.
  const shown = async (): Promise<boolean> => {
    metrics = await (await server.request("/metrics")).text();
    return /gantry_evidence_sink_lag_seconds\{sink="git:[^"]*w\.git"\} 0\n/.test(metrics);
  };
  await eventually(shown, "the gauge of the repository to be 0", 30_000);
  expect(JSON.stringify(items) + table.stdout + metrics + server.log.join("\n")).not.toContain("canary");
});

it("a restored data directory, with the file beside the database, is refused by a witness's copy", async () => {
  const sizeNow = async (): Promise<number> =>
    Number((await (await server.request("/log/checkpoint", { token: null })).text()).split("\n")[1]);
  await server.stop();
  const saved = join(base, "saved");
  execFileSync("cp", ["-a", server.data, saved]);
  await server.restart();
  const restored = await sizeNow();
  await server.json("/v1/runs", { json: { code: { source: "export default () => 2;" }, wait_ms: 30_000 } }, 200);
  await eventually(async () => (await sizeNow()) > restored, "the run to be sealed");
  const before = await sizeNow();
  await eventually(async () => (await listed()).some(({ size }) => size >= before), "a witness to hold it", 60_000);
  await server.kill();
  rmSync(server.data, { recursive: true, force: true });
  execFileSync("cp", ["-a", saved, server.data]);
  await server.restart();
  await eventually(async () => (await server.request("/readyz", { token: null })).status === 503, "not to be ready");
  expect(await (await server.request("/readyz", { token: null })).text()).toContain("EVIDENCE_ROLLBACK");
  const refused = await server.request("/v1/runs", { json: { code: { source: "export default () => 3;" } } });
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: "EVIDENCE_UNAVAILABLE" });
});
