import { mkdir, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import type { LogLine, RunView } from "@gantry/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import {
  runView,
  type StubRequest,
  stubServer,
  type TestTerminal,
  tempDirectory,
  testTerminal,
  until,
} from "../testing.ts";

const installation = { server: "", examples: "", version: "0" };
const closers: (() => Promise<void>)[] = [];
let cwd = "";
beforeEach(async () => {
  const { path, remove } = await tempDirectory();
  cwd = path;
  closers.push(remove);
  await mkdir(join(cwd, "src"));
  await writeFile(join(cwd, "package.json"), "{}");
  await writeFile(join(cwd, "src/main.ts"), 'import { x } from "./lib.ts";\nexport default () => x;\n');
  await writeFile(join(cwd, "src/lib.ts"), "export const x: number = 1;\n");
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Answer = Parameters<typeof stubServer>[0];
async function start(answer: Answer, words: string[], parts: { tty?: boolean; stdin?: string } = {}) {
  const server = await stubServer(answer);
  closers.push(server.close);
  const io = testTerminal({ cwd, env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" }, ...parts });
  return { io, seen: server.seen, exit: runProgram(["run", ...words], io, installation) };
}

const line = (seq: number, text: string, level: LogLine["level"] = "log"): string =>
  `${JSON.stringify({ seq, at: 0, level, text } satisfies LogLine)}\n`;
const isLogs = ({ url }: StubRequest): boolean => url.includes("/logs");

/** Goes on until `end` is called, as seen by a client: 202, a followed log, a wait that answers at the end. */
function goingRun(): {
  answer: Answer;
  end(view: RunView): void;
  waiting(): boolean;
  logs: () => ServerResponse | undefined;
} {
  let logs: ServerResponse | undefined;
  let wait: ServerResponse | undefined;
  let final: RunView | undefined;
  const running = runView({ state: "running", termination: undefined } as unknown as Partial<RunView>);
  const end = (view: RunView): void => {
    final = view;
    logs?.end();
    wait?.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(view));
  };
  return {
    end,
    waiting: () => wait !== undefined,
    logs: () => logs,
    answer(request, response) {
      if (request.method === "POST" && request.url === "/v1/runs") return [202, running];
      if (request.url.endsWith("/cancel")) {
        end(runView({ termination: "cancelled", error: { code: "RUN_CANCELLED", detail: "The run was cancelled." } }));
        return [200, runView({ termination: "cancelled" })];
      }
      if (isLogs(request)) {
        response.writeHead(200, { "content-type": "application/x-ndjson" }).flushHeaders();
        logs = response;
        return undefined;
      }
      if (final !== undefined) return [200, final];
      if (request.url.endsWith("wait_ms=0")) return [200, running];
      wait = response;
      return undefined;
    },
  };
}

async function finished(started: { io: TestTerminal; exit: Promise<number> }) {
  const exit = await started.exit;
  return { exit, out: started.io.out(), err: started.io.err() };
}

test("a run that has ended at once prints its result on stdout and the summary on stderr", async () => {
  const started = await start(() => [200, runView({ result: { sum: 3 } })], ["src/main.ts", "--input", "[1,2]"]);
  const { exit, out, err } = await finished(started);
  expect(exit).toBe(0);
  expect(out).toBe('{\n  "sum": 3\n}\n');
  expect(err).toContain("completed  cpu 3.1 ms");
  expect(err).toContain("evidence  ent_1 ent_2");
  expect(JSON.parse(started.seen[0]!.body)).toEqual({
    on_busy: "reject",
    code: {
      entry: "main.ts",
      modules: {
        "main.ts": 'import { x } from "./lib.ts";\nexport default () => x;\n',
        "lib.ts": "export const x: number = 1;\n",
      },
    },
    input: [1, 2],
    wait_ms: 0,
  });
});

test("every flag reaches the request", async () => {
  const flags =
    "--contract scratch --lane batch --isolation process --limit cpu_ms=5 --var a=1 --var b=2 --why because";
  const more = ["--on-busy", "downgrade", "--input", "-", "--prompt", "do it"];
  const { seen, exit } = await start(() => [200, runView()], ["src/main.ts", ...flags.split(" "), ...more], {
    stdin: '{"from": "stdin"}',
  });
  await exit;
  expect(JSON.parse(seen[0]!.body)).toMatchObject({
    contract: "scratch",
    lane: "batch",
    isolation: "process",
    limits: { cpu_ms: 5 },
    vars: { a: "1", b: "2" },
    why: "because",
    prompt: "do it",
    on_busy: "downgrade",
    input: { from: "stdin" },
  });
});

test("standard input is the input or the prompt, and not both", async () => {
  const { io, seen, exit } = await start(() => [200, runView()], ["src/main.ts", "--input", "-", "--prompt", "-"]);
  expect(await exit).toBe(2);
  expect(io.err()).toContain("--input and --prompt cannot both be standard input");
  expect(seen).toEqual([]);
});

test("a session implies its isolation, and goes with no other", async () => {
  for (const flags of ["--session s1", "--session s1 --isolation session"]) {
    const { seen, exit } = await start(() => [200, runView()], ["src/main.ts", ...flags.split(" ")]);
    await exit;
    expect(JSON.parse(seen[0]!.body)).toMatchObject({ isolation: "session", session: "s1" });
  }
  for (const [flags, says] of [
    ["--session s1 --isolation pooled", "leave --session out, or --isolation pooled"],
    ["--isolation session", "--session ID"],
    ["--isolation shared", "pooled, session, process"],
  ] as const) {
    const { seen, ...more } = await start(() => [200, runView()], ["src/main.ts", ...flags.split(" ")]);
    const { exit, err } = await finished({ seen, ...more });
    expect(exit).toBe(2);
    expect(err).toContain(says);
    expect(seen).toEqual([]);
  }
});

test("a string result is the plain string; a terminal gets it with control characters escaped", async () => {
  const answer: Answer = () => [200, runView({ result: "a\u001b[2Jb" })];
  expect((await finished(await start(answer, ["src/main.ts"]))).out).toBe("a\u001b[2Jb\n");
  expect((await finished(await start(answer, ["src/main.ts"], { tty: true }))).out).toBe("a\\x1b[2Jb\n");
});

test("--json prints the whole run and nothing else on stdout", async () => {
  const { out } = await finished(await start(() => [200, runView({ result: "x" })], ["src/main.ts", "--json"]));
  expect(JSON.parse(out)).toEqual(runView({ result: "x" }));
});

test("log lines reach stderr while the run goes on", async () => {
  const run = goingRun();
  const started = await start(run.answer, ["src/main.ts"]);
  await until(() => run.logs() !== undefined && run.waiting());
  run.logs()?.write(line(1, "first") + line(2, "oh", "warn"));
  await until(() => started.io.err().includes("warn oh"));
  expect(started.io.err()).toBe("first\nwarn oh\n");
  expect(started.io.out()).toBe("");
  run.end(runView({ result: 5 }));
  expect(await finished(started)).toMatchObject({ exit: 0, out: "5\n" });
});

test("the log of a run that ended at once is fetched", async () => {
  const usage = { cpu_ms: 1, rss_peak_mb: 1, log_bytes: 9, log_dropped: 3, output_bytes: 4 };
  const answer: Answer = (request, response) => {
    if (!isLogs(request)) return [200, runView({ usage })];
    response.end(line(1, "hello"));
    return undefined;
  };
  const { err } = await finished(await start(answer, ["src/main.ts"]));
  expect(err).toMatch(/^hello\n/);
  expect(err).toContain("3 bytes past log_bytes_max were dropped");
});

test("a log that cannot be shown does not hide how the run ended", async () => {
  const problem = { type: "", status: 500, code: "X", title: "t", detail: "broken" };
  const run = goingRun();
  const answer: Answer = (request, response) => (isLogs(request) ? [500, problem] : run.answer(request, response));
  const started = await start(answer, ["src/main.ts"]);
  await until(run.waiting);
  run.end(runView());
  const { exit, err } = await finished(started);
  expect(exit).toBe(0);
  expect(err).toContain("warn The log cannot be shown: X: broken");
});

test("Ctrl-C cancels the run and exits 130", async () => {
  const run = goingRun();
  const started = await start(run.answer, ["src/main.ts"]);
  await until(run.waiting);
  started.io.interrupt();
  const { exit, out, err } = await finished(started);
  expect(exit).toBe(130);
  expect(out).toBe("");
  expect(err).toContain("cancelled  cpu");
  expect(started.seen.filter(({ url }) => url === "/v1/runs/run_1/cancel")).toHaveLength(1);
});

test("a second Ctrl-C stops waiting for a server that does not answer the cancel", async () => {
  const run = goingRun();
  const answer: Answer = (request, response) =>
    request.url.endsWith("/cancel") ? undefined : run.answer(request, response);
  const started = await start(answer, ["src/main.ts"]);
  await until(run.waiting);
  started.io.interrupt();
  await until(() => started.seen.some(({ url }) => url.endsWith("/cancel")));
  started.io.interrupt();
  expect(await finished(started)).toMatchObject({ exit: 130, err: "error Not waiting any longer.\n" });
});

test("--timeout cancels the run, says so and exits 4", async () => {
  const run = goingRun();
  const { exit, err } = await finished(await start(run.answer, ["src/main.ts", "--timeout", "30"]));
  expect(exit).toBe(4);
  expect(err).toContain("It did not end within 30 ms (--timeout), so it was cancelled.");
});

test("--async prints the id and does not wait", async () => {
  const started = await start(() => [202, runView({ state: "queued" })], ["src/main.ts", "--async"]);
  expect(await finished(started)).toMatchObject({ exit: 0, out: "run_1\n" });
  expect(started.seen).toHaveLength(1);
  expect(JSON.parse(started.seen[0]!.body)).not.toHaveProperty("on_busy");
});

test("a run that threw exits 1 and shows the line of its source by the path that was typed", async () => {
  const error = { code: "RUN_THREW", name: "TypeError", detail: "no x", stack: "TypeError: no x\n    at main.ts:2:22" };
  const answer: Answer = () => [200, runView({ termination: "threw", error })];
  const { exit, out, err } = await finished(await start(answer, ["src/main.ts"]));
  expect(exit).toBe(1);
  expect(out).toBe("");
  expect(err).toContain("error TypeError: no x\n\nsrc/main.ts:2:22\n    2 | export default () => x;");
});

test.each([
  [403, "CONTRACT_LIMIT", 3],
  [429, "RUN_CONCURRENCY", 5],
  [503, "RUNNER_NO_JAIL", 5],
  [400, "LIMIT_RANGE", 2],
])("a %i %s is told in sentences and exits %i", async (status, code, exit) => {
  const problem = { type: "", status, code, title: "A title.", detail: "A detail." };
  const started = await start(() => [status, problem], ["src/main.ts"]);
  expect(await finished(started)).toEqual({ exit, out: "", err: `error A detail.\n  A title.\n  ${code}\n` });
});

test("a refusal that points into the code shows the line by the path that was typed, once", async () => {
  const detail = 'main.ts:1:19: "./lib.ts" is odd\n1 | import { x } from "./lib.ts";\n  |                   ^';
  const problems = [{ at: "main.ts", line: 1, column: 19, text: '"./lib.ts" is odd' }];
  const problem = {
    type: "",
    status: 400,
    code: "CODE_IMPORT",
    title: "An import cannot be resolved.",
    detail,
    problems,
  };
  const { exit, err } = await finished(await start(() => [400, problem], ["src/main.ts"]));
  expect(exit).toBe(2);
  expect(err).toBe(
    [
      'error main.ts:1:19: "./lib.ts" is odd',
      "  An import cannot be resolved.",
      "  CODE_IMPORT",
      "",
      "src/main.ts:1:19",
      '    1 | import { x } from "./lib.ts";',
      "      |                   ^",
      "",
    ].join("\n"),
  );
});

test("a syntax error never reaches the server", async () => {
  await writeFile(join(cwd, "src/lib.ts"), "export const = 1;\n");
  const started = await start(() => [200, runView()], ["src/main.ts"]);
  const { exit, err } = await finished(started);
  expect(exit).toBe(2);
  expect(err).toContain("src/lib.ts:1:14\n    1 | export const = 1;\n      |              ^ Expected identifier");
  expect(started.seen).toEqual([]);
});

test("a server that has gone is a sentence and exits 6", async () => {
  const started = await start(
    (_request, response) => {
      response.destroy();
      return undefined;
    },
    ["src/main.ts"],
  );
  const { exit, err } = await finished(started);
  expect(exit).toBe(6);
  expect(err).toContain("start it again: npx gantry up");
});
