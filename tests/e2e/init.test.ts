import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RunView } from "../../sdk/src/types.ts";
import { readConfig } from "../../server/src/config.ts";
import { eventually } from "../fixtures/eventually.ts";
import { cli, type Started, startCli } from "../fixtures/processes.ts";

/** What `gantry init` writes is what the server takes, as it stands and switched on. */

/** Members whose line shows an example, because their default is none or depends on the machine. */
const EXAMPLES = ["tls", "slots", "slots_memory_mb", "egress", "witnesses"];
/** A line that is switched off; a sentence has a space after its mark. */
const OFF = /^#(?=[a-z]| {2})/gm;

let home: string;
let up: Started | undefined;
let config: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "g-init-"));
  const out = await cli(["init"], { cwd: home });
  expect(out.code, out.stderr).toBe(0);
  config = await readFile(join(home, "gantry.yaml"), "utf8");
  await restart();
});
afterAll(async () => {
  up?.kill("SIGTERM");
  await up?.finished;
  await rm(home, { recursive: true, force: true });
});

async function restart(): Promise<void> {
  up?.kill("SIGTERM");
  await up?.finished;
  up = startCli(["up", "--config", "gantry.yaml", "--port", "0"], { cwd: home, limit_ms: 300_000 });
  await eventually(() => /http:\/\/127/.test(up?.stdout ?? ""), "the server to be up", 60_000);
}

async function read(text: string) {
  const path = join(home, "read.yaml");
  await writeFile(path, text);
  return readConfig(["--config", path]);
}

it("every member that the config file names is one, and every value fits", async () => {
  const members = [...config.matchAll(/^#?([a-z_]+):/gm)].map(([, name]) => name);
  expect(members).toEqual(expect.arrayContaining(["contracts", "data", "store", "host", "port", "tls", ...EXAMPLES]));
  const on = config.replaceAll(OFF, "");
  expect(on).toMatch(/^egress:\n {2}resolvers: \[/m);
  const given = await read(on);
  expect(given.witnesses).toHaveLength(1);
  expect(given.contracts).toEqual([join(home, "contracts/first.yaml")]);
  await expect(read(`${on}\nprot: 1\n`)).rejects.toThrow(/prot/);
});

it("what it says to be a default is one", async () => {
  const defaults = await read("");
  const examples = new RegExp(`^#(${EXAMPLES.join("|")}):.*\n(#  .*\n)*`, "gm");
  const on = config.replaceAll(examples, "").replaceAll(OFF, "");
  expect(on).toMatch(/^port: 4280$/m);
  expect({ ...(await read(on)), contracts: [] }).toEqual(defaults);
});

it("a server starts with it, the contract holds at once, and its table passes", async () => {
  const table = await cli(["policy", "test", "contracts/first.policy.yaml"], { cwd: home });
  expect(table.code, table.stdout + table.stderr).toBe(0);
  expect(table.stdout).toContain("4 cases hold");
  await writeFile(join(home, "hello.ts"), "export default (input: { n: number }) => input.n + 1;\n");
  const words = ["run", "hello.ts", "--contract", "first", "--input", '{"n":41}', "--json"];
  const run = await cli(words, { cwd: home });
  expect(run.code, run.stderr).toBe(0);
  expect(JSON.parse(run.stdout) as RunView).toMatchObject({ result: 42, contract: { name: "first", version: 1 } });
});

it("the rule that the contract shows as an example changes one case, and waits for a person after a start", async () => {
  const path = join(home, "contracts/first.yaml");
  const contract = await readFile(path, "utf8");
  await writeFile(path, contract.replaceAll(OFF, ""));
  try {
    const table = await cli(["policy", "test", "contracts/first.policy.yaml", "--json"], { cwd: home });
    const { cases } = JSON.parse(table.stdout) as { cases: { name: string; ok: boolean }[] };
    expect(cases.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(["no host is listed yet"]);
    await restart();
    const asked = await cli(["approvals", "list", "--json"], { cwd: home });
    const { items } = JSON.parse(asked.stdout) as { items: { status: string; subject: string }[] };
    expect(items).toMatchObject([{ status: "pending", subject: "contract" }]);
  } finally {
    await writeFile(path, contract);
  }
});
