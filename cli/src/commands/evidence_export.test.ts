import { createHash, createPublicKey } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { type StubRequest, stubServer, tempDirectory, testTerminal } from "../testing.ts";

let home: { path: string; remove(): Promise<void> };
const closers: (() => Promise<void>)[] = [];
beforeEach(async () => {
  home = await tempDirectory();
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await home.remove();
});

type Answer = (request: StubRequest, response: ServerResponse) => [number, unknown] | undefined;
async function run(answer: Answer, ...words: string[]) {
  const server = await stubServer(answer);
  closers.push(server.close);
  const io = testTerminal({ cwd: home.path, env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" } });
  const exit = await runProgram(words, io, { server: "", examples: "", version: "0" });
  return { exit, out: io.out(), err: io.err(), seen: server.seen };
}
const text =
  (body: string): Answer =>
  (_request, response) => {
    response.end(body);
    return undefined;
  };
const file = (name: string) => readFile(join(home.path, name), "utf8");

const root = `${"A".repeat(43)}=`;
const note = `example/log\n42\n${root}\n\n— example/log BBBB\n`;
function bundle(): string {
  const header = JSON.stringify({ v: 1, origin: "example/log", checkpoint: note, count: 1, opened: [] });
  const before = `${header}\n${JSON.stringify({ i: 3, leaf: "", path: [] })}\n`;
  return `${before}${JSON.stringify({ count: 1, sha256: createHash("sha256").update(before).digest("hex") })}\n`;
}

describe("gantry evidence export", () => {
  const words = (...more: string[]) => ["evidence", "export", "-o", "b", ...more];

  test("keeps the bundle as it came, and says what it is and how to verify it", async () => {
    const { exit, out, err, seen } = await run(text(bundle()), ...words("--run", "run_1", "--ref", "act_1"));
    expect(exit).toBe(0);
    expect(await file("b")).toBe(bundle());
    expect(out).toContain("b: 1 entry of the log example/log, proved at its size 42");
    expect(err).toContain("npx gantry evidence verify b --key log.pub");
    expect(JSON.parse(seen[0]?.body ?? "")).toEqual({ refs: ["run_1", "act_1"] });
  });

  test("asks by time or by range, opens fields, proves a saved checkpoint; a bundle with opened values is closed to others", async () => {
    await writeFile(join(home.path, "saved"), `other\n7\n${root}\n\n— other CCCC\n${note}`);
    const range = await run(text(bundle()), ...words("--from", "0", "--to", "9", "--checkpoint", "saved", "--json"));
    expect(JSON.parse(range.seen[0]?.body ?? "")).toEqual({ range: { from: 0, to: 9 }, consistency_from: 42 });
    expect(JSON.parse(range.out)).toEqual({
      file: "b",
      bytes: Buffer.byteLength(bundle()),
      entries: 1,
      origin: "example/log",
      size: 42,
    });
    const since = await run(text(bundle()), ...words("--since", "2026-01-31", "--open", "why", "--open", "prompt"));
    expect(JSON.parse(since.seen[0]?.body ?? "")).toEqual({ since: 1_769_817_600_000, open: ["why", "prompt"] });
    expect((await stat(join(home.path, "b"))).mode & 0o077).toBe(0);
  });

  test.each([
    [["--run", "r", "--since", "1h"], "One bundle is asked for in one way"],
    [[], "Say what to export"],
    [["--from", "1"], "--from and --to go together"],
    [["--from", "x", "--to", "1"], "--from takes a whole number"],
    [["--run", "r", "--checkpoint", "none"], "none cannot be read: there is no such file"],
  ])("%j is refused before anything is asked", async (more, sentence) => {
    const { exit, err, seen } = await run(text(""), ...words(...more));
    expect(exit).toBe(2);
    expect(err).toContain(sentence);
    expect(seen).toHaveLength(0);
  });

  test("a bundle that breaks off, or whose trailer does not fit, leaves nothing, and what was there stays", async () => {
    await writeFile(join(home.path, "b"), "old");
    const cut = await run(text(bundle().slice(0, -20)), ...words("--run", "r"));
    expect(cut).toMatchObject({ exit: 6, out: "" });
    expect(cut.err).toContain("did not arrive whole");
    const lost = await run(
      (_request, response) => {
        response.writeHead(200, { "content-length": "1000" });
        response.write(bundle(), () => response.destroy());
        return undefined;
      },
      ...words("--run", "r"),
    );
    expect(lost.exit).toBe(6);
    const problem = { type: "", status: 409, code: "EVIDENCE_NOT_SEALED", title: "t", detail: "Not yet." };
    const refused = await run(() => [409, problem], ...words("--run", "r", "--json"));
    expect(refused.exit).toBe(2);
    expect(JSON.parse(refused.out)).toMatchObject({ code: "EVIDENCE_NOT_SEALED" });
    expect(await file("b")).toBe("old");
    expect(await readdir(home.path)).toEqual(["b"]);
  });
});

describe("gantry evidence checkpoint", () => {
  test("saves the note to the letter, and says size and time", async () => {
    const { exit, out, err } = await run(text(note), "evidence", "checkpoint", "-o", "saved");
    expect(exit).toBe(0);
    expect(await file("saved")).toBe(note);
    expect(out).toBe("");
    expect(err).toMatch(/^saved: log example\/log, size 42, taken at \d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}Z\n$/);
    expect((await run(text(note), "evidence", "checkpoint")).out).toBe(note);
    const json = JSON.parse((await run(text(note), "evidence", "checkpoint", "--json")).out);
    expect(json).toMatchObject({ origin: "example/log", size: 42, root, note });
    const wrong = await run(text("hello"), "evidence", "checkpoint", "-o", "other");
    expect(wrong.exit).toBe(6);
    expect(await readdir(home.path)).toEqual(["saved"]);
  });
});

describe("gantry evidence key", () => {
  const vkeys = [
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "example.com/foo+530d903b+AdVIkMU0TNsLlf9wEX69/+6QCHdcmcMvMZGwO8zjv/Rf",
  ];

  test("prints vkey lines, or the newest as PEM that openssl reads", async () => {
    const keys = text(vkeys.map((key) => `${key}\n`).join(""));
    expect((await run(keys, "evidence", "key")).out).toBe(vkeys.map((key) => `${key}\n`).join(""));
    expect(JSON.parse((await run(keys, "evidence", "key", "--json")).out)).toEqual({ keys: vkeys });
    const only = text(`${vkeys[0]}\n`);
    const { out } = await run(only, "evidence", "key", "--pem");
    const { x } = createPublicKey(out).export({ format: "jwk" });
    expect(Buffer.from(x ?? "", "base64url").toString("base64")).toBe(
      Buffer.from("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "base64").subarray(1).toString("base64"),
    );
    expect(await run(text(""), "evidence", "key")).toMatchObject({ exit: 5, out: "" });
  });

  test("of statements is another one", async () => {
    const { out, seen } = await run(
      () => [200, { keyid: "ab", public_key: "PEM\n" }],
      "evidence",
      "key",
      "--statement",
    );
    expect(out).toBe("PEM\n");
    expect(seen[0]?.url).toBe("/v1/evidence/statement-key");
  });

  test("is rotated only by a person, or with --yes", async () => {
    const answer = { old: "a", new: "b", entry: "ent_1" };
    const asked = await run(() => [201, answer], "evidence", "key", "rotate");
    expect(asked).toMatchObject({ exit: 2, seen: [] });
    expect(asked.err).toContain("--yes");
    const { exit, out, seen } = await run(() => [201, answer], "evidence", "key", "rotate", "--yes");
    expect(exit).toBe(0);
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual(["POST /v1/evidence/keys"]);
    expect(out).toBe("old    a\nnew    b\nentry  ent_1\n");
    expect((await run(() => [201, answer], "evidence", "key", "turn")).exit).toBe(2);
  });
});

describe("gantry evidence statement and proof", () => {
  test("go to a file or to the terminal", async () => {
    const envelope = { payloadType: "t", payload: "p", signatures: [] };
    const shown = await run(() => [200, envelope], "evidence", "statement", "run_1");
    expect(JSON.parse(shown.out)).toEqual(envelope);
    const kept = await run(() => [200, envelope], "evidence", "statement", "run_1", "-o", "s", "--json");
    expect(JSON.parse(await file("s"))).toEqual(envelope);
    expect(JSON.parse(kept.out)).toEqual({ file: "s", bytes: (await file("s")).length });
    const proof = await run(text("c2sp\n"), "evidence", "proof", "ent_1", "-o", "p");
    expect(await file("p")).toBe("c2sp\n");
    expect(proof.out).toBe("p: 5 bytes\n");
    expect(JSON.parse((await run(text("c2sp\n"), "evidence", "proof", "ent_1", "--json")).out)).toEqual({
      proof: "c2sp\n",
    });
  });
});

describe("gantry timeline", () => {
  test("is Markdown, or JSON, on the terminal or in a file", async () => {
    const { out, seen } = await run(text("# T\u001b[2J\n"), "timeline", "run_1");
    expect(out).toBe("# T\\x1b[2J\n");
    expect(seen[0]?.url).toBe("/v1/timelines/run_1?format=md");
    const since = await run(text("# T\n"), "timeline", "--since", "2026-01-31", "-o", "t.md");
    expect(since.seen[0]?.url).toBe("/v1/timelines?since=1769817600000&format=md");
    expect(await file("t.md")).toBe("# T\n");
    const json = await run(() => [200, { v: 1 }], "timeline", "run_1", "--json");
    expect(JSON.parse(json.out)).toEqual({ v: 1 });
  });

  test.each([[[]], [["run_1", "--since", "1h"]], [["--since", "soon"]]])("%j is refused", async (words) => {
    expect(await run(text(""), "timeline", ...words)).toMatchObject({ exit: 2, seen: [] });
  });
});
