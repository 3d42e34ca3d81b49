import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeEntry, makeStatement, NaiveLog, newSigner, signNote } from "../../../tests/fixtures/evidence_material.ts";
import { CONSISTENCY_CHARS_MAX } from "./checkpoint.ts";
import { BODY_BYTES_MAX } from "./entry.ts";
import { PATH_HASHES_MAX } from "./merkle.ts";
import { ENVELOPE_SIGNATURES_MAX, STATEMENT_SUBJECTS_MAX } from "./statement.ts";
import { parseKeys, type VerifyOptions, verify, WHOLE_BYTES_MAX } from "./verify.ts";

const signer = newSigner("example.com/log");
const keys = parseKeys(signer.vkey);
const entries = Array.from({ length: 30 }, (_, n) => makeEntry(n));
const log = new NaiveLog(entries, [signer]);

const judge = (content: string | Buffer, options: Partial<VerifyOptions> = {}) => {
  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.from(content);
  }
  return verify(chunks(), { keys, ...options });
};
const refused = (verdict: "bad" | "unusable", check: string) => ({
  verdict,
  problem: { check, detail: expect.stringMatching(/^[A-Z].*\.$/s) },
  warnings: [],
});

describe("what a file is, its content says:", () => {
  it("a bundle", async () => {
    expect(await judge(log.bundle([1, 2]))).toMatchObject({
      verdict: "verified",
      format: "bundle",
      log: { origin: signer.name, size: 30, signers: [expect.stringMatching(/^example.com\/log\+[0-9a-f]{8}$/)] },
      bundle: { count: 2 },
    });
  });

  it("a proof", async () => {
    expect(await judge(log.proof(7))).toMatchObject({
      verdict: "verified",
      format: "proof",
      proof: { index: 7, entry: entries[7]!.id, kind: "run.ended" },
    });
  });

  it("a checkpoint", async () => {
    expect(await judge(log.checkpoint())).toMatchObject({
      verdict: "verified",
      format: "checkpoint",
      log: { size: 30 },
    });
    const empty = new NaiveLog([], [signer]);
    expect(await judge(empty.checkpoint())).toMatchObject({ verdict: "verified", log: { size: 0 } });
  });

  it("a statement", async () => {
    const report = await judge(makeStatement(statement(), [signer]));
    expect(report).toMatchObject({
      verdict: "verified",
      format: "statement",
      statement: {
        predicate_type: "urn:gantry:run:v1",
        subjects: [{ name: "code", digest: { sha256: "00" } }],
        signatures: 1,
      },
    });
  });

  it.each([
    ["nothing", ""],
    ["text", "hello\n"],
    ["binary", Buffer.from([0, 1, 2, 0xff, 0x0a, 0])],
    ["a list", "[]"],
    ["a number", "1"],
    ["an object of nothing", "{}"],
    ["deep JSON", `{"a":${"[".repeat(100_000)}`],
    ["lines of Windows", log.checkpoint().replaceAll("\n", "\r\n")],
  ])("%s is unusable", async (_what, content) => {
    expect(await judge(content)).toMatchObject({ verdict: "unusable", problem: { check: "format" } });
  });

  it("without a key nothing is verified", async () => {
    expect(await judge(log.checkpoint(), { keys: [] })).toMatchObject(refused("unusable", "key"));
  });

  it(`what is read whole has at most WHOLE_BYTES_MAX bytes`, async () => {
    const padded = (bytes: number) => makeStatement(statement(), [signer]).padEnd(bytes, " ");
    expect(await judge(padded(WHOLE_BYTES_MAX))).toMatchObject({ verdict: "verified" });
    expect(await judge(padded(WHOLE_BYTES_MAX + 1))).toMatchObject(refused("unusable", "size"));
  });

  it("what cannot be read is no verdict", async () => {
    async function* failing(): AsyncGenerator<Uint8Array, void, undefined> {
      yield Buffer.from("{");
      throw new Error("the disk is gone");
    }
    await expect(verify(failing(), { keys })).rejects.toThrow("the disk is gone");
  });
});

describe("a checkpoint", () => {
  const root = Buffer.alloc(32, 1).toString("base64");
  it.each([
    ["an extension line", `${signer.name}\n5\n${root}\nmore\n`],
    ["a size with a zero in front", `${signer.name}\n05\n${root}\n`],
    ["a negative size", `${signer.name}\n-5\n${root}\n`],
    ["a size past 2^53", `${signer.name}\n9007199254740992\n${root}\n`],
    ["a short root", `${signer.name}\n5\nAAAA\n`],
    ["a root that is not canonical", `${signer.name}\n5\n${root.replace(/.=$/, "R=")}\n`],
    ["no origin", `\n5\n${root}\n`],
    ["two lines", `${signer.name}\n5\n`],
  ])("with %s is none, whoever signed it", async (_what, text) => {
    expect(await judge(signNote(text, [signer]))).toMatchObject(refused("unusable", "format"));
  });

  it("of an empty log has the empty root", async () => {
    expect(await judge(signNote(`${signer.name}\n0\n${root}\n`, [signer]))).toMatchObject(refused("bad", "root"));
  });

  it("of another log is not vouched for by this log's key", async () => {
    const other = signNote(`example.com/other\n5\n${root}\n`, [signer]);
    expect(await judge(other)).toMatchObject(refused("bad", "origin"));
    // A PEM has no name, so that its signature line must have the origin's.
    expect(await judge(other, { keys: parseKeys(signer.pem) })).toMatchObject(refused("bad", "signature"));
  });

  it("begins with its origin: a byte order mark would be part of it", async () => {
    expect(await judge(`\ufeff${log.checkpoint()}`)).toMatchObject(refused("bad", "signature"));
  });

  it("is found changed in any bit", async () => {
    const note = Buffer.from(log.checkpoint());
    for (let bit = 0; bit < note.byteLength * 8; bit++) {
      const copy = Buffer.from(note);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      expect((await judge(copy)).verdict, `bit ${bit}`).not.toBe("verified");
    }
  });
});

describe("a proof", () => {
  it("holds for every entry at every size", async () => {
    for (let size = 1; size <= 30; size += 7) {
      for (let index = 0; index < size; index++) {
        expect(await judge(log.proof(index, size))).toMatchObject({ verdict: "verified", proof: { index } });
      }
    }
  });

  it("is found changed in any bit", { timeout: 60_000 }, async () => {
    const proof = Buffer.from(new NaiveLog(entries.slice(0, 3), [signer]).proof(1));
    expect((await judge(proof)).verdict).toBe("verified");
    for (let bit = 0; bit < proof.byteLength * 8; bit++) {
      const copy = Buffer.from(proof);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      expect((await judge(copy)).verdict, `bit ${bit}`).not.toBe("verified");
    }
  });

  it("of another entry, index or tree is bad, and says which", async () => {
    const at = log.proof(7);
    expect(await judge(at.replace("index 7", "index 8"))).toMatchObject(refused("bad", "inclusion"));
    const report = await judge(at.replace(/extra .*/, `extra ${entries[8]!.body.toString("base64")}`));
    expect(report.problem).toMatchObject({ check: "inclusion", index: 7, entry: entries[8]!.id });
    const [path] = at.split("\n\n");
    expect(await judge(`${path}\n\n${log.checkpoint(9)}`)).toMatchObject(refused("bad", "inclusion"));
  });

  it.each([
    ["no extra", /extra .*\n/, "", "format"],
    ["no index", /index .*\n/, "", "format"],
    ["an index with a zero in front", "index 7", "index 07", "format"],
    ["a negative index", "index 7", "index -7", "format"],
    ["an extra that is no base64", /extra .*/, "extra !", "format"],
    ["another version", "@v1", "@v10", "format"],
    ["a line of the path too short", /index 7\n./, "index 7\n", "format"],
    ["no checkpoint", /\n\n.*$/s, "\n", "truncated"],
  ])("with %s is unusable", async (_what, from, to, check) => {
    expect(await judge(log.proof(7).replace(from, to))).toMatchObject(refused("unusable", check));
  });

  it("has at most PATH_HASHES_MAX hashes and an entry of BODY_BYTES_MAX bytes", async () => {
    const hash = `${Buffer.alloc(32).toString("base64")}\n`;
    const longer = (hashes: number) => log.proof(7).replace(/(index 7\n).*?\n\n/s, `$1${hash.repeat(hashes)}\n`);
    expect(await judge(longer(PATH_HASHES_MAX))).toMatchObject(refused("bad", "inclusion"));
    expect(await judge(longer(PATH_HASHES_MAX + 1))).toMatchObject(refused("unusable", "size"));
    const large = (bytes: number) =>
      log.proof(7).replace(/extra .*/, `extra ${Buffer.alloc(bytes).toString("base64")}`);
    expect(await judge(large(BODY_BYTES_MAX))).toMatchObject(refused("bad", "inclusion"));
    expect(await judge(large(BODY_BYTES_MAX + 1))).toMatchObject(refused("unusable", "size"));
  });
});

function statement(parts: Record<string, unknown> = {}): string {
  return JSON.stringify({
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: "code", digest: { sha256: "00" } }],
    predicateType: "urn:gantry:run:v1",
    predicate: { run: "run_1" },
    ...parts,
  });
}

describe("a statement", () => {
  const signed = (payload: string, type?: string) => makeStatement(payload, [signer], type);

  it("is signed by one of the given keys, whatever keyid says", async () => {
    const envelope = JSON.parse(signed(statement()));
    envelope.signatures[0].keyid = "somebody else";
    expect(await judge(JSON.stringify(envelope, null, 2))).toMatchObject({ verdict: "verified" });
    const other = parseKeys(newSigner("x").pem);
    expect(await judge(signed(statement()), { keys: other })).toMatchObject(refused("bad", "signature"));
    expect(await judge(signed(statement()), { keys: [...other, ...keys] })).toMatchObject({ verdict: "verified" });
  });

  it("with a changed payload, type or signature is bad", async () => {
    const envelope = JSON.parse(signed(statement()));
    const payload = Buffer.from(statement({ predicate: { run: "run_2" } })).toString("base64");
    for (const part of [
      { payload },
      { payloadType: "text/plain" },
      { signatures: [] },
      { signatures: [{ sig: "AAAA" }] },
    ]) {
      expect(await judge(JSON.stringify({ ...envelope, ...part }))).toMatchObject(refused("bad", "signature"));
    }
  });

  it("is no checkpoint, although the same key signs both", async () => {
    const note = log.checkpoint();
    const [text = ""] = note.split("\n\n");
    const sig = Buffer.from(note.trimEnd().split(" ").at(-1)!, "base64").subarray(4).toString("base64");
    const payload = Buffer.from(`${text}\n`).toString("base64");
    const envelope = { payloadType: "", payload, signatures: [{ keyid: "", sig }] };
    expect(await judge(JSON.stringify(envelope))).toMatchObject(refused("bad", "signature"));
  });

  it.each([
    ["another payload type", () => signed(statement(), "text/plain")],
    ["another statement type", () => signed(statement({ _type: "https://in-toto.io/Statement/v0.1" }))],
    ["no subjects", () => signed(statement({ subject: null }))],
    ["a subject without a name", () => signed(statement({ subject: [{ digest: { sha256: "" } }] }))],
    ["a subject without a digest", () => signed(statement({ subject: [{ name: "a", digest: {} }] }))],
    ["a digest that is a number", () => signed(statement({ subject: [{ name: "a", digest: { sha256: 1 } }] }))],
    ["no predicate", () => signed(statement({ predicate: null }))],
  ])("with %s is unusable, although it is signed", async (_what, make) => {
    expect(await judge(make())).toMatchObject(refused("unusable", "statement"));
  });

  it("has at most ENVELOPE_SIGNATURES_MAX signatures and STATEMENT_SUBJECTS_MAX subjects", async () => {
    const by = (n: number) =>
      makeStatement(
        statement(),
        Array.from({ length: n }, () => signer),
      );
    expect(await judge(by(ENVELOPE_SIGNATURES_MAX))).toMatchObject({ verdict: "verified" });
    expect(await judge(by(ENVELOPE_SIGNATURES_MAX + 1))).toMatchObject(refused("unusable", "size"));
    const of = (n: number) =>
      signed(statement({ subject: Array.from({ length: n }, () => ({ name: "a", digest: { sha256: "" } })) }));
    expect(await judge(of(STATEMENT_SUBJECTS_MAX))).toMatchObject({ verdict: "verified" });
    expect(await judge(of(STATEMENT_SUBJECTS_MAX + 1))).toMatchObject(refused("unusable", "statement"));
  });

  it("has nothing to compare with a saved checkpoint, and says that the log is not shown", async () => {
    const report = await judge(signed(statement()));
    expect(report.warnings.join()).toMatch(/signed by the server alone/);
    expect(await judge(signed(statement()), { saved: log.checkpoint() })).toMatchObject(
      refused("unusable", "consistency"),
    );
  });
});

describe("a saved checkpoint", () => {
  const answer = (from: number, to: number, parts: object = {}) =>
    JSON.stringify({ from: { size: from, note: "" }, to: { size: to }, proof: log.consistency(from, to), ...parts });

  it("that is missing is missed: whoever keeps the log could have two", async () => {
    for (const content of [log.bundle([1]), log.proof(1), log.checkpoint()]) {
      expect((await judge(content)).warnings.join()).toMatch(/proves nothing against the operator/);
      expect((await judge(content, { saved: log.checkpoint() })).warnings).toEqual([]);
    }
  });

  it("of the same size has the same root, or the log was forked", async () => {
    const saved = log.checkpoint(20);
    expect(await judge(log.proof(3, 20), { saved })).toMatchObject({ saved: { size: 20, relation: "same" } });
    const fork = new NaiveLog(entries.with(5, makeEntry(5, { a: "b" })), [signer]);
    for (const content of [fork.proof(3, 20), fork.checkpoint(20), fork.bundle([3], { size: 20 })]) {
      const report = await judge(content, { saved });
      expect(report).toMatchObject(refused("bad", "consistency"));
      expect(report.problem?.detail).toMatch(/forked/);
    }
  });

  it("of another size needs the proof between the two, carried or given", async () => {
    const saved = log.checkpoint(11);
    expect(await judge(log.bundle([3]), { saved })).toMatchObject(refused("unusable", "consistency"));
    const carried = log.bundle([3], { from: 11 });
    expect(await judge(carried, { saved })).toMatchObject({ saved: { size: 11, relation: "extends" } });
    expect(await judge(carried, { saved: log.checkpoint(12) })).toMatchObject(refused("unusable", "consistency"));
    for (const content of [log.bundle([3]), log.proof(3), log.checkpoint()]) {
      expect(await judge(content, { saved, consistency: answer(11, 30) })).toMatchObject({
        verdict: "verified",
        saved: { size: 11, relation: "extends" },
      });
    }
  });

  it("may be the newer one: then this is its beginning", async () => {
    const saved = log.checkpoint();
    expect(await judge(log.proof(3, 20), { saved, consistency: answer(20, 30) })).toMatchObject({
      verdict: "verified",
      saved: { size: 30, relation: "older" },
    });
    expect(await judge(log.proof(3, 20), { saved, consistency: answer(11, 20) })).toMatchObject(
      refused("unusable", "consistency"),
    );
  });

  it("of another history is found, whatever proof is shown", async () => {
    const fork = new NaiveLog(entries.with(5, makeEntry(5, { a: "b" })), [signer]);
    const saved = fork.checkpoint(11);
    for (const proof of [log.consistency(11), fork.consistency(11), []]) {
      const report = await judge(log.bundle([3]), { saved, consistency: answer(11, 30, { proof }) });
      expect(report).toMatchObject(refused("bad", "consistency"));
    }
    expect(await judge(log.bundle([3], { from: 11 }), { saved })).toMatchObject(refused("bad", "consistency"));
  });

  it("of another log, of the empty log, or signed by nobody that is trusted does not count", async () => {
    const named = newSigner("example.com/other");
    const other = new NaiveLog(entries, [named]);
    const both = { keys: [...keys, ...parseKeys(named.vkey)] };
    expect(await judge(log.checkpoint(), { saved: other.checkpoint(), ...both })).toMatchObject(
      refused("bad", "origin"),
    );
    expect(await judge(log.checkpoint(), { saved: other.checkpoint() })).toMatchObject(
      refused("unusable", "signature"),
    );
    expect(await judge(log.checkpoint(), { saved: "hello" })).toMatchObject(refused("unusable", "format"));
    const empty = new NaiveLog([], [signer]).checkpoint();
    expect(await judge(log.checkpoint(), { saved: empty })).toMatchObject(refused("unusable", "consistency"));
    expect(await judge(empty, { saved: log.checkpoint() })).toMatchObject(refused("unusable", "consistency"));
  });

  it("in a witness's file is the one of the same size, else the last", async () => {
    const saved = [5, 20, 25].map((size) => `${log.checkpoint(size)}\n`).join("");
    expect(await judge(log.proof(3, 20), { saved })).toMatchObject({ saved: { size: 20, relation: "same" } });
    expect(await judge(log.bundle([3], { from: 25 }), { saved })).toMatchObject({
      saved: { size: 25, relation: "extends" },
    });
  });

  it.each([
    ["no JSON", "hello"],
    ["a list", "[]"],
    ["sizes that are none", answer(11, 30, { from: { size: -1 } })],
    ["sizes that are texts", answer(11, 30, { to: { size: "30" } })],
    ["a hash that is none", answer(11, 30, { proof: ["AAAA"] })],
    [
      "hashes without end",
      answer(11, 30, { proof: Array.from({ length: 56 }, () => Buffer.alloc(32).toString("base64")) }),
    ],
  ])("with a proof that is %s cannot be compared", async (_what, consistency) => {
    expect(await judge(log.bundle([3]), { saved: log.checkpoint(11), consistency })).toMatchObject(
      refused("unusable", "format"),
    );
  });

  it("and its proof have at most CONSISTENCY_CHARS_MAX characters", async () => {
    const padded = (chars: number) => ({ saved: log.checkpoint(11), consistency: answer(11, 30).padEnd(chars) });
    expect(await judge(log.bundle([3]), padded(CONSISTENCY_CHARS_MAX))).toMatchObject({ verdict: "verified" });
    expect(await judge(log.bundle([3]), padded(CONSISTENCY_CHARS_MAX + 1))).toMatchObject(refused("unusable", "size"));
  });
});

it("no file is ever an exception", async () => {
  const begin = fc.constantFrom(
    "",
    '{"v":1',
    "c2sp.org/tlog-proof@v1\n",
    "{",
    `${signer.name}\n5\n`,
    '{"payloadType":',
  );
  await fc.assert(
    fc.asyncProperty(begin, fc.oneof(fc.string(), fc.json()), async (head, rest) => {
      expect((await judge(head + rest)).verdict).not.toBe("verified");
    }),
    { numRuns: 300 },
  );
});
