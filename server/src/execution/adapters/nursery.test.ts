import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { Nursery, type NurseryChild } from "./nursery.ts";
import { startTicks } from "./procfs.ts";
import type { RuntimeDir } from "./runtime_dir.ts";

let path: string;
let nursery: Nursery;
let lost: Error | undefined;

beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), "gn-"));
  lost = undefined;
  nursery = await Nursery.open({ path } as RuntimeDir, (error) => {
    lost = error;
  });
});
afterEach(async () => {
  if (lost === undefined) await nursery.close();
  rmSync(path, { recursive: true, force: true });
});

const start = (id: string, script: string): Promise<NurseryChild> =>
  nursery.start({ id, command: ["sh", "-c", script], cwd: path, nice: 0 });
const textOf = async (stream: NurseryChild["stdout"]): Promise<string> => {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
};

it("starts a command with three streams of its own, in its directory, and tells how it ended", async () => {
  const child = await start("a", 'read -r word; echo "heard $word in $PWD"; echo oops >&2; exit 7');
  child.control.write("hello\n");
  const [out, err, exit] = await Promise.all([textOf(child.stdout), textOf(child.stderr), child.exited]);
  expect(out).toBe(`heard hello in ${path}\n`);
  expect(err).toBe("oops\n");
  expect(exit).toMatchObject({ code: 7, signal: null });
});

it("answers over the control stream, which the command finds blocking", async () => {
  const child = await start("a", "for i in 1 2 3; do read -r word <&0; echo $word >&0; done");
  const answers = textOf(child.control);
  for (const word of ["x", "y", "z"]) child.control.write(`${word}\n`);
  expect(await answers).toBe("x\ny\nz\n");
});

it("keeps the streams of commands that start together apart", async () => {
  const children = await Promise.all(Array.from({ length: 8 }, (_, i) => start(`id${i}`, `echo ${i}`)));
  expect(await Promise.all(children.map(({ stdout }) => textOf(stdout)))).toEqual(
    Array.from({ length: 8 }, (_, i) => `${i}\n`),
  );
});

it("refuses a command that is not there, and goes on", async () => {
  const absent = nursery.start({ id: "a", command: ["/no/such/program"], cwd: path, nice: 0 });
  await expect(
    absent.then(({ exited }) => exited).then(({ error }) => Promise.reject(new Error(error))),
  ).rejects.toThrow("ENOENT");
  expect(await textOf((await start("b", "echo here")).stdout)).toBe("here\n");
});

it("has the streams of a command that ended before they were here", async () => {
  // With the control plane's thread held up, both reports are read before any greeting.
  for (let round = 0; round < 20; round += 1) {
    const starting = start(`r${round}`, "exit 3");
    const until = performance.now() + 30;
    while (performance.now() < until);
    const child = await starting;
    expect(await textOf(child.stdout)).toBe("");
    expect(await child.exited).toMatchObject({ code: 3 });
  }
});

it("hangs up on a connection that names no stream of ours", async () => {
  for (const greeting of ["nobody stdout\n", "x".repeat(300)]) {
    const stranger = connect(join(path, "n.sock"), () => stranger.write(greeting));
    await new Promise((resolve) => stranger.on("close", resolve));
  }
  expect(await textOf((await start("a", "echo still here")).stdout)).toBe("still here\n");
});

it("is told to be lost when it dies, and takes what it started with it", async () => {
  const child = await start(
    "a",
    // It speaks once the signal is set: only then must it die with its parent.
    "exec setpriv --pdeathsig=KILL sh -c 'echo $PPID; exec sleep 1000'",
  );
  const parent = Number(await new Promise((resolve) => child.stdout.once("data", resolve)));
  process.kill(parent, "SIGKILL");
  await eventually(() => lost !== undefined, "the loss to be told");
  await eventually(() => startTicks(child.pid ?? 0) === undefined, "the command's death");
});

it("outlives the signals that stop a service, and ends with its control plane", async () => {
  const child = await start("a", "echo $PPID; sleep 1000");
  const parent = Number(await new Promise((resolve) => child.stdout.once("data", resolve)));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(parent, signal);
  expect(await textOf((await start("b", "echo alive")).stdout)).toBe("alive\n");
  await nursery.close();
  expect(startTicks(parent)).toBeUndefined();
  lost = new Error("closed by the test");
  process.kill(child.pid ?? 0, "SIGKILL");
});
