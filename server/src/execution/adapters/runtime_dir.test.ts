import { type ChildProcess, spawn } from "node:child_process";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { need } from "../../../../tests/fixtures/need.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import { startTicks } from "./procfs.ts";
import {
  createRunnerDir,
  MEMORY_CLASSES_MB,
  prepareRuntimeDir,
  type RuntimeDir,
  recordPid,
  SOCKET_PATH_MAX,
  socketPathBytes,
  sweepRunners,
} from "./runtime_dir.ts";

const own = process.getuid?.() ?? 0;
const children: ChildProcess[] = [];
let base: string;

beforeEach(() => {
  base = mkdtempSync("/tmp/gr-");
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(base, { recursive: true, force: true });
});

const prepare = (data_dir = "/some/data"): RuntimeDir => prepareRuntimeDir({ data_dir, runner_uid: 65534, base });
const mode = (path: string): number => lstatSync(path).mode & 0o777;

/** A real process; resolves to its pid once it can be seen. */
async function sleeper(): Promise<{ pid: number; child: ChildProcess }> {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  children.push(child);
  const pid = child.pid ?? 0;
  await eventually(() => startTicks(pid) !== undefined);
  return { pid, child };
}

describe("the runtime directory", () => {
  it("is named after its owner and the data directory, and holds what jails bind", () => {
    const runtime = prepare();
    expect(runtime.path).toBe(join(base, `gantry-${own}-${sha256Hex("/some/data").slice(0, 8)}`));
    expect(prepare("/other").path).not.toBe(runtime.path);
    expect(mode(runtime.path)).toBe(own === 0 ? 0o711 : 0o700);
    expect(mode(runtime.workerd) & 0o555).toBe(0o555);
    expect(lstatSync(runtime.workerd).isFile()).toBe(true);
    for (const file of ["host.js", "prelude.js", "wrapper.js"])
      expect(existsSync(join(runtime.isolate, file))).toBe(true);
    for (const memory_mb of MEMORY_CLASSES_MB) {
      const config = readFileSync(join(runtime.isolate, `${memory_mb}.capnp`), "utf8");
      expect(config).toContain(`v8Flags = ["--max-heap-size=${memory_mb}"]`);
      expect(config).toContain('globalOutbound = "internet"');
    }
  });

  it("can be prepared again over what an earlier life left", () => {
    const first = prepare();
    writeFileSync(join(first.isolate, "host.js"), "stale");
    expect(prepare()).toEqual(first);
    expect(readFileSync(join(first.isolate, "host.js"), "utf8")).not.toBe("stale");
  });

  it("of somebody else is refused", (context) => {
    need(context, "root", own === 0 ? undefined : "only root can make a directory that belongs to another");
    const { path } = prepare();
    chownSync(path, 65534, 65534);
    expect(() => prepare()).toThrow("belongs to somebody else");
  });

  it("that is a symlink, or a file, is refused", () => {
    const { path } = prepare();
    rmSync(path, { recursive: true });
    mkdirSync(join(base, "elsewhere"));
    symlinkSync(join(base, "elsewhere"), path);
    expect(() => prepare()).toThrow("belongs to somebody else");
    rmSync(path);
    writeFileSync(path, "");
    expect(() => prepare()).toThrow();
  });

  it("keeps the longest socket path within what a unix socket takes", () => {
    expect(socketPathBytes("/x")).toBe("/x/r/00000000/s/out.sock".length);
    expect(socketPathBytes("/ü")).toBe(socketPathBytes("/x") + 1);
    const XDG = process.env["XDG_RUNTIME_DIR"];
    try {
      process.env["XDG_RUNTIME_DIR"] = join(base, "d".repeat(80));
      mkdirSync(process.env["XDG_RUNTIME_DIR"]);
      const { path } = prepareRuntimeDir({ data_dir: base, runner_uid: 65534 });
      expect(path.startsWith("/tmp/gantry-")).toBe(true);
      expect(socketPathBytes(path)).toBeLessThanOrEqual(SOCKET_PATH_MAX);
      rmSync(path, { recursive: true });
    } finally {
      if (XDG === undefined) delete process.env["XDG_RUNTIME_DIR"];
      else process.env["XDG_RUNTIME_DIR"] = XDG;
    }
  });
});

describe("a runner's directory", () => {
  it("is open to the guests' uid only", () => {
    const runtime = prepare();
    const dir = createRunnerDir(runtime, "abcdefgh");
    for (const path of [dir.path, dir.sockets, dir.root]) {
      expect(mode(path)).toBe(0o700);
      expect(lstatSync(path).uid).toBe(own === 0 ? 65534 : own);
    }
  });

  it("is never shared: a second one of the same name is refused", () => {
    const runtime = prepare();
    createRunnerDir(runtime, "abcdefgh");
    expect(() => createRunnerDir(runtime, "abcdefgh")).toThrow("EEXIST");
  });
});

describe("sweeping after a crash", () => {
  it("kills the recorded process and removes its directory", async () => {
    const runtime = prepare();
    const { pid, child } = await sleeper();
    const dir = createRunnerDir(runtime, "abcdefgh");
    recordPid(dir, pid);
    expect(sweepRunners(runtime)).toBe(1);
    await eventually(() => child.signalCode === "SIGKILL");
    expect(existsSync(dir.path)).toBe(false);
  });

  it("leaves a process alone that has the pid and another start time", async () => {
    const runtime = prepare();
    const { pid, child } = await sleeper();
    const dir = createRunnerDir(runtime, "abcdefgh");
    for (const ticks of [(startTicks(pid) ?? 0) - 1, 0]) {
      mkdirSync(dir.path, { recursive: true });
      writeFileSync(join(dir.path, "pid"), `${pid} ${ticks}\n`);
      expect(sweepRunners(runtime)).toBe(0);
      expect(existsSync(dir.path)).toBe(false);
    }
    expect(child.signalCode).toBeNull();
    expect(startTicks(pid)).toBeDefined();
  });

  it.each(["", "garbage", "1", "-1 -1", "NaN NaN", "99999999 5"])("a record of %j kills nobody", (text) => {
    const runtime = prepare();
    const dir = createRunnerDir(runtime, "abcdefgh");
    writeFileSync(join(dir.path, "pid"), text);
    expect(sweepRunners(runtime)).toBe(0);
    expect(existsSync(dir.path)).toBe(false);
  });

  it("has nothing to do where nothing is", () => {
    expect(sweepRunners(prepare())).toBe(0);
  });
});
