import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunView } from "../../sdk/src/types.ts";
import { cli as command } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** What leaves the server as a file, made and judged by the command line that people use. */

let server: TestServer;
let home: string;
let run: RunView;
let env: { GANTRY_URL: string; GANTRY_TOKEN: string };

const gantry = async (...words: string[]) => {
  const out = await command(words, { cwd: home, env });
  return { ...out, json: () => JSON.parse(out.stdout) };
};
const done = async (...words: string[]) => {
  const out = await gantry(...words);
  expect(out.code, `gantry ${words.join(" ")}\n${out.stderr}`).toBe(0);
  return out;
};
const file = (name: string) => join(home, name);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-export-"));
  server = await startServer();
  env = { GANTRY_URL: server.url, GANTRY_TOKEN: server.token };
  const source = "export default async () => { await fetch('http://blocked.example/`x`').catch(() => {}); return 7 }";
  run = await server.json<RunView>("/v1/runs", { json: { code: { source }, why: "because" } });
  expect(run.termination).toBe("completed");
});
afterAll(async () => {
  await server.dispose();
  await rm(home, { recursive: true, force: true });
});

describe("while the server runs", () => {
  it("the ledger is exported, and what is said of it fits what was written", async () => {
    await writeFile(file("gantry.pub"), (await done("evidence", "key")).stdout);
    await writeFile(file("gantry.pem"), (await done("evidence", "key", "--pem")).stdout);
    await writeFile(file("statement.pem"), (await done("evidence", "key", "--statement")).stdout);
    await done("evidence", "checkpoint", "-o", "saved");
    const told = (await done("evidence", "export", "--run", run.id, "-o", "b.json", "--json")).json();
    expect(told).toMatchObject({ file: "b.json", entries: run.evidence.entries.length });
    expect((await stat(file("b.json"))).size).toBe(told.bytes);
    await done("evidence", "export", "--since", "1h", "--checkpoint", "saved", "-o", "since.json");
    await done("evidence", "export", "--from", "0", "--to", String(told.size), "-o", "range.json");
    await done("evidence", "statement", run.id, "-o", "run.dsse");
    await done("evidence", "proof", run.evidence.entries[0] ?? "", "-o", "entry.proof");
  });

  it("a private field is opened for who asks, and the opening is in the ledger", async () => {
    const { json } = await done("evidence", "list", "--ref", run.id, "--json");
    const holder = json().items.find((entry: { commitments?: object }) => entry.commitments !== undefined);
    const [field = ""] = Object.keys(holder?.commitments ?? {});
    expect(field).not.toBe("");
    await done("evidence", "export", "--run", run.id, "--open", field, "-o", "open.json");
    expect((await stat(file("open.json"))).mode & 0o777).toBe(0o600);
    const opened = (await done("evidence", "list", "--kind", "evidence.opened", "--json")).json();
    expect(opened.items).toMatchObject([{ data: { fields: [field] }, refs: [run.id] }]);
    expect(await readFile(file("b.json"), "utf8")).not.toContain('"open"');
  });

  it("a timeline tells the run's story, and is the same each time", async () => {
    const first = await done("timeline", run.id);
    expect(first.stdout).toContain(`# Timeline of \`${run.id}\``);
    expect(first.stdout).toMatch(/Run `run_\w+` ended: `completed`/);
    expect(first.stdout).toMatch(/Blocked: `GET` `blocked\.example/);
    for (const id of run.evidence.entries) expect(first.stdout).toContain(`\`${id}\``);
    expect((await done("timeline", run.id)).stdout).toBe(first.stdout);
    await done("timeline", run.id, "-o", "t.md");
    expect(await readFile(file("t.md"), "utf8")).toBe(first.stdout);
    expect((await done("timeline", "--since", "1h", "--json")).json()).toMatchObject({ v: 1 });
    expect((await gantry("timeline", "run_none")).code).toBe(2);
  });

  it("after a rotation both keys are printed, and old bundles verify with the old one", async () => {
    const { old, new: next } = (await done("evidence", "key", "rotate", "--yes", "--json")).json();
    expect((await done("evidence", "key")).stdout.trim().split("\n")).toEqual([old, next]);
    await writeFile(file("both.pub"), `${old}\n${next}\n`);
    await done("evidence", "export", "--run", run.id, "-o", "rotated.json");
  });
});

describe("with the server stopped and its data directory moved away", () => {
  beforeAll(async () => {
    await server.stop();
    await rename(server.data, `${server.data}-away`);
    env = { GANTRY_URL: "http://127.0.0.1:1", GANTRY_TOKEN: "none" };
  });
  afterAll(() => rename(`${server.data}-away`, server.data));

  const judge = (name: string, ...more: string[]) => gantry("evidence", "verify", name, ...more, "--json");

  it.each([
    ["b.json", ["--key", "gantry.pub"]],
    ["b.json", ["--key", "gantry.pem"]],
    ["since.json", ["--key", "gantry.pub", "--checkpoint", "saved"]],
    ["range.json", ["--key", "gantry.pub"]],
    ["open.json", ["--key", "gantry.pub"]],
    ["entry.proof", ["--key", "gantry.pub"]],
    ["saved", ["--key", "gantry.pub"]],
    ["run.dsse", ["--key", "statement.pem"]],
    ["rotated.json", ["--key", "both.pub"]],
  ])("%s verifies with %j", async (name, keys) => {
    const { code, stdout, stderr } = await judge(name, ...keys);
    expect(code, stdout + stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ verdict: "verified" });
  });

  it("a bundle with one byte changed does not, wherever it is", async () => {
    const bytes = await readFile(file("b.json"));
    for (let n = 1; n <= 4; n++) {
      const changed = Buffer.from(bytes);
      const at = Math.floor((bytes.length * n) / 5);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await writeFile(file("changed.json"), changed);
      const { code, stdout } = await judge("changed.json", "--key", "gantry.pub");
      expect([1, 2], `byte ${at}: ${stdout}`).toContain(code);
      expect(JSON.parse(stdout).verdict).not.toBe("verified");
    }
  });

  it("nor does a cut one, one under another key, or a statement under the log's key", async () => {
    await writeFile(file("cut.json"), (await readFile(file("b.json"))).subarray(0, -30));
    expect([1, 2]).toContain((await judge("cut.json", "--key", "gantry.pub")).code);
    expect((await judge("b.json", "--key", "statement.pem")).code).toBe(1);
    expect((await judge("run.dsse", "--key", "gantry.pem")).code).toBe(1);
  });

  it("openssl verifies the statement's signature, by the words of the DSSE protocol", async () => {
    const { payloadType, payload, signatures } = JSON.parse(await readFile(file("run.dsse"), "utf8"));
    const body = Buffer.from(payload, "base64");
    const head = Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `);
    await writeFile(file("body"), Buffer.concat([head, body]));
    await writeFile(file("sig"), Buffer.from(signatures[0].sig, "base64"));
    const args = [
      "pkeyutl",
      "-verify",
      "-pubin",
      "-inkey",
      "statement.pem",
      "-rawin",
      "-in",
      "body",
      "-sigfile",
      "sig",
    ];
    expect(execFileSync("openssl", args, { cwd: home, encoding: "utf8" })).toContain("Signature Verified Successfully");
    expect(JSON.parse(body.toString())).toMatchObject({
      predicateType: "urn:gantry:run:v1",
      predicate: { run: run.id, termination: "completed" },
    });
  });
});
