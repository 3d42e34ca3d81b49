import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";
import { afterAll, describe, expect, it } from "vitest";
import { cli, run } from "../fixtures/processes.ts";
import { CLI_FILE, startServer, type TestServer } from "../fixtures/server.ts";

const home = mkdtempSync(join(tmpdir(), "gantry-hour-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const node = (args: string[]) => run(process.execPath, args, { cwd: home });

const CONTRACT =
  "kind: Contract\nname: nightly\nextends: scratch\ngates: [{on: run.submit, name: nightly, quorum: 1}]\n";

/** An approval that an agent has asked for. */
async function waiting(server: TestServer): Promise<{ id: string; statement_hash: string }> {
  const headers = { "content-type": "application/yaml" };
  await server.json("/v1/contracts/nightly", { method: "PUT", body: CONTRACT, headers });
  const { items } = await server.json<{ items: { id: string; name: string }[] }>("/v1/actors");
  const actor = items.find(({ name }) => name === "local")?.id;
  const minted = await server.request("/v1/tokens", { json: { actor, scopes: ["run:submit", "run:read"] } });
  const token = /gtr_agt_[0-9A-Za-z]{36}/.exec(await minted.text())?.[0] ?? "";
  const json = { code: { source: "export default () => 1" }, contract: "nightly" };
  const { approval } = await server.json<{ approval: string }>("/v1/runs", { json, token }, 202);
  return server.json(`/v1/approvals/${approval}`);
}

describe("what goes wrong in the first hour is help", () => {
  it("an old Node: which one it needs, and which one this is", async () => {
    const old = 'Object.defineProperty(process.versions, "node", { value: "18.20.4" })';
    const { code, stderr } = await node([
      "--import",
      `data:text/javascript,${encodeURIComponent(old)}`,
      CLI_FILE,
      "help",
    ]);
    expect(stderr).toBe("gantry needs Node 20.19 or later; this is 18.20.4. Install a newer one, then try again.\n");
    expect(code).toBe(2);
  });

  it("a clone that was not built: the command that builds it", async () => {
    mkdirSync(join(home, "clone/bin"), { recursive: true });
    cpSync(CLI_FILE, join(home, "clone/bin/gantry.mjs"));
    const { code, stderr } = await node([join(home, "clone/bin/gantry.mjs"), "up"]);
    expect(stderr).toContain("Run `npm run build` once");
    expect(code).toBe(2);
  });

  it("a config file with a mistyped member: the member that was meant", async () => {
    writeFileSync(join(home, "gantry.yaml"), "hots: 127.0.0.1\nzzzzzz: 1\nport: many\n");
    const { code, stderr } = await cli(["up", "--config", "gantry.yaml"], { cwd: home });
    expect(stderr).toContain("hots: is no member of the config file; did you mean host?");
    expect(stderr).toContain("zzzzzz: is no member of the config file; docs/operating.md lists what there is");
    expect(stderr).toMatch(/ {2}port: /);
    expect(code).toBe(2);
  });

  it("no login, a token that lacks a scope, a spent link, a directory of a newer version: the next step", async () => {
    const server = await startServer();
    try {
      const env = { GANTRY_DATA: server.data };
      const said = async (args: string[], more = {}) =>
        (await cli(args, { cwd: home, env: { ...env, ...more } })).stderr;
      const minted = await cli(["tokens", "mint", "--actor", "local", "--scope", "run:read"], { cwd: home, env });
      writeFileSync(join(home, "main.ts"), "export default () => 1;\n");
      const narrow = await said(["run", "main.ts"], { GANTRY_TOKEN: minted.stdout.trim() });
      expect(narrow).toContain("This needs the scope run:submit");
      expect(narrow).toContain("Use a token with run:submit");
      const asked = await waiting(server);
      expect(await said(["approve", asked.id, "--statement-hash", asked.statement_hash])).toContain(
        "`gantry login LINK`",
      );
      const link = /gtr_lnk_[0-9A-Za-z]{36}/.exec(server.printed)?.[0] ?? "";
      expect(await said(["login", link])).toContain("mode 0600");
      expect(await said(["login", link])).toContain("gantry admin login-link");
      await server.stop();
      const database = new DatabaseSync(join(server.data, "gantry.db"));
      database.exec("INSERT INTO schema_migrations (id, sha256, applied_at) VALUES ('zz_of_tomorrow', 'x', 1)");
      database.close();
      const newer = await said(["up", "--port", "0"]);
      expect(newer).toContain("zz_of_tomorrow, which this version does not know. Start the version that wrote it");
    } finally {
      await server.dispose();
    }
  });
});
