import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { systemClock } from "../../kernel/clock.ts";
import {
  GIT_CLONE_COPIES_MAX,
  GIT_FILE_BYTES_MAX,
  GIT_OUTPUT_BYTES_MAX,
  GIT_WALL_MS,
  SINK_NOTE_BYTES_MAX,
} from "../contract.ts";
import { runGit } from "./git_process.ts";
import { openGitSink } from "./sink_git.ts";

const { signal } = new AbortController();
let base: string;
let remote: string;
let clone: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "gantry-git-"));
  remote = join(base, "witness.git");
  clone = join(base, "data", "witnesses", "one");
  git(["init", "--quiet", "--bare", "--initial-branch=main", remote]);
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const named = { GIT_AUTHOR_NAME: "o", GIT_AUTHOR_EMAIL: "o@x", GIT_COMMITTER_NAME: "o", GIT_COMMITTER_EMAIL: "o@x" };
const env = { ...named, PATH: process.env["PATH"], HOME: "/nonexistent", GIT_CONFIG_GLOBAL: "/dev/null", LC_ALL: "C" };
function git(args: string[], input = ""): string {
  return execFileSync("git", args, { encoding: "utf8", env, input, stdio: ["pipe", "pipe", "pipe"] }).trim();
}
const at = (...args: string[]): string => git(["--git-dir", remote, ...args]);

function noteOf(size: number, origin = "example.org/log"): string {
  const root = Buffer.alloc(32, size % 256).toString("base64");
  return `${origin}\n${size}\n${root}\n\n\u2014 ${origin} ${Buffer.alloc(68, 7).toString("base64")}\n`;
}
const copyOf = (size: number, origin?: string) => ({ note: noteOf(size, origin), size });
const sinkOf = (url = remote, clock = systemClock()) => openGitSink({ url, directory: clone, clock });

/** What somebody else pushes: a commit on the branch, with files of their own. */
function pushed(files: Record<string, string>, branch = "checkpoints"): void {
  const work = mkdtempSync(join(base, "other-"));
  const has = at("for-each-ref", `refs/heads/${branch}`) !== "";
  git(has ? ["clone", "--quiet", "--branch", branch, remote, work] : ["init", "--quiet", "-b", branch, work]);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(work, name), text);
  git(["-C", work, "add", "--all"]);
  git(["-C", work, "commit", "--quiet", "-m", "other"]);
  git(["-C", work, "push", "--quiet", remote, branch]);
}

describe("a git witness", () => {
  it("holds nothing at first, then one commit for each copy, with the note as its file", async () => {
    const sink = sinkOf();
    expect(sink.name).toBe(`git:${remote}`);
    expect(sink.every_ms).toBe(10_000);
    expect(await sink.newest(signal)).toBeUndefined();
    for (const size of [1, 5, 260]) expect(await sink.publish(copyOf(size), signal)).toBe(size);
    expect(await sink.newest(signal)).toBe(noteOf(260));
    expect(at("log", "--format=%s", "checkpoints").split("\n")).toEqual([
      "checkpoint 260",
      "checkpoint 5",
      "checkpoint 1",
    ]);
    expect(at("ls-tree", "--name-only", "checkpoints")).toBe("checkpoint");
    expect(`${at("show", "checkpoints~1:checkpoint")}\n`).toBe(noteOf(5));
    at("fsck", "--strict");
  });

  it("is not given the same copy twice, and never a smaller one of the same log", async () => {
    await sinkOf().publish(copyOf(9), signal);
    expect(await sinkOf().publish(copyOf(9), signal)).toBe(9);
    expect(await sinkOf().publish(copyOf(8), signal)).toBe(9);
    expect(at("rev-list", "--count", "checkpoints")).toBe("1");
    expect(await sinkOf().publish(copyOf(2, "example.org/next"), signal)).toBe(2);
    expect(await sinkOf().newest(signal)).toBe(noteOf(2, "example.org/next"));
  });

  it("keeps what others pushed meanwhile: the next copy stands on it, and their files stay", async () => {
    const sink = sinkOf();
    await sink.publish(copyOf(1), signal);
    pushed({ "README.md": "of others\n" });
    const theirs = at("rev-parse", "checkpoints");
    await sink.publish(copyOf(2), signal);
    expect(at("rev-parse", "checkpoints^")).toBe(theirs);
    expect(at("ls-tree", "--name-only", "checkpoints").split("\n")).toEqual(["README.md", "checkpoint"]);
    expect(at("rev-list", "--count", "checkpoints")).toBe("3");
  });

  it("refuses a copy that was made before somebody else's commit, and takes it at the next attempt", async () => {
    const sink = sinkOf();
    await sink.publish(copyOf(1), signal);
    pushed({ theirs: "first\n" }, "racing");
    const commit = at("commit-tree", at("rev-parse", "racing^{tree}"), "-p", "checkpoints", "-m", "theirs");
    // The remote goes on between our fetch and our push: somebody else is a moment faster.
    const real = execFileSync("which", ["git"], { encoding: "utf8" }).trim();
    const faster = `env -u GIT_DIR ${real} --git-dir ${remote} update-ref refs/heads/checkpoints ${commit}`;
    mkdirSync(join(base, "bin"));
    const wrapper = `#!/bin/sh\ncase " $* " in *" push "*) ${faster} ;; esac\nexec ${real} "$@"\n`;
    writeFileSync(join(base, "bin", "git"), wrapper, { mode: 0o755 });
    const path = process.env["PATH"];
    process.env["PATH"] = `${join(base, "bin")}:${path}`;
    try {
      await expect(sink.publish(copyOf(2), signal)).rejects.toThrow(/^git push failed: ! \[rejected\]/);
    } finally {
      process.env["PATH"] = path;
    }
    expect(at("rev-parse", "checkpoints")).toBe(commit);
    await sink.publish(copyOf(3), signal);
    expect(at("rev-parse", "checkpoints^")).toBe(commit);
  });

  it("whose branch was rewritten is built on as it is now", async () => {
    const sink = sinkOf();
    await sink.publish(copyOf(1), signal);
    at("update-ref", "-d", "refs/heads/checkpoints");
    expect(await sink.newest(signal)).toBeUndefined();
    await sink.publish(copyOf(2), signal);
    expect(at("rev-list", "--count", "checkpoints")).toBe("1");
  });

  it("that holds something else than a note under that name says what it holds, or nothing", async () => {
    const sink = sinkOf();
    pushed({ checkpoint: "what?\n" });
    expect(await sink.newest(signal)).toBe("what?\n");
    await sink.publish(copyOf(1), signal);
    expect(await sink.newest(signal)).toBe(noteOf(1));
    const empty = git(["--git-dir", remote, "mktree"]);
    const blob = git(["--git-dir", remote, "hash-object", "-w", "--stdin"], "/etc/passwd");
    const trees = [`040000 tree ${empty}\tcheckpoint\n`, `120000 blob ${blob}\tcheckpoint\n`, ""];
    for (const [index, lines] of trees.entries()) {
      const tree = git(["--git-dir", remote, "mktree"], lines);
      const commit = at("commit-tree", tree, "-p", "checkpoints", "-m", "odd");
      at("update-ref", "refs/heads/checkpoints", commit);
      expect(await sink.newest(signal)).toBeUndefined();
      expect(await sink.publish(copyOf(2 + index), signal)).toBe(2 + index);
    }
  });

  it("gives back a note up to its limit", async () => {
    const origin = "o".repeat(SINK_NOTE_BYTES_MAX - Buffer.byteLength("\n5\n\n"));
    const note = `${origin}\n5\n\n`;
    expect(await sinkOf().publish({ note, size: 5 }, signal)).toBe(5);
    expect(await sinkOf().newest(signal)).toBe(note);
    expect(() => sinkOf().publish({ note: `${note}\n`, size: 5 }, signal)).toThrow(/small/);
  });

  it("leaves no process, and nothing changed, when it is stopped", async () => {
    const stop = new AbortController();
    const going = sinkOf().publish(copyOf(1), stop.signal);
    stop.abort();
    await expect(going).rejects.toThrow(/was stopped|was not begun/);
    expect(at("for-each-ref")).toBe("");
    await sinkOf().publish(copyOf(2), signal);
  });

  it("has a clone that is made anew at each start, whatever was left of it, and after so many copies", async () => {
    mkdirSync(clone, { recursive: true });
    writeFileSync(join(clone, "HEAD"), "garbage");
    writeFileSync(join(clone, "shallow.lock"), "");
    expect(GIT_CLONE_COPIES_MAX).toBeGreaterThan(2);
    const sink = openGitSink({ url: remote, directory: clone, clock: systemClock(), copies_max: 2 });
    await sink.publish(copyOf(1), signal);
    expect(existsSync(join(clone, "shallow.lock"))).toBe(false);
    writeFileSync(join(clone, "mark"), "");
    await sink.publish(copyOf(2), signal);
    expect(existsSync(join(clone, "mark"))).toBe(true);
    await sink.publish(copyOf(3), signal);
    expect(existsSync(join(clone, "mark"))).toBe(false);
    expect(at("rev-list", "--count", "checkpoints")).toBe("3");
  });
});

describe("a git witness that is not to be trusted", () => {
  it("is an error with a reason when it is not there, or is no repository", async () => {
    await expect(sinkOf(join(base, "none.git")).publish(copyOf(1), signal)).rejects.toThrow(
      /^git fetch failed: fatal: '.*none\.git' does not appear to be a git repository$/,
    );
    const closed = createServer().listen(0, "127.0.0.1");
    await once(closed, "listening");
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await once(closed, "close");
    await expect(sinkOf(`http://127.0.0.1:${port}/w.git`).newest(signal)).rejects.toThrow(/^git fetch failed: fatal: /);
  });

  it("never sees a password in an argument, a name or an error, and is given it all the same", async () => {
    const asked: (string | undefined)[] = [];
    const running: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.headers.authorization);
      running.push(processes());
      const answer = { "www-authenticate": 'Basic realm="w"' };
      response.writeHead(401, answer).end(`denied, ${request.headers.authorization}`);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const sink = sinkOf(`http://someone:se%40cret-canary@127.0.0.1:${port}/w.git?x=1`);
    expect(sink.name).toBe(`git:http://127.0.0.1:${port}/w.git?x=1`);
    const failure = await sink.newest(signal).catch((error: Error) => error);
    expect(String(failure)).toMatch(/git fetch failed: fatal: /);
    expect(JSON.stringify(failure) + String((failure as Error).stack)).not.toMatch(/canary|someone/);
    // The canary is hit: git did offer it to the one host that it is for.
    expect(asked).toContain(`Basic ${Buffer.from("someone:se@cret-canary").toString("base64")}`);
    expect(running.join("\n")).toContain(`127.0.0.1:${port}`);
    expect(running.join("\n")).not.toMatch(/canary/);
    expect(readFileSync(join(clone, "config"), "utf8")).not.toMatch(/canary|someone/);
    server.close();
  });

  it("is sent no password once it redirects", async () => {
    const strangers: string[] = [];
    const stranger = createServer((request, response) => {
      strangers.push(String(request.url));
      response.end();
    }).listen(0, "127.0.0.1");
    await once(stranger, "listening");
    const there = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}/x`;
    const server = createServer((_, response) => response.writeHead(302, { location: there }).end());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://u:p@127.0.0.1:${(server.address() as AddressInfo).port}/w.git`;
    await expect(sinkOf(url).newest(signal)).rejects.toThrow(/git fetch failed/);
    expect(strangers).toEqual([]);
    server.close();
    stranger.close();
  });

  it("runs no command of ours: neither a helper's address, nor hooks and settings of the user", async () => {
    const mark = join(base, "mark");
    await expect(sinkOf(`ext::sh -c "touch ${mark}"`).newest(signal)).rejects.toThrow(/not allowed|transport/);
    await expect(sinkOf(`--upload-pack=touch ${mark}`).newest(signal)).rejects.toThrow();
    const home = join(base, "home");
    mkdirSync(join(home, "hooks"), { recursive: true });
    for (const name of ["pre-push", "reference-transaction", "post-checkout"]) {
      writeFileSync(join(home, "hooks", name), `#!/bin/sh\ntouch ${mark}\n`);
      chmodSync(join(home, "hooks", name), 0o755);
    }
    writeFileSync(
      join(home, ".gitconfig"),
      `[core]\n\thooksPath = ${join(home, "hooks")}\n[init]\n\ttemplateDir = ${home}\n`,
    );
    const before = { HOME: process.env["HOME"], GIT_DIR: process.env["GIT_DIR"] };
    process.env["HOME"] = home;
    process.env["GIT_DIR"] = join(base, "elsewhere");
    try {
      // The canary is hit where git is run as a person runs it.
      execFileSync("git", ["init", "--quiet", join(base, "plain")], {
        env: { ...env, HOME: home, GIT_CONFIG_GLOBAL: join(home, ".gitconfig") },
      });
      expect(existsSync(join(base, "plain", ".git", "hooks", "pre-push"))).toBe(true);
      await sinkOf().publish(copyOf(1), signal);
    } finally {
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
    expect(existsSync(mark)).toBe(false);
    expect(existsSync(join(clone, "hooks"))).toBe(false);
  });

  it("that never answers is left when the time of a command is over, with all that git had started", async () => {
    const clock = new VirtualClock();
    const connected: unknown[] = [];
    const silent = createTcpServer((socket) => connected.push(socket.on("error", () => {}))).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const going = sinkOf(`http://127.0.0.1:${port}/w.git`, clock).newest(signal);
    going.catch(() => {});
    await eventually(() => connected.length > 0, "git to ask");
    clock.advance(GIT_WALL_MS - 1);
    expect(await Promise.race([going.catch(() => "ended"), Promise.resolve("goes on")])).toBe("goes on");
    clock.advance(1);
    await expect(going).rejects.toThrow(`git fetch took longer than ${GIT_WALL_MS / 1_000} s`);
    await eventually(() => !processes().includes(`127.0.0.1:${port}`), "git's helper to be gone");
    silent.close();
  });

  it("cannot make git write or say more than it may", async () => {
    const clock = systemClock();
    mkdirSync(clone, { recursive: true });
    const place = { directory: clone, clock, settings: [], env: {}, secrets: [], protocols: "file" };
    await runGit(place, ["init", "--quiet", "--bare", "--", clone], signal);
    const put = (bytes: number) => runGit(place, ["hash-object", "-w", "--stdin"], signal, "x".repeat(bytes));
    const get = async (blob: Buffer) => runGit(place, ["cat-file", "blob", blob.toString().trim()], signal);
    expect((await get(await put(GIT_OUTPUT_BYTES_MAX))).byteLength).toBe(GIT_OUTPUT_BYTES_MAX);
    await expect(get(await put(GIT_OUTPUT_BYTES_MAX + 1))).rejects.toThrow(
      `git cat-file wrote more than ${GIT_OUTPUT_BYTES_MAX} bytes`,
    );
    const write = (bytes: number) =>
      runGit({ ...place, env: { N: String(bytes) } }, ["-c", "alias.big=!head -c $N /dev/zero >big", "big"], signal);
    await write(GIT_FILE_BYTES_MAX);
    await expect(write(GIT_FILE_BYTES_MAX + 1)).rejects.toThrow(/^git -c failed/);
  });

  it("and a machine without git, are errors that say so", async () => {
    const path = process.env["PATH"];
    const only = join(base, "bin");
    mkdirSync(only);
    execFileSync("ln", ["-s", execFileSync("which", ["sh"], { encoding: "utf8" }).trim(), join(only, "sh")]);
    process.env["PATH"] = only;
    try {
      await expect(sinkOf().newest(signal)).rejects.toThrow("git init failed: git is not installed");
    } finally {
      process.env["PATH"] = path;
    }
  });
});

/** Command lines of all processes. */
function processes(): string {
  return execFileSync("ps", ["-eo", "args"], { encoding: "utf8" });
}
