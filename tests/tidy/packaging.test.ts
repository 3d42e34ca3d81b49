import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { instructionsOf } from "../../scripts/dockerfile.mjs";
import { need } from "../fixtures/need.ts";
import { ROOT, read } from "./source.ts";

/** Exposure as `systemd-analyze security` counts it, in tenths: 0 is none, 100 the most. What the jail needs costs the unit these. */
const EXPOSURE_TENTHS_MAX = 30;

interface Rule {
  says: string;
  /** Lines of the Dockerfile that break it. */
  broken(instructions: ReturnType<typeof instructionsOf>, ignored: string[]): number[];
}

/** Names of stages, which stand where an image's name would. */
const stagesOf = (all: ReturnType<typeof instructionsOf>) =>
  all.flatMap(({ name, text }) => (name === "FROM" ? (/ AS (\S+)$/i.exec(text)?.[1] ?? []) : []));
const linesOf = (all: ReturnType<typeof instructionsOf>, isBroken: (one: { name: string; text: string }) => boolean) =>
  all.filter(isBroken).map(({ line }) => line);
const last = (all: ReturnType<typeof instructionsOf>, named: string) => all.findLast(({ name }) => name === named);
/** What a COPY takes from the repository. */
const copied = (text: string) =>
  text.includes("--from=")
    ? []
    : text
        .split(/\s+/)
        .filter((word) => !word.startsWith("--"))
        .slice(0, -1);

const RULES: Rule[] = [
  {
    says: "each base is pinned to a version",
    broken: (all) =>
      linesOf(all, ({ name, text }) => {
        const image = text.split(/\s+/)[0] ?? "";
        return name === "FROM" && !stagesOf(all).includes(image) && !/:\d+\.\d+\.\d+|@sha256:[0-9a-f]{64}$/.test(image);
      }),
  },
  { says: "nothing is fetched by ADD", broken: (all) => linesOf(all, ({ name }) => name === "ADD") },
  {
    says: "packages are listed, installed and their lists removed in one step, without what they only recommend",
    broken: (all) =>
      linesOf(all, ({ name, text }) => {
        if (name !== "RUN" || !/apt(-get)? /.test(text)) return false;
        const parts = [/apt-get update/, /apt-get install -y --no-install-recommends/, /rm -rf \/var\/lib\/apt\/lists/];
        return !parts.every((part) => part.test(text));
      }),
  },
  {
    says: "what runs is not root, by number",
    broken: (all) => {
      const from = last(all, "FROM")?.line ?? 0;
      const user = last(all, "USER");
      return user !== undefined && user.line > from && /^[1-9]\d*:[1-9]\d*$/.test(user.text) ? [] : [user?.line ?? 0];
    },
  },
  {
    says: "commands are in exec form, and the last stage has one",
    broken: (all) => [
      ...linesOf(all, ({ name, text }) => /^(CMD|ENTRYPOINT)$/.test(name) && !text.startsWith("[")),
      ...linesOf(all, ({ name, text }) => name === "HEALTHCHECK" && !/CMD \[/.test(text)),
      ...(last(all, "CMD") === undefined ? [0] : []),
    ],
  },
  {
    says: "no secret is built in",
    broken: (all) =>
      linesOf(all, ({ name, text }) => /^(ENV|ARG)$/.test(name) && /token|passw|secret|credential|_key\b/i.test(text)),
  },
  {
    says: "what is copied is there, and is not left out of the context",
    broken: (all, ignored) =>
      linesOf(all, ({ name, text }) => {
        const isWanted = (path: string) =>
          existsSync(ROOT + path) &&
          ignored.some((line) => line === `!${path}` || path.startsWith(`${line.slice(1)}/`));
        return name === "COPY" && !copied(text).every(isWanted);
      }),
  },
];

const ignored = read("packaging/Dockerfile.dockerignore").split("\n");
const dockerfile = read("packaging/Dockerfile");

describe("the Dockerfile", () => {
  it.each(RULES)("holds: $says", ({ broken }) => {
    expect(broken(instructionsOf(dockerfile), ignored)).toEqual([]);
  });

  it.each<[planted: string, says: RegExp, line: number]>([
    ['FROM node:latest AS build\nCMD ["a"]\nUSER 1:1', /pinned/, 1],
    ['FROM node:20\nCMD ["a"]', /pinned/, 1],
    ["FROM node:20.20.2\nADD https://example.com/a /a", /ADD/, 2],
    ["FROM node:20.20.2\nRUN apt-get update\nRUN apt-get install -y curl", /lists removed/, 2],
    ['FROM a:1.2.3 AS b\nUSER 1:1\nFROM b\nCMD ["a"]', /not root/, 2],
    ["FROM a:1.2.3\nUSER root", /not root/, 2],
    ["FROM a:1.2.3\n# the command\nCMD node \\\n  server.js", /exec form/, 3],
    ["FROM a:1.2.3\nENV API_TOKEN=x", /secret/, 2],
    ["FROM a:1.2.3\nCOPY package.json no/such.json ./", /is there/, 2],
    ["FROM a:1.2.3\nCOPY docs docs", /is there/, 2],
  ])("would be caught: %j", (planted, says, line) => {
    const rule = RULES.find((each) => says.test(each.says));
    expect(rule?.broken(instructionsOf(planted), ignored)).toContain(line);
  });

  it("leaves out of its context what a working copy holds and an image must not", () => {
    expect(ignored).toContain("*");
    for (const kept of ["!node_modules", "!.git", "!.gantry", "!dist", "!tests"]) expect(ignored).not.toContain(kept);
  });
});

describe("the unit", () => {
  const analyze = "/usr/bin/systemd-analyze";
  const missing = existsSync(analyze) ? undefined : `no ${analyze}`;
  /** Its programs are where a service looks for them; here, Node may lie elsewhere. */
  function judged(args: string[], text = read("packaging/gantry.service")) {
    const directory = mkdtempSync(join(tmpdir(), "gu-"));
    try {
      const path = join(directory, "gantry.service");
      writeFileSync(path, text.replaceAll("/usr/bin/node", process.execPath));
      return spawnSync(analyze, [...args, path], { encoding: "utf8", env: { ...process.env, SYSTEMD_COLORS: "0" } });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  it("is one that systemd reads without a word", (context) => {
    need(context, "systemd", missing);
    const { status, stdout, stderr } = judged(["verify"]);
    // Units of this machine that it looks at on the way are not ours.
    const said = `${stdout}${stderr}`.split("\n").filter((line) => line.includes("gantry"));
    expect({ status, said }).toEqual({ status: 0, said: [] });
    const { stderr: misspelt } = judged(["verify"], read("packaging/gantry.service").replace("KillMode=", "KilMode="));
    expect(misspelt).toMatch(/Unknown key.*'KilMode'/);
  });

  it(`is exposed to ${EXPOSURE_TENTHS_MAX / 10} of 10 at most, which is what the jail needs`, (context) => {
    need(context, "systemd", missing);
    const args = ["security", "--offline=true", "--no-pager", `--threshold=${EXPOSURE_TENTHS_MAX}`];
    const { status, stdout } = judged(args);
    expect(stdout).toContain("Overall exposure level for gantry.service");
    expect(status, stdout).toBe(0);
    const bare = "[Service]\nExecStart=/usr/bin/node\n";
    expect(judged(args, bare).status).toBe(1);
  });

  it("waits longer for a stop than the server drains, and says what the image says", () => {
    const unit = read("packaging/gantry.service");
    const timeout_s = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]);
    const drain_ms = Number(
      /drain_ms: from_file\.drain_ms \?\? ([\d_]+)/.exec(read("server/src/config.ts"))?.[1]?.replaceAll("_", ""),
    );
    expect(timeout_s * 1_000).toBeGreaterThan(2 * drain_ms);
    const option = /--max-semi-space-size=\d+/;
    const told = [unit, dockerfile, read("cli/src/installation.ts")].map((text) => option.exec(text)?.[0]);
    expect(new Set(told).size).toBe(1);
  });
});
