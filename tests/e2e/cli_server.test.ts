import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../fixtures/eventually.ts";
import { TICKER } from "../fixtures/guest_sources.ts";
import { cli as command, startCli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

let server: TestServer;
/** A working directory without a server's data. */
let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-cli-"));
  server = await startServer();
});
afterAll(async () => {
  await server.dispose();
  await rm(home, { recursive: true, force: true });
});

describe("which server", () => {
  it("GANTRY_URL with GANTRY_TOKEN, without any file", async () => {
    const env = { GANTRY_URL: server.url, GANTRY_TOKEN: server.token };
    const out = await command(["contracts", "list", "--json"], { cwd: home, env });
    expect(out.code, out.stderr).toBe(0);
    const alone = await command(["contracts", "list"], { cwd: home, env: { GANTRY_URL: server.url } });
    expect(alone.code).toBe(2);
    expect(alone.stderr).toMatch(/GANTRY_TOKEN is not/);
  });

  it("no server at all is a sentence and what to type", async () => {
    const out = await command(["runs", "list"], { cwd: home });
    expect(out.code).toBe(2);
    expect(out.stderr).toMatch(/No Gantry server runs on the data directory \.gantry\./);
    expect(out.stderr).toContain("npx gantry up");
    const gone = await command(["runs", "list"], {
      cwd: home,
      env: { GANTRY_URL: "http://127.0.0.1:1", GANTRY_TOKEN: server.token },
    });
    expect(gone.code).toBe(6);
    expect(gone.stderr).not.toMatch(/\n\s+at /);
  });
});

describe("gantry up", () => {
  it("on a port that is in use is a sentence, and leaves nothing behind", async () => {
    const { port } = new URL(server.url);
    const data = join(home, "second");
    const out = await command(["up", "--data", data, "--port", port], { cwd: home });
    expect(out.code, out.stderr).toBe(2);
    expect(out.stderr).toContain(`Port ${port} of 127.0.0.1 is in use`);
    expect(out.stderr).not.toMatch(/\n\s+at /);
  });

  it("on a data directory in use is a sentence, and the first server goes on", async () => {
    const out = await command(["up", "--data", server.data, "--port", "0"], { cwd: home });
    expect(out.code).toBe(70);
    expect(out.stderr).toMatch(/STORAGE_LOCKED: Another process uses the data directory/);
    expect(out.stderr).not.toMatch(/\n\s+at /);
    expect((await command(["runs", "list", "--data", server.data], { cwd: home })).code).toBe(0);
  });

  it("serves until SIGTERM, which it hands on, and ends with 0", async () => {
    const data = join(home, "third");
    const up = startCli(["up", "--data", data, "--port", "0"], { cwd: home });
    await eventually(() => up.stdout.includes("Gantry") && up.stdout.includes("Stop"), "the banner", 60_000);
    expect((await command(["runs", "list", "--data", data], { cwd: home })).code).toBe(0);
    up.kill("SIGTERM");
    const out = await up.finished;
    expect(out.code, out.stderr).toBe(0);
    expect((await command(["runs", "list", "--data", data], { cwd: home })).code).toBe(2);
  });
});

describe("a server that goes away", () => {
  it("6: is told as lost, and its runs are found lost at the next start", async () => {
    const own = await startServer();
    try {
      await writeFile(join(home, "ticker.ts"), TICKER);
      const running = startCli(["run", "ticker.ts"], { cwd: home, env: { GANTRY_DATA: own.data } });
      await eventually(() => running.stderr.includes("tick 1"), "the log of the run", 30_000);
      await own.kill();
      const out = await running.finished;
      expect(out.code, out.stderr).toBe(6);
      expect(out.stderr).not.toMatch(/\n\s+at /);
      await own.restart();
      const listed = await command(["runs", "list", "--termination", "node_lost"], {
        cwd: home,
        env: { GANTRY_DATA: own.data },
      });
      expect(listed.stdout).toMatch(/node_lost/);
    } finally {
      await own.dispose();
    }
  });
});
