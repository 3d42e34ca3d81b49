import { createSocket } from "node:dgram";
import { connect } from "node:net";
import type { RedteamRecord } from "@gantry/sdk";
import { afterEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { openCanaries } from "../redteam/canaries.ts";
import { hostileUrls } from "../redteam/hostile_urls.ts";
import type { AttackInput } from "../redteam/program.ts";
import { attack_programs } from "../redteam/programs.ts";
import { runView, stubServer, testTerminal, until } from "../testing.ts";
import { isHere } from "./redteam.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Played {
  /** What a run does while it runs. */
  during?: (input: AttackInput) => Promise<void>;
  /** What the program says of itself. */
  result?: unknown;
  termination?: "completed" | "cpu_exceeded";
  verdict?: RedteamRecord["verdict"];
  words?: string[];
}

/** The command against a server that plays the part of runs. */
async function redteam({ during, result, termination = "completed", verdict = "held", words = [] }: Played) {
  let reported: { runs: string[]; hits: number } | undefined;
  const asked: { contract: string; input: AttackInput }[] = [];
  const own = { tried: 3, escaped: [], report: {} };
  const server = await stubServer(({ method, url, body }, response) => {
    if (method === "POST" && url === "/v1/redteam") {
      reported = JSON.parse(body);
      const runs = reported?.runs ?? [];
      const classes = runs.map((run) => ({ run, attempts: 2, blocked: 2, completed: 0, termination }));
      const sums = { runs: runs.length, attempts: 2, blocked: 2, completed: 0 };
      return [201, { entry: "ent_1", ...sums, hits: reported?.hits, verdict, classes }];
    }
    if (method === "GET") return [200, runView({ id: "run_1", termination, result: result ?? own })];
    const request = JSON.parse(body);
    asked.push(request);
    void (during?.(request.input) ?? Promise.resolve()).then(() => {
      response.writeHead(202, { "content-type": "application/json" });
      response.end(JSON.stringify(runView({ id: "run_1", state: "running" })));
    });
    return undefined;
  });
  closers.push(server.close);
  const io = testTerminal({ env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" } });
  const all = ["redteam", "--only", "node-net", ...words];
  const exit = await runProgram(all, io, { server: "", examples: "", version: "0" });
  return { exit, out: io.out(), err: io.err(), reported, asked };
}

test("everything that held is a table, an entry and a way to prove it, and exits 0", async () => {
  const { exit, out, err, reported, asked } = await redteam({});
  expect({ exit, err, reported }).toEqual({ exit: 0, err: "", reported: { runs: ["run_1"], hits: 0 } });
  expect(out).toContain("CLASS     TRIED  CALLS  BLOCKED  GOT OUT  HITS  ENDED      RUN\n");
  expect(out).toContain("node-net      3      2        2        0     0  completed  run_1\n");
  expect(out).toContain("held  3 ways tried, 2 calls counted, 2 blocked, 0 hits\nentry  ent_1\n");
  expect(out).toContain("npx gantry evidence proof ent_1 -o redteam.proof");
  expect(asked).toMatchObject(
    [{ contract: "scratch", input: { host: "127.0.0.1", path: /^\/canary-[0-9a-f]{16}$/ } }].map(
      ({ contract, input }) => ({ contract, input: { host: input.host, path: expect.stringMatching(input.path) } }),
    ),
  );
});

test("a canary that is hit while a program runs is counted, told by its class, and exits 1", async () => {
  const during = ({ host, port }: AttackInput) =>
    new Promise<void>((resolve) => {
      const socket = connect(port, host, () => socket.end(resolve));
    });
  const { exit, out, reported } = await redteam({ during, verdict: "breached" });
  expect({ exit, hits: reported?.hits }).toEqual({ exit: 1, hits: 1 });
  expect(out).toContain("reached  node-net: a canary was hit 1 time\n");
});

test("what a program says that it got is a hit, and is shown escaped", async () => {
  const result = { tried: 1, escaped: ["net.connect"], report: { "net.connect": "ESCAPED data\u001b[2J" } };
  const { exit, out, reported } = await redteam({ result, verdict: "breached" });
  expect({ exit, hits: reported?.hits }).toEqual({ exit: 1, hits: 1 });
  expect(out).toContain("got  node-net: net.connect: ESCAPED data\\x1b[2J\n");
});

test("a program that did not come to its end proves nothing, and exits 1", async () => {
  const { exit, out } = await redteam({ termination: "cpu_exceeded", result: "none", verdict: "inconclusive" });
  expect(exit).toBe(1);
  expect(out).toContain("node-net      ?");
  expect(out).toContain("ended  node-net: cpu_exceeded, run_1\n");
});

test("in JSON it is the record, and each class with all that its program tried", async () => {
  const { out } = await redteam({ words: ["--json", "--contract", "mine"] });
  const { record, classes } = JSON.parse(out);
  expect(record).toMatchObject({ entry: "ent_1", verdict: "held" });
  expect(classes).toMatchObject([{ class: "node-net", run: "run_1", tried: 3, attempts: 2, hits: 0, report: {} }]);
});

test("a class that there is not is refused, with those that there are", async () => {
  const { exit, err, asked } = await redteam({ words: ["--only", "magic"] });
  expect({ exit, asked }).toEqual({ exit: 2, asked: [] });
  expect(err).toContain("node-net");
});

test("canaries count TCP, datagrams and a unix socket, from 0 after they were shown to work", async () => {
  const canaries = await openCanaries();
  closers.push(canaries.close);
  expect(canaries.hits()).toBe(0);
  const knock = (at: { port: number; host: string } | { path: string }) =>
    new Promise<void>((resolve, reject) => {
      const socket = connect(at, () => socket.end(resolve)).once("error", reject);
    });
  await knock(canaries);
  await until(() => canaries.hits() === 1);
  if (canaries.socket !== "") await knock({ path: canaries.socket });
  await until(() => canaries.hits() === (canaries.socket === "" ? 1 : 2));
  const before = canaries.hits();
  const sender = createSocket("udp4");
  await new Promise<void>((resolve) => sender.send("x", canaries.port, canaries.host, () => resolve()));
  sender.close();
  await until(() => canaries.hits() === before + 1);
});

test("the corpus has at least a dozen classes with names of their own, and URLs with the canary's port", () => {
  const names = attack_programs.map(({ name }) => name);
  expect(names.length).toBeGreaterThanOrEqual(12);
  expect(new Set(names).size).toBe(names.length);
  for (const { name, source } of attack_programs) {
    expect(name).toMatch(/^[a-z][a-z-]*$/);
    expect(source, name).toContain("ways");
  }
  const urls = hostileUrls(4321, "/canary");
  expect(urls.length).toBeGreaterThan(70);
  expect(new Set(urls).size).toBe(urls.length);
  expect(urls.filter((url) => /PORT|PATH/.test(url))).toEqual([]);
  expect(urls).toContain("http://2130706433:4321/canary");
});

test("only loopback is here", () => {
  expect(["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"].every(isHere)).toBe(true);
  expect(["https://gantry.example", "http://127.0.0.1.example"].some(isHere)).toBe(false);
});
