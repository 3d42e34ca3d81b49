import { spawnSync } from "node:child_process";
import { appendFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeEntry, makeStatement, NaiveLog, newSigner } from "../../../tests/fixtures/evidence_material.ts";
import { runProgram } from "../program.ts";
import { tempDirectory, testTerminal } from "../testing.ts";

const signer = newSigner("example.com/log");
const entries = Array.from({ length: 12 }, (_, n) => makeEntry(n, { prompt: `p ${n}` }));
const log = new NaiveLog(entries, [signer]);
const fork = new NaiveLog(entries.with(2, makeEntry(2)), [signer]);

let directory: { path: string; remove(): Promise<void> };
beforeAll(async () => {
  directory = await tempDirectory();
});
afterAll(() => directory.remove());
const file = (name: string, content: string | Uint8Array) => writeFile(join(directory.path, name), content);
beforeEach(async () => {
  await file("log.pub", `${signer.vkey}\n`);
  await file("log.pem", signer.pem);
  await file("bundle", log.bundle([3, 4, 5], { fields: ["prompt"], from: 7 }));
});

/** No URL, no token, no data directory: whoever verifies has none. */
async function gantry(words: string[], stdin?: string) {
  const io = testTerminal({ cwd: directory.path, ...(stdin === undefined ? {} : { stdin }) });
  const exit = await runProgram(["evidence", "verify", ...words], io, { server: "", examples: "", version: "0" });
  return { exit, out: io.out(), err: io.err() };
}

describe("gantry evidence verify", () => {
  it("says what a bundle proves, and that a witness is missing", async () => {
    const { exit, out, err } = await gantry(["bundle", "--key", "log.pub"]);
    expect({ exit, err }).toEqual({ exit: 0, err: "" });
    expect(out).toContain("verified bundle\n");
    expect(out).toContain("example.com/log, 12 entries");
    expect(out).toMatch(/3 entries, index 3 to 5, without a gap/);
    expect(out).toMatch(/3 of 3 private values/);
    expect(out).toMatch(/warning No saved checkpoint was compared/);
  });

  it("says which proofs votes have, and nothing of votes where there are none", async () => {
    const vote = (n: number, data: object) => {
      const { id } = makeEntry(n);
      return { id, body: Buffer.from(JSON.stringify({ at: n, data, id, kind: "approval.voted", v: 1 })), private: {} };
    };
    const votes = new NaiveLog([vote(0, { proof_hash: "ab".repeat(32) }), vote(1, {})], [signer]);
    await file("votes", votes.bundle([0, 1]));
    await file("voted", votes.bundle([0]));
    const row = async (name: string) => (await gantry([name, "--key", "log.pub"])).out.replaceAll(/\s+/g, " ");
    expect(await row("votes")).toContain(
      "votes 2 votes: 1 with a service proof, which is the server's word and is not judged here; " +
        "1 without a proof of a known kind",
    );
    expect(await row("voted")).toMatch(/votes 1 vote: 1 with a service proof, [^;]*not judged here warning/);
    expect(await row("bundle")).not.toContain("vote");
    const { out } = await gantry(["votes", "--key", "log.pub", "--json"]);
    expect(JSON.parse(out)).toMatchObject({ bundle: { votes: { count: 2, service: 1, unproved: 1 } } });
  });

  it("names the stretches that a bundle does not show", async () => {
    await file("gaps", log.bundle([1, 2, 4, 9]));
    const { out } = await gantry(["gaps", "--key", "log.pem"]);
    expect(out).toMatch(/4 entries between index 1 and 9/);
    expect(out).toMatch(/index 3, 5 to 8: what is there, this bundle does not say/);
    await file("none", log.bundle([]));
    expect((await gantry(["none", "--key", "log.pem"])).out).toMatch(/proves the checkpoint alone/);
  });

  it("judges proofs, checkpoints and statements, from standard input too", async () => {
    expect(await gantry(["-", "--key", "log.pub"], log.proof(4))).toMatchObject({
      exit: 0,
      out: expect.stringMatching(/verified proof.*at\s+index 4/s),
    });
    expect(await gantry(["-", "--key", "log.pub"], log.checkpoint())).toMatchObject({
      exit: 0,
      out: expect.stringContaining("verified checkpoint"),
    });
    const subjects = Array.from({ length: 9 }, (_, n) => ({ name: `s${n}`, digest: { sha256: "00" } }));
    const payload = JSON.stringify({
      _type: "https://in-toto.io/Statement/v1",
      subject: subjects,
      predicateType: "urn:gantry:run:v1",
      predicate: {},
    });
    const { exit, out } = await gantry(["-", "--key", "log.pub"], makeStatement(payload, [signer]));
    expect(exit).toBe(0);
    expect(out).toContain("s7 sha256:00");
    expect(out).toContain("and 1 more");
  });

  it("what is bad exits 1, with check, index and entry", async () => {
    const bundle = log.bundle([3, 4], {
      tamper: (lines) => {
        lines[2] = lines[2]!.replace(/"leaf":"[^"]*"/, `"leaf":"${entries[5]!.body.toString("base64")}"`);
      },
    });
    await file("bad", bundle);
    const { exit, out } = await gantry(["bad", "--key", "log.pub"]);
    expect(exit).toBe(1);
    expect(out).toContain(`bad bundle: inclusion, entry ${entries[5]!.id} at index 4, line 3\n`);
    expect(out).not.toContain("warning");
    const json = await gantry(["bad", "--key", "log.pub", "--json"]);
    expect(json.exit).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({ verdict: "bad", problem: { check: "inclusion", index: 4, line: 3 } });
  });

  it("what cannot be judged exits 2", async () => {
    const { path } = directory;
    await truncate(join(path, "bundle"), 2_000);
    expect(await gantry(["bundle", "--key", "log.pub"])).toMatchObject({
      exit: 2,
      out: expect.stringMatching(/^unusable bundle: truncated, line \d/),
    });
    expect(await gantry(["log.pub", "--key", "log.pub"])).toMatchObject({ exit: 2 });
    expect(await gantry(["missing", "--key", "log.pub"])).toMatchObject({
      exit: 2,
      err: expect.stringContaining("missing cannot be read: there is no such file."),
    });
    expect(await gantry([".", "--key", "log.pub"])).toMatchObject({
      exit: 2,
      err: expect.stringContaining("directory"),
    });
  });

  it("a key that cannot be used exits 2: none, a missing one, a private one, one that is too long", async () => {
    await file("private", signer.private_key.export({ format: "pem", type: "pkcs8" }));
    await file("long", "#".repeat(70_000));
    expect(await gantry(["bundle"])).toMatchObject({
      exit: 2,
      err: expect.stringContaining("npx gantry evidence key"),
    });
    expect(await gantry(["bundle", "--key", "absent"])).toMatchObject({ exit: 2 });
    expect(await gantry(["bundle", "--key", "private"])).toMatchObject({
      exit: 2,
      out: expect.stringMatching(/^unusable: key\n.*private holds a private\s+key/),
    });
    expect(await gantry(["bundle", "--key", "long"])).toMatchObject({ exit: 2 });
  });

  it("several keys are all trusted, in one file and in several", async () => {
    const next = newSigner(signer.name);
    await file("next.pub", `${next.vkey}\n`);
    await file("rotated", new NaiveLog(entries, [signer, next]).checkpoint());
    const { out } = await gantry(["rotated", "--key", "log.pub", "--key", "next.pub", "--json"]);
    expect(JSON.parse(out).log.signers).toHaveLength(2);
    await file("after", new NaiveLog(entries, [next]).checkpoint());
    expect(await gantry(["after", "--key", "log.pub"])).toMatchObject({ exit: 1 });
    expect(await gantry(["after", "--key", "next.pub"])).toMatchObject({ exit: 0 });
  });

  it("a saved checkpoint must be of the same history", async () => {
    await file("saved", log.checkpoint(7));
    const same = await gantry(["bundle", "--key", "log.pub", "--checkpoint", "saved"]);
    expect(same).toMatchObject({ exit: 0, out: expect.stringContaining("entries were only appended") });
    expect(same.out).not.toContain("warning");
    await file("saved", fork.checkpoint(7));
    expect(await gantry(["bundle", "--key", "log.pub", "--checkpoint", "saved"])).toMatchObject({
      exit: 1,
      out: expect.stringContaining("bad bundle: consistency"),
    });
    await file("saved", log.checkpoint(9));
    const without = await gantry(["bundle", "--key", "log.pub", "--checkpoint", "saved"]);
    expect(without).toMatchObject({ exit: 2, out: expect.stringContaining("needs a consistency proof") });
    await file("proof", JSON.stringify({ from: { size: 9 }, to: { size: 12 }, proof: log.consistency(9) }));
    const words = ["bundle", "--key", "log.pub", "--checkpoint", "saved", "--consistency", "proof"];
    expect(await gantry(words)).toMatchObject({ exit: 0 });
  });

  it("of a witness's file, however long it grew, the end counts", async () => {
    await file("witness", `${fork.checkpoint(3)}\n`.repeat(1_000));
    await appendFile(join(directory.path, "witness"), `${log.checkpoint(7)}\n`);
    expect(await gantry(["bundle", "--key", "log.pub", "--checkpoint", "witness"])).toMatchObject({
      exit: 0,
      out: expect.stringContaining("the saved checkpoint of 7 entries"),
    });
  });

  it("prints nothing of a hostile file that moves the cursor", async () => {
    const hostile = newSigner("evil\u001b[2J");
    const named = new NaiveLog([makeEntry(0)], [{ ...hostile, name: "evil\u009b2J" }]);
    await file("evil.pem", hostile.pem);
    const { out } = await gantry(["-", "--key", "evil.pem"], named.checkpoint());
    expect(out).not.toMatch(/[\u001b\u009b]/);
  });
});

it("the built program reads a pipe, without a home and without an environment", async () => {
  const bin = new URL("../../../bin/gantry.mjs", import.meta.url).pathname;
  const run = (input: string | Buffer) =>
    spawnSync(process.execPath, [bin, "evidence", "verify", "-", "--key", "log.pub", "--json"], {
      cwd: directory.path,
      env: {},
      input,
      encoding: "utf8",
    });
  const verified = run(log.bundle([1, 2, 3]));
  expect({ status: verified.status, stderr: verified.stderr }).toEqual({ status: 0, stderr: "" });
  expect(JSON.parse(verified.stdout)).toMatchObject({ verdict: "verified", bundle: { count: 3 } });
  expect(run(Buffer.alloc(9_000_000)).status).toBe(2);
});
