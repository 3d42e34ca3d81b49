import { execFile } from "node:child_process";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunView } from "../../sdk/src/types.ts";
import { cli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** What an auditor does: files and a key from a real server, judged when the server and its data are away. */

const DOCUMENT = new URL("../../docs/evidence.md", import.meta.url);
let server: TestServer;
/** The auditor's directory: neither data nor server. */
let home: string;

/** Asks the server, from the auditor's directory. */
async function ask(...words: string[]): Promise<string> {
  const env = { GANTRY_URL: server.url, GANTRY_TOKEN: server.token };
  const { code, stdout, stderr } = await cli(["evidence", ...words], { cwd: home, env });
  expect(code, stderr).toBe(0);
  return stdout;
}
const verify = (...words: string[]) => cli(["evidence", "verify", ...words], { cwd: home, env: {} });

async function run(why: string): Promise<RunView> {
  const view = await server.json<RunView>("/v1/runs", { json: { code: { source: "export default () => 1" }, why } });
  expect(view.termination).toBe("completed");
  return view;
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-auditor-"));
  server = await startServer();
  await run("before");
  await writeFile(join(home, "log.pub"), await ask("key"));
  await writeFile(join(home, "log.pem"), await ask("key", "--pem"));
  await writeFile(join(home, "statement.pem"), await ask("key", "--statement"));
  await ask("checkpoint", "-o", "saved");
  const { id, evidence } = await run("because of the canary");
  await ask("export", "--run", id, "--open", "why", "--checkpoint", "saved", "-o", "run.bundle");
  await ask("export", "--from", "0", "--to", "5", "-o", "range.bundle");
  await ask("proof", evidence.entries[0]!, "-o", "entry.proof");
  await ask("statement", id, "-o", "run.dsse");
  await ask("checkpoint", "-o", "checkpoint");
  await server.stop();
  await rename(server.data, `${server.data}-away`);
});
afterAll(async () => {
  await rename(`${server.data}-away`, server.data);
  await server.dispose();
  await rm(home, { recursive: true, force: true });
});

describe("with the server stopped and its data moved away, an auditor verifies", () => {
  it("the bundle of a run, its opened value, and that the log only grew since the saved checkpoint", async () => {
    const { code, stdout, stderr } = await verify("run.bundle", "--key", "log.pub", "--checkpoint", "saved", "--json");
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: "verified",
      saved: { relation: "extends" },
      bundle: { count: 2, opened: 1, fields: ["why"] },
      warnings: [],
    });
    const [, admitted = ""] = (await readFile(join(home, "run.bundle"), "utf8")).split("\n");
    const { v } = JSON.parse(admitted).open.why;
    expect(Buffer.from(v, "base64").toString()).toBe("because of the canary");
  });

  it("a part of the log without a gap, with the PEM as well as with the line", async () => {
    for (const key of ["log.pub", "log.pem"]) {
      const { code, stdout } = await verify("range.bundle", "--key", key);
      expect(code).toBe(0);
      expect(stdout).toMatch(/5 entries, index 0 to 4, without a gap/);
      expect(stdout).toMatch(/warning No saved checkpoint/);
    }
  });

  it("a proof, a checkpoint, and a statement with its own key", async () => {
    expect((await verify("entry.proof", "--key", "log.pub")).code).toBe(0);
    expect((await verify("checkpoint", "--key", "log.pub", "--checkpoint", "checkpoint")).code).toBe(0);
    expect((await verify("run.dsse", "--key", "statement.pem")).code).toBe(0);
    expect((await verify("run.dsse", "--key", "log.pem")).code).toBe(1);
  });

  it("and finds a byte that was changed, an entry that was left out, and a file that was cut off", async () => {
    const bundle = await readFile(join(home, "run.bundle"), "utf8");
    const [head = "", first = "", second = "", last = ""] = bundle.split("\n");
    const judge = async (text: string) => {
      await writeFile(join(home, "changed"), text);
      const { code, stdout } = await verify("changed", "--key", "log.pub", "--json");
      return { code, ...JSON.parse(stdout).problem };
    };
    const { leaf, i } = JSON.parse(first);
    const body = Buffer.from(leaf, "base64").toString().replace('"attempt":1', '"attempt":2');
    const edited = first.replace(leaf, Buffer.from(body).toString("base64"));
    expect(await judge([head, edited, second, last, ""].join("\n"))).toMatchObject({
      code: 1,
      check: "inclusion",
      index: i,
    });
    expect(await judge([head, first, last, ""].join("\n"))).toMatchObject({ code: 1, check: "count" });
    expect(await judge([head, first].join("\n"))).toMatchObject({ code: 2, check: "truncated" });
  });
});

describe("the openssl commands of docs/evidence.md, as they stand there,", () => {
  /** The fenced blocks of the section that is about openssl. */
  async function documented(): Promise<string[]> {
    const section = (await readFile(DOCUMENT, "utf8")).split(/^## /m).find((part) => part.startsWith("With openssl"));
    return [...(section ?? "").matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);
  }
  const shell = (script: string) => promisify(execFile)("bash", ["-euo", "pipefail", "-c", script], { cwd: home });

  it("verify the checkpoint of a real server, and no changed one", async () => {
    const [block = ""] = await documented();
    expect(block).toContain("openssl pkeyutl -verify");
    expect((await shell(block)).stdout).toMatch(/Signature Verified Successfully/);
    const note = await readFile(join(home, "checkpoint"), "utf8");
    expect(await readFile(join(home, "body"), "utf8")).toBe(note.slice(0, note.indexOf("\n\n") + 1));
    const [origin, size] = note.split("\n");
    await writeFile(join(home, "checkpoint"), note.replace(`\n${size}\n`, `\n${Number(size) + 1}\n`));
    await expect(shell(block)).rejects.toMatchObject({
      stdout: expect.stringMatching(/Signature Verification Failure/),
    });
    await writeFile(join(home, "checkpoint"), note);
    expect(origin).not.toBe("");
  });

  it("give the leaf hash of the entry in a proof", async () => {
    const [, block = ""] = await documented();
    const { stdout } = await shell(block);
    const entries = JSON.parse(
      Buffer.from(JSON.parse(await readFile(join(home, "run.dsse"), "utf8")).payload, "base64").toString(),
    );
    expect(entries.predicate.entries.map(({ leaf }: { leaf: string }) => leaf)).toContain(
      stdout.trim().split(" ").at(-1),
    );
  });
});
