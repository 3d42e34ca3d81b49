import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ContractSummary } from "../../sdk/src/policy_types.ts";
import type { Entry, LogLine, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type Expected, expectPromised } from "../fixtures/expected.ts";
import { ENDLESS, SLEEP, TICKER } from "../fixtures/guest_sources.ts";
import type { ProblemAnswer } from "../fixtures/problem.ts";
import { cli as command, type Finished, type ProcessOptions, startCli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));
const TIGHT = "kind: Contract\nname: tight\nextends: scratch\nlimits:\n  cpu_ms: 100\n";

interface DemoItem {
  name: string;
  file: string;
  input?: string;
  limits?: Record<string, number>;
}

let server: TestServer;
/** Where the programs of these tests lie. */
let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-cli-"));
  server = await startServer({
    config: { contracts: ["tight.yaml"], slots: 16 },
    prepare: (data) => writeFile(join(data, "..", "tight.yaml"), TIGHT),
  });
});
afterAll(async () => {
  await server.dispose();
  await rm(home, { recursive: true, force: true });
});

/** The command against this file's server, found by its data directory. */
const options = (o: ProcessOptions = {}): ProcessOptions => ({
  cwd: home,
  ...o,
  env: { GANTRY_DATA: server.data, ...o.env },
});
const cli = (args: string[], o: ProcessOptions = {}): Promise<Finished> => command(args, options(o));

async function program(name: string, source: string): Promise<string> {
  await writeFile(join(home, name), source);
  return name;
}

function jsonOf<T>({ stdout, stderr }: Finished): T {
  expect(stdout, stderr).toMatch(/^[^\n]+\n$/);
  return JSON.parse(stdout) as T;
}

describe("gantry run", () => {
  it("every example does what its expected.json promises", async () => {
    const items = JSON.parse(await readFile(join(EXAMPLES, "demo.json"), "utf8")) as DemoItem[];
    expect(items.length).toBeGreaterThanOrEqual(8);
    for (const { name, file, input, limits = {} } of items) {
      const args = ["run", file, "--json"];
      if (input !== undefined) args.push("--input", input);
      for (const [limit, value] of Object.entries(limits)) args.push("--limit", `${limit}=${value}`);
      const out = await cli(args, { cwd: EXAMPLES });
      const expected = JSON.parse(await readFile(join(EXAMPLES, name, "expected.json"), "utf8")) as Expected;
      expectPromised(jsonOf<RunView>(out), expected);
      expect(out.code, name).toBe(expected.termination === "completed" ? 0 : 4);
    }
  });

  it("one other byte in the orders is another result", async () => {
    const orders = await readFile(join(EXAMPLES, "csv-report", "orders.csv"), "utf8");
    const changed = orders.replace("A-100000,2026-02-17,south,Eastwick Bakery,Cable set,5,", (row) =>
      row.replace(",5,", ",6,"),
    );
    expect(changed.length).toBe(orders.length);
    await writeFile(join(home, "orders.csv"), changed);
    const out = await cli(["run", join(EXAMPLES, "csv-report/main.ts"), "--json", "--input", "@orders.csv"]);
    const { result } = jsonOf<RunView>(out) as { result: { total_cents: number; orders: number } };
    const promised = JSON.parse(await readFile(join(EXAMPLES, "csv-report", "expected.json"), "utf8")) as {
      result: { total_cents: number; orders: number };
    };
    expect(result.orders).toBe(promised.result.orders);
    // One cable set more, of 12.90, with 10 percent off.
    expect(result.total_cents - promised.result.total_cents).toBe(1_161);
  });

  it("the result is on stdout, the log and the summary on stderr", async () => {
    const file = await program(
      "speak.ts",
      "export default (n: number) => { console.log('to the log'); return { n }; }",
    );
    const out = await cli(["run", file, "--input", "3"]);
    expect(out.code, out.stderr).toBe(0);
    expect(JSON.parse(out.stdout)).toEqual({ n: 3 });
    expect(out.stderr).toContain("to the log");
    expect(out.stderr).toMatch(/completed/);
    expect(out.stderr).toMatch(/run_\w+/);
    expect(out.stderr).toMatch(/ent_\w+/);
  });

  it("input comes from JSON, a file or standard input", async () => {
    const file = await program("echo.ts", "export default (input: unknown) => input;");
    await writeFile(join(home, "in.json"), '{"from":"file"}');
    const results = [];
    for (const [input, stdin] of [
      ['{"a":1}', ""],
      ["@in.json", ""],
      ["-", '{"from":"stdin"}'],
    ] as const) {
      const out = await cli(["run", file, "--input", input], { input: stdin });
      results.push(JSON.parse(out.stdout));
    }
    expect(results).toEqual([{ a: 1 }, { from: "file" }, { from: "stdin" }]);
  });

  it("vars, why and an idempotency key reach the run", async () => {
    const file = await program("vars.ts", "export default (_: unknown, env: object) => ({ ...env });");
    const args = [
      "run",
      file,
      "--json",
      "--var",
      "A=1",
      "--var",
      "B=x=y",
      "--why",
      "a test",
      "--idempotency-key",
      "cli",
    ];
    const first = jsonOf<RunView>(await cli(args));
    expect(first.result).toEqual({ A: "1", B: "x=y" });
    expect(jsonOf<RunView>(await cli(args)).id).toBe(first.id);
  });
});

describe("exit codes", () => {
  it("1: the program threw, and the place in its source is shown", async () => {
    const file = await program(
      "throws.ts",
      "const two: number = 2;\nexport default () => {\n  throw new Error('no ' + two);\n};\n",
    );
    const out = await cli(["run", file]);
    expect(out.code).toBe(1);
    expect(out.stdout).toBe("");
    expect(out.stderr).toMatch(/Error: no 2/);
    expect(out.stderr).toMatch(/throws\.ts:3:9/);
    expect(out.stderr).toContain("throw new Error");
  });

  it("2: wrong usage, a missing file, a syntax error, an input that is no JSON", async () => {
    const broken = await program("broken.ts", "export default () => {\n  const x = ;\n};\n");
    const fine = await program("fine.ts", "export default () => 1;");
    const none = await program("none.ts", "export const a = 1;");
    const cases: [args: string[], says: RegExp][] = [
      [["run"], /FILE/i],
      [["rnu", "x"], /run/],
      [["run", fine, "--limits", "cpu_ms=1"], /--limit\b/],
      [["run", "absent.ts"], /absent\.ts/],
      [["run", broken], /broken\.ts:2:13/],
      [["run", none], /default export/],
      [["run", fine, "--input", "{"], /JSON/],
      [["run", fine, "--limit", "cpu_ms=NaN"], /cpu_ms/],
      [["run", fine, "--limit", "cpu_ms=60001"], /60000/],
      [["run", fine, "--contract", "absent"], /absent/],
      [["run", fine, "--isolation", "shared"], /pooled, session, process/],
      [["run", fine, "--isolation", "process", "--session", "s"], /--session/],
    ];
    const check = async ([args, says]: (typeof cases)[number]): Promise<void> => {
      const out = await cli(args);
      expect(out.code, `${args.join(" ")}\n${out.stderr}`).toBe(2);
      expect(out.stderr).toMatch(says);
      expect(out.stdout).toBe("");
    };
    for (let i = 0; i < cases.length; i += 4) await Promise.all(cases.slice(i, i + 4).map(check));
  });

  it("3: denied by the contract, with the reason and the run that records it", async () => {
    const file = await program("fine.ts", "export default () => 1;");
    const out = await cli(["run", file, "--json", "--contract", "tight", "--limit", "cpu_ms=101"]);
    expect(out.code, out.stderr).toBe(3);
    const problem = jsonOf<ProblemAnswer>(out);
    expect(problem).toMatchObject({ code: "CONTRACT_LIMIT", status: 403 });
    expect(out.stderr).toMatch(/cpu_ms/);
    const shown = await cli(["runs", "show", problem.run ?? "", "--json"]);
    expect(jsonOf<RunView>(shown)).toMatchObject({ termination: "denied", contract: { name: "tight" } });
    expect((await cli(["run", file, "--contract", "tight"])).code).toBe(0);
  });

  it("3: a token that nobody knows", async () => {
    const out = await cli(["runs", "list"], { env: { GANTRY_TOKEN: "gtr_hum_nope" } });
    expect(out.code).toBe(3);
  });

  it("4: past a limit, also one of --timeout", async () => {
    const loop = await program("loop.ts", "export default () => { for (;;); };");
    const out = await cli(["run", loop, "--limit", "cpu_ms=50"]);
    expect(out.code, out.stderr).toBe(4);
    expect(out.stderr).toContain("cpu_exceeded");
    const endless = await program("endless.ts", ENDLESS);
    const late = await cli(["run", endless, "--timeout", "300"]);
    expect(late.code, late.stderr).toBe(4);
    expect(late.stderr).toMatch(/300 ms.*cancelled/);
  });

  it("5: no room, and when to come back", async () => {
    const file = await program("fine.ts", "export default () => 1;");
    const body = { code: { source: ENDLESS }, wait_ms: 0 };
    const held = await Promise.all(
      Array.from({ length: 8 }, () => server.json<RunView>("/v1/runs", { json: body }, 202)),
    );
    try {
      const out = await cli(["run", file]);
      expect(out.code, out.stderr).toBe(5);
      expect(out.stderr).toMatch(/RUN_CONCURRENCY/);
      expect(out.stderr).toMatch(/again in/i);
    } finally {
      await Promise.all(held.map(({ id }) => server.json(`/v1/runs/${id}/cancel`, { method: "POST" })));
    }
  });

  it("130: Ctrl-C cancels the run", async () => {
    const file = await program("ticker.ts", TICKER);
    const running = startCli(["run", file, "--json"], options());
    await eventually(() => running.stderr.includes("tick 2"), "the log of the run", 30_000);
    running.kill("SIGINT");
    const out = await running.finished;
    expect(out.code, out.stderr).toBe(130);
    const view = jsonOf<RunView>(out);
    expect(view.termination).toBe("cancelled");
    expect((await server.json<RunView>(`/v1/runs/${view.id}`)).termination).toBe("cancelled");
  });
});

describe("gantry runs", () => {
  it("--async prints the id at once; show, logs --follow and cancel take it from there", async () => {
    const file = await program("ticker.ts", TICKER);
    const out = await cli(["run", file, "--async"]);
    expect(out.code, out.stderr).toBe(0);
    const id = out.stdout.trim();
    expect(id).toMatch(/^run_/);
    const following = startCli(["runs", "logs", id, "--follow", "--json"], options());
    await eventually(() => following.stdout.split("\n").length > 3, "three lines", 30_000);
    const shown = await cli(["runs", "show", id]);
    expect(shown.stdout).toContain("running");
    const listed = await cli(["runs", "list", "--state", "running"]);
    expect(listed.stdout).toContain(id);
    const cancelled = await cli(["runs", "cancel", id]);
    expect(cancelled).toMatchObject({ code: 0, stdout: `${id} cancelled\n` });
    const followed = await following.finished;
    expect(followed.code, followed.stderr).toBe(0);
    const lines = followed.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as LogLine);
    expect(lines.map(({ seq, text }) => [seq, text])).toEqual(lines.map((_, i) => [i + 1, `tick ${i + 1}`]));
    expect((await cli(["runs", "show", id])).stdout).toContain("cancelled");
  });

  it("show has the result of an async run later on", async () => {
    const file = await program("sleep.ts", SLEEP);
    const { stdout } = await cli(["run", file, "--async", "--json", "--input", "100"]);
    const { id } = JSON.parse(stdout) as RunView;
    await server.json(`/v1/runs/${id}?wait_ms=20000`);
    expect(jsonOf<RunView>(await cli(["runs", "show", id, "--json"]))).toMatchObject({ result: "slept" });
  });

  it("list counts and says that there are more", async () => {
    const out = await cli(["runs", "list", "--limit", "2", "--json"]);
    const page = jsonOf<{ items: RunView[]; more: boolean }>(out);
    expect(page.items).toHaveLength(2);
    expect(page.more).toBe(true);
  });

  it("a run that is not there is a sentence", async () => {
    const out = await cli(["runs", "show", "run_absent"]);
    expect(out.code).toBe(2);
    expect(out.stderr).toMatch(/There is no run "run_absent"/);
  });
});

describe("gantry evidence, contracts and doctor", () => {
  it("evidence list --ref tells a run's story, evidence show one entry", async () => {
    const file = await program("fine.ts", "export default () => 1;");
    const run = jsonOf<RunView>(await cli(["run", file, "--json"]));
    const listed = jsonOf<{ items: Entry[] }>(await cli(["evidence", "list", "--ref", run.id, "--json"]));
    expect(listed.items.map(({ kind }) => kind)).toEqual(["run.admitted", "run.ended"]);
    expect(listed.items.map(({ id }) => id)).toEqual(run.evidence.entries);
    const [entry] = run.evidence.entries;
    const shown = jsonOf<Entry>(await cli(["evidence", "show", entry ?? "", "--json"]));
    expect(shown).toMatchObject({ id: entry, kind: "run.admitted", data: { run: run.id, code_hash: run.code_hash } });
    const text = await cli(["evidence", "show", entry ?? ""]);
    expect(text.stdout).toContain("run.admitted");
    expect(text.stdout).toContain("code_facts");
    expect((await cli(["evidence", "list", "--ref", run.id])).stdout).toMatch(/run\.admitted[\s\S]*run\.ended/);
  });

  it("contracts list and show", async () => {
    const listed = jsonOf<{ items: ContractSummary[] }>(await cli(["contracts", "list", "--json"]));
    expect(listed.items.map(({ name, built_in }) => [name, built_in])).toEqual([
      ...["scratch", "read-only", "staging-mutation", "production", "temporary"].map((name) => [name, true]),
      ["tight", false],
    ]);
    const shown = jsonOf<ContractSummary>(await cli(["contracts", "show", "tight", "--json"]));
    expect(shown.contract["limits"]).toMatchObject({ cpu_ms: 100 });
    expect((await cli(["contracts", "show", "tight"])).stdout).toMatch(/tight@1.*yours/);
    const absent = await cli(["contracts", "show", "tihgt"]);
    expect(absent.code).toBe(2);
    expect(absent.stderr).toContain("tihgt");
  });

  it("doctor --json names every check and starts a jail", async () => {
    const out = await cli(["doctor", "--json", "--data", join(home, "elsewhere")]);
    const report = jsonOf<{ ok: boolean; checks: { name: string; ok: boolean | "warn"; fix?: string }[] }>(out);
    expect(out.code).toBe(report.ok ? 0 : 1);
    expect(report.checks.map(({ name }) => name)).toContain("node");
    for (const check of report.checks) if (check.ok !== true) expect(check.fix, check.name).toBeTruthy();
    const text = await cli(["doctor", "--data", join(home, "elsewhere")]);
    expect(text.stdout).toMatch(report.ok ? /This machine can run code\./ : /cannot run code yet/);
  });

  it("help and version need no server", async () => {
    const help = await command(["help", "run"], { cwd: home });
    expect(help).toMatchObject({ code: 0 });
    expect(help.stdout).toMatch(/0 completed, 1 threw/);
    expect((await command(["--version"], { cwd: home })).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
