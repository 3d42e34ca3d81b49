import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { cli, type Finished, run, startCli } from "../fixtures/processes.ts";
import { CLI_FILE } from "../fixtures/server.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** A whole story on a machine that is busy with others. */
const STORY_MS = 240_000;
const WIDTH = 80;

interface Scene {
  name: string;
  facts: Record<string, unknown>;
  claims: { says: string; held: boolean; found?: string }[];
}

interface Story {
  ok: boolean;
  took_ms: number;
  scenes: Scene[];
  counts: { entries: number; runs: number; endings: Record<string, number>; votes: number; effects: number };
  trouble?: { scene: string; says: string; look: string };
}

const made: string[] = [];
afterEach(async () => {
  for (const directory of made.splice(0)) await rm(directory, { recursive: true, force: true });
});

/** A second installation, whose examples a test may change. @returns its command. */
async function installation(): Promise<{ program: string; examples: string }> {
  const base = await mkdtemp(join(tmpdir(), "g-demo-"));
  made.push(base);
  await mkdir(join(base, "dist"));
  for (const part of ["bin", "package.json", "examples", "dist"]) {
    const filter = (source: string) => !source.endsWith(".map");
    await cp(join(ROOT, part), join(base, part), { recursive: true, filter });
  }
  await symlink(join(ROOT, "node_modules"), join(base, "node_modules"));
  return { program: join(base, "bin/gantry.mjs"), examples: join(base, "examples") };
}

const storyOf = ({ stdout, stderr }: Finished): Story => {
  expect(stdout, stderr).toMatch(/^[^\n]+\n$/);
  return JSON.parse(stdout) as Story;
};
const told = (args: string[]) => cli(["demo", ...args], { limit_ms: STORY_MS });
const toldBy = (program: string, args: string[]) =>
  run(process.execPath, [program, "demo", ...args], { env: { NO_COLOR: "1" }, limit_ms: STORY_MS });
const factsOf = ({ scenes }: Story, name: string) => scenes.find((scene) => scene.name === name)?.facts ?? {};
const dataOf = (out: string) => /data in (\S+)/.exec(out)?.[1] ?? "";

describe("gantry demo", { timeout: STORY_MS }, () => {
  it("tells its story against a real server, and every statement of it is true", async () => {
    const out = await told(["--yes", "--json"]);
    const story = storyOf(out);
    expect(story.trouble).toBeUndefined();
    expect([out.code, story.ok]).toEqual([0, true]);
    expect(story.scenes.map(({ name }) => name)).toEqual([
      "task",
      "refusal",
      "proposal",
      "decision",
      "credential",
      "runaway",
      "proof",
    ]);
    const claims = story.scenes.flatMap((scene) => scene.claims);
    expect(claims.filter(({ held }) => !held)).toEqual([]);
    expect(claims.length).toBeGreaterThanOrEqual(30);

    const expected = JSON.parse(await readFile(join(ROOT, "examples/csv-report/expected.json"), "utf8"));
    const { rows, orders, total_cents } = expected.result;
    expect(factsOf(story, "task")).toMatchObject({ rows, orders, total_cents, contract: "first-hour@1" });
    expect(factsOf(story, "refusal")).toMatchObject({
      termination: "threw",
      rule: { hosts: ["127.0.0.1"], methods: ["GET", "POST"], private: true },
    });
    const { approval } = factsOf(story, "proposal");
    expect(factsOf(story, "proposal")).toMatchObject({ active_version: 1, version: 2, own_vote: "APPROVAL_NOT_HUMAN" });
    const decision = factsOf(story, "decision");
    expect(decision).toMatchObject({ approval, status: "executed", unattended: true });
    expect(decision["voter"]).toBe(decision["ada"]);
    expect(decision["voter"]).not.toBe(decision["requester"]);
    expect(factsOf(story, "credential")).toMatchObject({
      contract: "first-hour@2",
      result: {
        issues_read: 5,
        known: ["A-100311", "A-101444", "A-102600", "A-103000"],
        opened: { number: 48, rows: 5 },
      },
      tracker_calls: ["GET 200", "POST 201"],
      lease: expect.stringMatching(/^gl_.{4}… \(\d+ characters\)$/),
    });
    const { runaway, innocents } = factsOf(story, "runaway") as Record<string, { termination: string }[]>;
    expect(runaway).toMatchObject({ termination: "cpu_exceeded" });
    expect(innocents?.map(({ termination }) => termination)).toEqual(Array.from({ length: 8 }, () => "completed"));
    const proof = factsOf(story, "proof");
    expect(proof).toMatchObject({
      bundle: { entries: story.counts.entries },
      verified: { verdict: "verified", saved: { relation: "extends" } },
      tampered: { verdict: "bad" },
    });
    expect(story.counts).toMatchObject({
      runs: 14,
      endings: { completed: 11, threw: 2, cpu_exceeded: 1 },
      votes: 1,
      effects: 1,
    });
    // What opens something is in no answer.
    expect(out.stdout).not.toMatch(/gtr_[a-z]{3}_|gl_[0-9a-z]{5}|trk_/);
  });

  it("works on its input: with one other byte in the orders, the report is another, and all else holds", async () => {
    const { program, examples } = await installation();
    const file = join(examples, "csv-report/orders.csv");
    const orders = await readFile(file, "utf8");
    const changed = orders.replace("A-100000,2026-02-17,south,Eastwick Bakery,Cable set,5,", (row) =>
      row.replace(",5,", ",6,"),
    );
    expect(changed.length).toBe(orders.length);
    await writeFile(file, changed);
    const out = await toldBy(program, ["--yes", "--json"]);
    const story = storyOf(out);
    expect([out.code, story.trouble]).toEqual([0, undefined]);
    const { result } = JSON.parse(await readFile(join(ROOT, "examples/csv-report/expected.json"), "utf8"));
    // One cable set more, of 12.90, with 10 percent off.
    expect(Number(factsOf(story, "task")["total_cents"]) - result.total_cents).toBe(1_161);
  });

  it("says where there is no terminal that it asks nobody, fits 80 columns, and leaves nothing behind", async () => {
    const out = await told([]);
    expect(out.code, out.stdout + out.stderr).toBe(0);
    expect(out.stdout).toContain("There is no terminal to ask at: it goes on as with --yes.");
    const headings = [...out.stdout.matchAll(/^ (\d)\/7 {2}\S/gm)].map((match) => match[1]);
    expect(headings).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
    expect(out.stdout).toContain("Everything happened as the story says.");
    expect(out.stdout).toMatch(/total_cents +\d+/);
    // What is to be copied is whole, however wide.
    const wide = out.stdout.split("\n").filter((line) => [...line].length > WIDTH);
    expect(wide.every((line) => /^ {2}(http|npx gantry )/.test(line))).toBe(true);
    expect(out.stdout).not.toContain("\u001b");
    expect(dataOf(out.stdout)).not.toBe("");
    expect(existsSync(join(dataOf(out.stdout), ".."))).toBe(false);
  });

  it("says which statement is not true, what there is instead, and where to look", async () => {
    const { program, examples } = await installation();
    const idle = "export default { run: () => ({ issues_read: 5, known: [], opened: { number: 48, rows: 9 } }) };\n";
    const real = await readFile(join(examples, "first-hour/main.ts"), "utf8");
    // It tells the truth as long as it may call nobody, and makes its result up once it may.
    await writeFile(join(examples, "first-hour/real.ts"), real);
    await writeFile(
      join(examples, "first-hour/main.ts"),
      `import real from "./real.ts";\nconst idle = ${idle.replace("export default ", "")}` +
        "export default { run: (input, env) => (env.TRACKER_TOKEN ? idle.run() : real.run(input, env)) };\n",
    );
    const out = await toldBy(program, ["--yes"]);
    expect(out.code, out.stdout + out.stderr).toBe(1);
    const said = out.stdout.replaceAll(/\s+/g, " ");
    expect(said).toContain("In scene 5 (credential): It is not so that the tracker has a new issue");
    expect(said).toMatch(/Where to look: gantry demo --keep .* run_\w{26}/);
    expect(out.stdout).not.toContain("Everything happened");
    expect(existsSync(dataOf(out.stdout))).toBe(false);
  });

  it("ends in the middle when it is told to, with its server and its directory", async () => {
    const demo = startCli(["demo", "--yes"], { limit_ms: STORY_MS });
    await eventually(() => demo.stdout.includes(" 2/7"), "the second scene", STORY_MS);
    const url = /^(http:\/\/127\.0\.0\.1:\d+), data/m.exec(demo.stdout)?.[1] ?? "";
    demo.kill("SIGINT");
    const out = await demo.finished;
    expect(out.code, out.stderr).toBe(130);
    expect(out.stderr).toContain("The demo was stopped.");
    expect(existsSync(join(dataOf(out.stdout), ".."))).toBe(false);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  it("says what a machine lacks on which no jail can be made", async (context) => {
    const prefix = ["--user", "--map-root-user"];
    const probe = spawnSync("unshare", [...prefix, "true"], { encoding: "utf8" });
    need(context, "userns", probe.status === 0 ? undefined : `unshare --user: ${probe.stderr}`);
    const args = [...prefix, process.execPath, CLI_FILE, "demo", "--yes"];
    const out = await run("unshare", args, { env: { NO_COLOR: "1" }, limit_ms: STORY_MS });
    expect(out.code, out.stdout + out.stderr).toBe(1);
    expect(out.stdout).toContain("RUNNER_NO_JAIL");
    expect(out.stdout).toMatch(/In scene 1 \(task\):/);
    expect(existsSync(join(dataOf(out.stdout), ".."))).toBe(false);
  });

  it("with --programs, runs every program of demo.json, and each does what is promised of it", async () => {
    const out = await told(["--programs", "--json"]);
    expect(out.code, out.stderr).toBe(0);
    const outcomes = JSON.parse(out.stdout) as { name: string; difference?: string }[];
    expect(outcomes.length).toBeGreaterThanOrEqual(8);
    expect(outcomes.filter(({ difference }) => difference !== undefined)).toEqual([]);
  });
});
