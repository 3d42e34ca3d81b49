import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runProgram } from "../program.ts";
import { figuresView, runView, stubServer, testTerminal, until } from "../testing.ts";

const installation = { server: "", examples: "", version: "0" };
const figures = figuresView();
let server: Awaited<ReturnType<typeof stubServer>>;
/** What the stub answers to the next questions for figures, the last one again and again. */
let answers: (() => [number, unknown])[];

beforeEach(async () => {
  answers = [() => [200, figures]];
  const running = [runView({ id: "run_9", state: "running", created_at: figures.at - 3_000 })];
  server = await stubServer(({ url }) => {
    if (url.startsWith("/v1/runs")) return [200, { items: running }];
    return (answers.length > 1 ? answers.shift() : answers[0])?.();
  });
});
afterEach(() => server.close());

function terminal(parts: Parameters<typeof testTerminal>[0] = {}) {
  return testTerminal({ env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_agt_x" }, ...parts });
}
async function run(...words: string[]) {
  const io = terminal();
  const exit = await runProgram(words, io, installation);
  return { exit, out: io.out(), err: io.err() };
}

describe("gantry stats", () => {
  it("prints the figures as aligned tables", async () => {
    const { exit, out } = await run("stats");
    expect(exit).toBe(0);
    expect(out).toMatch(
      /^2023-11-14 22:13:20Z, last 15 min\n2 running, 14 waiting for a slot, 3 for people \(contract 1, run 1, setting 1\)\n/,
    );
    expect(out).toMatch(/^LANE +ENDED +PER S +WAITING +OLDEST$/m);
    expect(out).toMatch(/^runs +CONTRACT_LIMIT +30$/m);
    expect(server.seen[0]?.url).toBe("/v1/stats");
  });

  it("asks for the window, and gives programs what the server said", async () => {
    const { exit, out } = await run("stats", "--window", "24h", "--json");
    expect([exit, JSON.parse(out)]).toEqual([0, figures]);
    expect(server.seen[0]?.url).toBe("/v1/stats?window_ms=86400000");
  });

  it("refuses a window that no server takes", async () => {
    expect(await run("stats", "--window", "25h")).toMatchObject({
      exit: 2,
      err: expect.stringContaining("at most 24h"),
    });
    expect(await run("stats", "--window", "soon")).toMatchObject({ exit: 2, err: expect.stringContaining("--window") });
    expect(server.seen).toEqual([]);
  });
});

describe("gantry top", () => {
  it("prints a line for each frame where there is no terminal", async () => {
    const { exit, out } = await run("top", "--frames", "2", "--interval", "1s");
    expect(exit).toBe(0);
    expect(out.split("\n")).toHaveLength(3);
    expect(out).toMatch(
      /^2023-11-14 22:13:20Z; 2 running, 14 waiting, 3 for people \(contract 1, run 1, setting 1\), 1\.2 runs\/s; 1,234 runs ended/,
    );
    expect(out).not.toContain("\u001b");
  });

  it("gives programs one object for each frame", async () => {
    const { out } = await run("top", "--frames", "1", "--json");
    expect(JSON.parse(out)).toEqual({
      figures,
      entries_per_s: null,
      running: [{ id: "run_9", contract: { name: "scratch", version: 1 }, lane: "interactive", age_ms: 3_000 }],
    });
    expect(await run("top", "--frames", "0")).toMatchObject({ exit: 2, err: expect.stringContaining("--frames") });
  });

  it.each([["q"], ["\u0003"]])("takes the screen until a key is typed, and gives it back (%j)", async (key) => {
    const io = terminal({ tty: true, rows: 50 });
    const ended = runProgram(["top"], io, installation);
    await until(() => io.out().includes("run_9"));
    io.press("x");
    io.press(key);
    expect(await ended).toBe(0);
    expect(io.out().startsWith("\u001b[?1049h")).toBe(true);
    expect(io.out().endsWith("\u001b[?1049l")).toBe(true);
  });

  it("waits for a server that goes away, and says how old the figures are", async () => {
    const io = terminal({ tty: true });
    const ended = runProgram(["top", "--interval", "1s"], io, installation);
    await until(() => io.out().includes("2 running"));
    await server.close();
    await until(() => io.out().includes("The server does not answer. These figures are"));
    io.interrupt();
    expect(await ended).toBe(0);
  });

  it("ends when it is not allowed to ask any more, and gives the screen back first", async () => {
    answers.push(() => [
      401,
      { type: "about:blank", title: "no", status: 401, code: "TOKEN_EXPIRED", detail: "It has." },
    ]);
    const io = terminal({ tty: true });
    expect(await runProgram(["top"], io, installation)).toBe(3);
    expect(io.out().endsWith("\u001b[?1049l")).toBe(true);
    expect(io.err()).toContain("It has.");
  });
});
