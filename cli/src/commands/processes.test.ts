import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { type TestTerminal, tempDirectory, testTerminal, until } from "../testing.ts";

// A program in the place of the server: it says with which arguments it was started, and speaks the wire format.
const PROGRAM = `
import { createServer } from "node:http";
import { appendFileSync, mkdirSync, writeFileSync, writeSync } from "node:fs";
const args = process.argv.slice(2);
const mode = process.env.STUB_MODE ?? "";
const say = (line) => appendFileSync(process.env.STUB_NOTES, line + "\\n");
say(args.join(" "));
if (args[0] === "doctor") {
  console.error("looking");
  console.log(mode === "crash" ? "no json" : JSON.stringify({ ok: mode !== "bad", checks: [
    { name: "jail", ok: mode !== "bad", detail: "unshare", fix: "sysctl user.max_user_namespaces=100" },
    { name: "ca bundle", ok: "warn", detail: "none found", fix: "install one" } ] }));
} else if (mode === "exit") {
  console.error("the port is taken");
  process.exit(9);
} else {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => { say(signal); process.exit(mode === "keen" ? 4 : 0); });
  let runs = 0;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => { body += chunk; });
    request.on("end", () => {
      const json = (status, value) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
      if (request.url.startsWith("/v1/evidence/entries/")) {
        return json(200, { id: request.url.split("/").pop(), kind: "run.ended" });
      }
      runs += 1;
      const { code, input, limits } = JSON.parse(body);
      if (request.headers.authorization !== "Bearer gtr_demo") return json(401, {});
      if (mode === "hang") return say("hangs");
      if (mode === "nojail") {
        return json(503, { type: "", status: 503, code: "RUNNER_NO_JAIL", title: "No jail.", detail: "No jail here." });
      }
      const loop = limits?.cpu_ms === 50;
      json(200, {
        id: "run_" + runs, state: "ended", contract: { name: "scratch", version: 1 }, snapshot: "snp_1",
        termination: loop ? "cpu_exceeded" : "completed", result: { input, modules: Object.keys(code.modules).length },
        ...(loop ? { error: { code: "RUN_CPU", detail: "It used 52 of 50 ms." } } : {}),
        usage: { cpu_ms: 52, rss_peak_mb: 10, log_bytes: 0, log_dropped: 0, output_bytes: 1 },
        timing: { queued_ms: 0, startup_ms: 4, completion_ms: 55 }, jail: "unshare",
        blocked: input === "out" ? [{ host: "example.com", method: "GET", count: 3 }] : [],
        evidence: { entries: ["ent_" + runs] },
      });
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const data = args[args.indexOf("--data") + 1];
    mkdirSync(data, { recursive: true });
    writeFileSync(data + "/owner.token", "gtr_demo\\n");
    const url = "http://127.0.0.1:" + server.address().port;
    say("ready");
    if (args.includes("--ready-fd")) writeSync(3, JSON.stringify({ url, token_file: data + "/owner.token", data }) + "\\n");
  });
}
`;

let base = "";
let remove = async (): Promise<void> => undefined;
beforeEach(async () => {
  ({ path: base, remove } = await tempDirectory());
  await writeFile(join(base, "server.mjs"), PROGRAM);
  await mkdir(join(base, "examples/one"), { recursive: true });
  await writeFile(join(base, "examples/one/main.ts"), 'import "./lib.ts"; export default () => 1;');
  await writeFile(join(base, "examples/one/lib.ts"), "export {};");
  await writeFile(join(base, "examples/one/in.csv"), "a,b");
  await plan([
    { name: "one", title: "The first", file: "one/main.ts", input: "@one/in.csv" },
    { name: "out", title: "A way out", file: "one/main.ts", input: "out" },
    {
      name: "loop",
      title: "A loop",
      file: "one/main.ts",
      limits: { cpu_ms: 50 },
      expect: { termination: "cpu_exceeded" },
    },
  ]);
});
afterEach(() => remove());
const plan = (items: unknown[]) => writeFile(join(base, "examples/demo.json"), JSON.stringify(items));
const notes = () => readFile(join(base, "notes"), "utf8").catch(() => "");

function start(mode: string, ...words: string[]): { io: TestTerminal; exit: Promise<number> } {
  const io = testTerminal({ cwd: base, env: { ...process.env, STUB_MODE: mode, STUB_NOTES: join(base, "notes") } });
  const installation = { server: join(base, "server.mjs"), examples: join(base, "examples"), version: "0" };
  return { io, exit: runProgram(words, io, installation) };
}

test("up starts the server with its flags, passes a signal on once and exits with its code", async () => {
  const { io, exit } = start(
    "keen",
    "up",
    "--data",
    "d",
    "--port",
    "0",
    "--store",
    "sqlite",
    "--config",
    "g.yaml",
    "--insecure-no-jail",
  );
  let said = "";
  await until(() => {
    void notes().then((text) => {
      said = text;
    });
    return said.includes("ready");
  });
  io.interrupt();
  expect(await exit).toBe(4);
  expect(await notes()).toBe(
    `up --data ${join(base, "d")} --port 0 --store sqlite --config g.yaml --insecure-no-jail\nready\nSIGINT\n`,
  );
});

test("up exits with the code of a server that does not start", async () => {
  expect(await start("exit", "up", "--data", "d").exit).toBe(9);
});

test("doctor shows an aligned table with the fix under each shortfall", async () => {
  const good = start("", "doctor", "--data", "d");
  expect(await good.exit).toBe(0);
  expect(good.io.out()).toBe(
    [
      "ok    jail       unshare",
      "warn  ca bundle  none found",
      "                 fix: install one",
      "",
      "This machine can run code.",
      "",
    ].join("\n"),
  );
  expect(good.io.err()).toBe("looking\n");
  expect(await notes()).toBe(`doctor --json --data ${join(base, "d")}\n`);
});

test("doctor exits 1 when a required check fails, in JSON too, and 6 without a report", async () => {
  const bad = start("bad", "doctor");
  expect(await bad.exit).toBe(1);
  expect(bad.io.out()).toContain(
    "fail  jail       unshare\n                 fix: sysctl user.max_user_namespaces=100\n",
  );
  const json = start("bad", "doctor", "--json");
  expect(await json.exit).toBe(1);
  expect(JSON.parse(json.io.out()).checks).toHaveLength(2);
  expect(await start("crash", "doctor").exit).toBe(6);
});

test("demo --programs shows each program, its use and its ledger entries, and leaves nothing behind", async () => {
  const { io, exit } = start("", "demo", "--programs");
  expect(await exit).toBe(0);
  const out = io.out();
  expect(out).toContain("1/3  The first\n     examples/one/main.ts\n     input    a,b\n     modules  2\n");
  expect(out).toContain("     completed  cpu 52 ms · wall 59 ms · peak 10 MB · startup 4 ms\n");
  expect(out).toContain("     blocked    GET example.com (3x)\n");
  expect(out).toContain("     cpu_exceeded  cpu 52 ms");
  expect(out).toContain("     stopped    It used 52 of 50 ms.\n     ledger     ent_3  run.ended\n");
  expect(out).toContain("3 programs of 3: 2 completed, 1 cpu_exceeded\n  3 calls blocked, 3 ledger entries");
  expect(out).toContain("Every outcome is as expected.");
  expect(out).toContain("npx gantry run examples/one/main.ts \\\n      --input @examples/one/in.csv");
  expect(Math.max(...out.split("\n").map((line) => [...line].length))).toBeLessThanOrEqual(80);
  const said = await notes();
  expect(said).toContain("SIGTERM");
  const data = /--data (\S+) --port 0 --ready-fd 3/.exec(said)?.[1] ?? "";
  expect(data).not.toBe("");
  expect(existsSync(data)).toBe(false);
});

test("demo --programs exits 1 and says what differs when an outcome is not as promised", async () => {
  await plan([{ name: "one", title: "T", file: "one/main.ts", expect: { termination: "threw" } }]);
  const { io, exit } = start("", "demo", "--programs", "--json");
  expect(await exit).toBe(1);
  expect(JSON.parse(io.out())).toMatchObject([{ name: "one", difference: "one ended completed, expected threw." }]);
});

test("demo --programs on a machine without a jail ends after the first refusal, in sentences", async () => {
  const { io, exit } = start("nojail", "demo", "--programs");
  expect(await exit).toBe(1);
  expect(io.out()).toContain("error No jail here.");
  expect(io.out()).toContain("2 were not run.");
});

test("a server that does not start is quoted, and its directory is removed", async () => {
  for (const words of [["demo"], ["demo", "--programs"]]) {
    const { io, exit } = start("exit", ...words);
    expect(await exit).toBe(6);
    expect(io.err()).toContain("it ended with exit code 9. It said:");
    expect(io.err()).toContain("the port is taken");
    expect(io.err()).toContain("npx gantry doctor");
    const data = [...(await notes()).matchAll(/--data (\S+)/g)].at(-1)?.[1] ?? base;
    expect(existsSync(data)).toBe(false);
  }
});

test("Ctrl-C stops the demo and its server, and --keep keeps the directory", async () => {
  const { io, exit } = start("hang", "demo", "--programs", "--keep");
  let said = "";
  await until(() => {
    void notes().then((text) => {
      said = text;
    });
    return said.includes("hangs");
  });
  io.interrupt();
  expect(await exit).toBe(130);
  expect(await notes()).toContain("SIGTERM");
  const data = /The data stays in (\S+)\./.exec(io.err())?.[1] ?? "";
  expect(existsSync(data)).toBe(true);
  const { rm } = await import("node:fs/promises");
  await rm(data, { recursive: true });
});
