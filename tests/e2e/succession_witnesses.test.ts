import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Witness } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type HttpWitness, openHttpWitness } from "../fixtures/http_witness.ts";
import { cli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** What witnesses hold of a log that was ended, and of its successor: a real repository, a real HTTP service. */

/** A git remote has one copy every 10 s at most. */
const COPIES_MS = 120_000;
/** Several copies follow each other, with the repository's pause between two. */
const LONG_MS = 360_000;

let base: string;
let remote: string;
let http: HttpWitness;
/** Keys that the service was given. */
let vkeys: string[];
let server: TestServer;

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), "gsw-"));
  remote = join(base, "w.git");
  execFileSync("git", ["init", "--quiet", "--bare", remote]);
  vkeys = [];
  http = await openHttpWitness(() => vkeys);
});
afterEach(async () => {
  await server?.dispose();
  await http?.close();
  rmSync(base, { recursive: true, force: true });
});

async function begin(witnesses: object[]): Promise<void> {
  const config = { witnesses };
  writeFileSync(join(base, "gantry.yaml"), JSON.stringify(config));
  server = await startServer({ config: { ...config, warm_runners: 1 } });
  vkeys = await keysNow();
}
const keysNow = async (): Promise<string[]> =>
  (await (await server.request("/log/keys", { token: null })).text()).trimEnd().split("\n");
const checkpoint = async (): Promise<string> => (await server.request("/log/checkpoint", { token: null })).text();
const originOf = (note: string): string => note.split("\n")[0] ?? "";
const sizeOf = (note: string): number => Number(note.split("\n")[1]);
const git = (...args: string[]): string =>
  execFileSync("git", ["--git-dir", remote, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
/** Every copy that the branch has, the newest first. */
const copiesInGit = (): string[] =>
  git("rev-list", "checkpoints")
    .trimEnd()
    .split("\n")
    .map((commit) => git("show", `${commit}:checkpoint`));

/** Runs a program and waits until its entries are sealed. @returns the newest checkpoint */
async function grow(): Promise<string> {
  const { id } = await server.json<{ id: string }>("/v1/runs", {
    json: { code: { source: "export default () => 1" } },
  });
  await eventually(async () => {
    const { items } = await server.json<{ items: { sealed: boolean }[] }>(`/v1/evidence/entries?ref=${id}`);
    return items.every(({ sealed }) => sealed);
  }, "the run to be sealed");
  return checkpoint();
}
const told = async (): Promise<Witness[]> => (await server.json<{ items: Witness[] }>("/v1/evidence/witnesses")).items;
/** @returns what they hold then */
async function allHaveTheNewest(): Promise<string> {
  let note = "";
  await eventually(
    async () => {
      note = await checkpoint();
      return (await told()).every(({ size, lag_ms, error }) => size === sizeOf(note) && lag_ms === 0 && error === null);
    },
    "all witnesses to have the newest",
    COPIES_MS,
  );
  return note;
}

async function said(code: number, ...args: string[]): Promise<string> {
  const out = await cli(args);
  expect(out.code, out.stdout + out.stderr).toBe(code);
  return out.stdout + out.stderr;
}
const at = (): string[] => ["--data", server.data, "--config", join(base, "gantry.yaml")];
/** The copy that was made under this name, in the place of the data directory, of which nothing is left. */
async function loseAllBut(backup: string): Promise<string> {
  await server.kill();
  rmSync(server.data, { recursive: true });
  return said(0, "restore", join(base, backup), ...at());
}
function saved(name: string, text: string): string {
  writeFileSync(join(base, name), text);
  return join(base, name);
}

describe("a log that was ended, at a git remote and a webhook", () => {
  it(
    "is quoted from the remote; its successor reaches both, and what they hold of the old log stays there",
    async () => {
      await begin([{ git: remote }, { webhook: http.url }]);
      await grow();
      const within = await allHaveTheNewest();
      await said(0, "backup", join(base, "b"), "--data", server.data);
      const old_bundle = join(base, "old.bundle");
      await said(0, "evidence", "export", "--since", "1d", "-o", old_bundle, "--data", server.data);
      const old_keys = saved("old.pub", `${vkeys.join("\n")}\n`);
      await grow();
      const lost = await allHaveTheNewest();
      const origin = originOf(lost);
      const tip = git("rev-parse", "checkpoints").trim();

      const restored = (await loseAllBut("b")).replace(/\s+/g, " ");
      expect(restored).toContain(`was seen signed up to ${sizeOf(lost)}`);
      expect(restored).toContain(`the witness git:${remote}`);
      await server.restart();
      expect((await server.request("/readyz")).status).toBe(503);
      await server.stop();
      const succeeded = await said(0, "evidence", "succeed", "--reason", "A test.", "--json", ...at());
      const done = JSON.parse(succeeded.split("\n").find((line) => line.startsWith("{")) ?? "") as {
        old: { size: number };
        new: { origin: string; vkey: string };
        seen: { size: number; where: string }[];
      };
      expect(done.seen[0]).toMatchObject({ size: sizeOf(lost), where: expect.stringContaining(remote) });
      expect(done.old.size).toBeLessThan(sizeOf(lost));

      // A service that checks signatures knows the old key alone, until somebody gives it the new one.
      await server.restart();
      await eventually(async () => (await told()).some(({ error }) => error?.includes("403") === true), "the refusal");
      expect(http.note()).toBe(lost);
      vkeys = await keysNow();
      expect(vkeys).toContain(done.new.vkey);
      const newest = await allHaveTheNewest();
      expect(originOf(newest)).toBe(done.new.origin);
      expect([http.note(done.new.origin), http.note(origin)]).toEqual([newest, lost]);
      expect(http.offered.find(({ origin: of, status }) => of === done.new.origin && status === 200)?.old).toBe(0);
      const copies = copiesInGit();
      expect(copies[0]).toBe(newest);
      expect(copies).toContain(lost);
      git("merge-base", "--is-ancestor", tip, "checkpoints"); // it was not forced

      // An auditor, with what they have and what the witnesses give out.
      expect(await said(0, "evidence", "verify", old_bundle, "--key", old_keys)).toContain("verified");
      expect(copies).toContain(within);
      // A file with copies of both logs is asked for those of the bundle's own: here of its size, and of a larger one.
      const both = ["evidence", "verify", old_bundle, "--key", old_keys, "--checkpoint"];
      await said(0, ...both, saved("both.txt", `${within}\n${newest}\n`));
      expect(await said(2, ...both, saved("larger.txt", `${lost}\n${newest}\n`))).toContain("consistency");
      await said(0, "evidence", "audit", "--checkpoint", saved("within", within), "--data", server.data);
      await said(0, "evidence", "audit", "--checkpoint", saved("newest", newest), "--data", server.data);
      expect(await said(1, "evidence", "audit", "--checkpoint", saved("lost", lost), "--data", server.data)).toContain(
        "has succeeded at",
      );
      const bundle = join(base, "new.bundle");
      const checked = ["evidence", "verify", bundle, "--checkpoint", saved("copy", copies[0] ?? "")];
      await said(0, "evidence", "export", "--since", "1d", "-o", bundle, "--data", server.data);
      expect(await said(0, ...checked, "--key", saved("new.pub", `${done.new.vkey}\n`))).toContain("verified");
    },
    LONG_MS,
  );
});

describe("a webhook that holds more of the log than the store", () => {
  it(
    "is not talked out of it: an old copy that goes on is refused, and the successor is taken beside it",
    async () => {
      await begin([{ webhook: http.url }]);
      await grow();
      await said(0, "backup", join(base, "b"), "--data", server.data);
      await grow();
      await grow();
      const lost = await allHaveTheNewest();
      const origin = originOf(lost);

      // It does not say what it holds when it is asked, so that nothing keeps the old copy from going on.
      expect((await loseAllBut("b")).replace(/\s+/g, " ")).toContain("nobody could be asked");
      await server.restart();
      expect((await server.request("/readyz")).status).toBe(200);
      let note = "";
      do note = await grow();
      while (sizeOf(note) <= sizeOf(lost));
      const offered = () => http.offered.filter(({ origin: of, size }) => of === origin && size > sizeOf(lost));
      // First from the size that the copy knows of, then, once it is told a larger one, with a proof from there.
      await eventually(() => offered().some(({ status: said }) => said === 422), "the refusal of the proof", COPIES_MS);
      expect(offered().filter(({ status: said }) => said === 200)).toEqual([]);
      await eventually(
        async () => (await told()).some(({ error }) => error?.includes("422") === true),
        "it to be told",
      );
      expect(http.note(origin)).toBe(lost);

      await server.stop();
      const succeeded = await said(0, "evidence", "succeed", "--reason", "A fork.", "--json", ...at());
      expect(succeeded).toContain(origin);
      await server.restart();
      vkeys = await keysNow();
      await grow();
      const newest = await allHaveTheNewest();
      expect(originOf(newest)).not.toBe(origin);
      expect([http.note(), http.note(origin)]).toEqual([newest, lost]);
    },
    LONG_MS,
  );
});
