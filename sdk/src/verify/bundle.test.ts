import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { closeBundle, makeEntry, NaiveLog, newSigner, signNote } from "../../../tests/fixtures/evidence_material.ts";
import { GAPS_SHOWN_MAX, verifyBundle } from "./bundle.ts";
import { BUNDLE_ENTRIES_MAX, BUNDLE_FIELDS_MAX } from "./bundle_lines.ts";
import { BODY_BYTES_MAX, BODY_DEPTH_MAX, COMMITMENT_KEY_BYTES } from "./entry.ts";

import { parseKeys, parseVkey } from "./keys.ts";
import { linesOf } from "./lines.ts";
import { PATH_HASHES_MAX } from "./merkle.ts";

const signer = newSigner("example.com/log");
const keys = [parseVkey(signer.vkey)];
const entries = Array.from({ length: 50 }, (_, n) => makeEntry(n, n % 2 === 0 ? { prompt: `p ${n}`, result: "" } : {}));
const log = new NaiveLog(entries, [signer]);

async function* chunk(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
const judge = (bytes: Uint8Array) => verifyBundle(linesOf(chunk(bytes)), keys);
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);
/** A bundle in which a value of one line is another, its last line made to fit. */
const changed = (
  line: number,
  change: (value: Record<string, never>) => unknown,
  indices = range(4, 8),
  fields = ["prompt"],
) =>
  log.bundle(indices, {
    fields,
    tamper: (lines) => {
      lines[line] = JSON.stringify(change(JSON.parse(lines[line]!)));
    },
  });
const refusal = (verdict: "bad" | "unusable", check: string, place: object = {}) => ({
  verdict,
  check,
  place: expect.objectContaining(place),
});

describe("a bundle", () => {
  it("of a stretch says how long it is, and that nothing is missing", async () => {
    expect(await judge(log.bundle(range(7, 20)))).toMatchObject({
      checkpoint: { origin: signer.name, size: 50 },
      count: 13,
      range: { from: 7, to: 19 },
      gaps: [],
      gap_count: 0,
      opened: 0,
    });
  });

  it("with gaps names them, and counts those past GAPS_SHOWN_MAX", async () => {
    expect(await judge(log.bundle([1, 2, 5, 7, 49]))).toMatchObject({
      count: 5,
      range: { from: 1, to: 49 },
      gaps: [
        { from: 3, to: 4 },
        { from: 6, to: 6 },
        { from: 8, to: 48 },
      ],
      gap_count: 3,
    });
    const everySecond = (gaps: number) => range(0, gaps + 1).map((n) => 2 * n);
    const at = await judge(log.bundle(everySecond(GAPS_SHOWN_MAX)));
    expect([at.gaps.length, at.gap_count]).toEqual([GAPS_SHOWN_MAX, GAPS_SHOWN_MAX]);
    const past = await judge(log.bundle(everySecond(GAPS_SHOWN_MAX + 1)));
    expect([past.gaps.length, past.gap_count]).toEqual([GAPS_SHOWN_MAX, GAPS_SHOWN_MAX + 1]);
  });

  it("of no entries proves its checkpoint alone", async () => {
    const findings = await judge(log.bundle([]));
    expect(findings).toMatchObject({ count: 0, gaps: [], checkpoint: { size: 50 } });
    expect(findings.range).toBeUndefined();
  });

  it("shows which values were opened, and how many the entries committed to", async () => {
    const findings = await judge(log.bundle(range(0, 4), { fields: ["prompt", "result"] }));
    expect(findings).toMatchObject({ fields: ["prompt", "result"], opened: 4, sealed: 4 });
    expect(await judge(log.bundle(range(0, 4), { fields: ["result"] }))).toMatchObject({ opened: 2, sealed: 4 });
    expect(await judge(log.bundle(range(0, 4)))).toMatchObject({ fields: [], opened: 0, sealed: 4 });
  });

  it("is verified at every size of the log, also while a key is rotated", async () => {
    const next = newSigner(signer.name);
    const rotating = new NaiveLog(entries.slice(0, 20), [signer, next]);
    for (let size = 1; size <= 20; size++) {
      expect((await judge(rotating.bundle(range(0, size), { size }))).count).toBe(size);
    }
    const both = await verifyBundle(linesOf(chunk(rotating.bundle([3]))), parseKeys(`${signer.vkey}\n${next.vkey}\n`));
    expect(both.checkpoint.signers).toHaveLength(2);
  });
});

describe("each byte of a bundle counts", () => {
  const small = new NaiveLog([makeEntry(0, { prompt: "hello" }), makeEntry(1)], [signer]);
  const bytes = small.bundle([0, 1], { fields: ["prompt"], from: 1 });

  it("changing any one bit of it is found, and so is what broke", { timeout: 120_000 }, async () => {
    await expect(judge(bytes)).resolves.toMatchObject({ count: 2, opened: 1 });
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const copy = Buffer.from(bytes);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      const problem = await judge(copy).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(problem, `bit ${bit}`).toMatchObject({
        verdict: expect.stringMatching(/^(bad|unusable)$/),
        place: { line: expect.any(Number) },
      });
    }
  });

  it("so does leaving out, adding, or repeating a byte", { timeout: 60_000 }, async () => {
    for (let at = 0; at < bytes.byteLength; at++) {
      const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
      for (const other of [
        Buffer.concat([before, after.subarray(1)]),
        Buffer.concat([before, Buffer.from(" "), after]),
        Buffer.concat([before, after.subarray(0, 1), after]),
      ]) {
        // Doubling one of two equal neighbours, or leaving it out, gives what doubling the other gives: never the bundle.
        await expect(judge(other), `byte ${at}`).rejects.toMatchObject({ name: "Problem" });
      }
    }
  });

  it("so do the order of lines, what is cut off, and what follows", async () => {
    const lines = bytes.toString().split(/(?<=\n)/);
    const [head, first, second, last] = lines as [string, string, string, string];
    const join = (...parts: string[]) => judge(Buffer.from(parts.join("")));
    await expect(join(head, second, first, last)).rejects.toMatchObject(refusal("bad", "index", { line: 3, index: 0 }));
    await expect(join(head, first, first, second, last)).rejects.toMatchObject(refusal("bad", "index", { line: 3 }));
    await expect(join(head, first, last)).rejects.toMatchObject(refusal("bad", "count"));
    await expect(join(head, first, second)).rejects.toMatchObject(refusal("unusable", "truncated", { line: 3 }));
    await expect(join(head)).rejects.toMatchObject(refusal("unusable", "truncated"));
    await expect(join(...lines, "\n")).rejects.toMatchObject(refusal("bad", "format", { line: 5 }));
    await expect(join(...lines, last)).rejects.toMatchObject(refusal("bad", "format"));
    await expect(join(last)).rejects.toMatchObject(refusal("unusable", "format", { line: 1 }));
    await expect(join(first, second, last)).rejects.toMatchObject(refusal("unusable", "format", { line: 1 }));
  });

  it("cutting it off anywhere is found", async () => {
    const cut = fc.integer({ min: 0, max: bytes.byteLength - 1 });
    await fc.assert(
      fc.asyncProperty(cut, async (length) => {
        await expect(judge(bytes.subarray(0, length))).rejects.toMatchObject({ verdict: "unusable" });
      }),
      { numRuns: 200 },
    );
  });
});

describe("whoever can make the last line fit is found by", () => {
  it("the path, with index and id of the entry", async () => {
    const body = makeEntry(6, { prompt: "another" }).body.toString("base64");
    await expect(judge(changed(3, (line) => ({ ...line, leaf: body })))).rejects.toMatchObject(
      refusal("bad", "inclusion", { line: 4, index: 6, entry: entries[6]!.id }),
    );
    await expect(judge(changed(2, (line) => ({ ...line, i: 4 }), [4, 6]))).rejects.toMatchObject({ check: "index" });
    await expect(judge(changed(2, (line) => ({ ...line, i: 5 }), [4, 6]))).rejects.toMatchObject(
      refusal("bad", "inclusion", { index: 5 }),
    );
    await expect(
      judge(changed(2, (line: { path: string[] }) => ({ ...line, path: line.path.toReversed() }), [4, 6])),
    ).rejects.toMatchObject(refusal("bad", "inclusion", { index: 6 }));
  });

  it("the signature and the origin", async () => {
    const root = Buffer.alloc(32, 7).toString("base64");
    const by = (name: string, origin: string) => signNote(`${origin}\n50\n${root}\n`, [{ ...newSigner(name), name }]);
    const unknown = by(signer.name, signer.name);
    await expect(judge(changed(0, (head) => ({ ...head, checkpoint: unknown })))).rejects.toMatchObject(
      refusal("bad", "signature", { line: 1 }),
    );
    await expect(judge(changed(0, (head) => ({ ...head, origin: "example.com/other" })))).rejects.toMatchObject(
      refusal("bad", "origin"),
    );
    const foreign = signNote(`example.com/other\n50\n${root}\n`, [signer]);
    await expect(
      judge(changed(0, (head) => ({ ...head, origin: "example.com/other", checkpoint: foreign }))),
    ).rejects.toMatchObject(refusal("bad", "origin"));
  });

  it("the commitment, with the field", async () => {
    type Open = { open: { prompt: { k: string; v: string } } };
    const open = (part: Partial<Open["open"]["prompt"]>) => (line: Open) => ({
      ...line,
      open: { prompt: { ...line.open.prompt, ...part } },
    });
    const place = { index: 4, entry: entries[4]!.id, field: "prompt" };
    await expect(judge(changed(1, open({ v: "" })))).rejects.toMatchObject(refusal("bad", "commitment", place));
    const other = Buffer.alloc(32).toString("base64");
    await expect(judge(changed(1, open({ k: other })))).rejects.toMatchObject(refusal("bad", "commitment", place));
    const foreign = changed(2, (line) => ({ ...line, open: { prompt: { k: other, v: "" } } }));
    await expect(judge(foreign)).rejects.toMatchObject(refusal("bad", "commitment", { index: 5, field: "prompt" }));
    await expect(judge(changed(0, (head) => ({ ...head, opened: [] })))).rejects.toMatchObject(
      refusal("bad", "commitment", { index: 4 }),
    );
  });

  it("the length of a key, which has COMMITMENT_KEY_BYTES: HMAC fills shorter ones with zeros", async () => {
    const zeroed = makeEntry(0, { prompt: "x" });
    const key = Buffer.concat([Buffer.alloc(31, 1), Buffer.alloc(1)]);
    const { createHmac } = await import("node:crypto");
    const sealed = createHmac("sha256", key).update(`gantry.field.v1\0${zeroed.id}\0prompt\0x`).digest("hex");
    const body = Buffer.from(JSON.stringify({ ...JSON.parse(zeroed.body.toString()), sealed: { prompt: sealed } }));
    const bundle = (k: Buffer) => {
      const made = { ...zeroed, body, private: { prompt: { key: k, value: Buffer.from("x") } } };
      return judge(new NaiveLog([made], [signer]).bundle([0], { fields: ["prompt"] }));
    };
    expect(key.byteLength).toBe(COMMITMENT_KEY_BYTES);
    expect(await bundle(key)).toMatchObject({ opened: 1 });
    for (const length of [31, 33]) {
      await expect(bundle(Buffer.concat([key, Buffer.alloc(1)]).subarray(0, length))).rejects.toMatchObject(
        refusal("bad", "commitment", { index: 0 }),
      );
    }
  });
});

describe("an entry that the log has and that is none is bad:", () => {
  const withBody = (text: string) => {
    const entry = { id: "ent_0", body: Buffer.from(text), private: {} };
    return judge(new NaiveLog([entry], [signer]).bundle([0]));
  };
  const body = makeEntry(0).body.toString();

  it.each([
    ["no JSON", "hello"],
    ["not an object", "[1]"],
    ["white space", body.replace(",", ", ")],
    ["a member twice", body.replace('"v":1', '"v":1,"v":1')],
    ["members in another order", body.replace('"v":1', '"a":1')],
    ["a fraction", body.replace('"n":0', '"n":0.5')],
    ["an exponent", body.replace('"n":0', '"n":1e2')],
    ["an escape that is not needed", body.replace("run.ended", "run\\u002eended")],
    ["another version", body.replace('"v":1', '"v":2')],
    ["no id", body.replace(/"id":"[^"]*"/, '"id":""')],
    ["a zero byte in its id", body.replace(/"id":"ent_0/, '"id":"ent_\\u0000')],
    ["a commitment that is none", body.replace('"sealed":{}', '"sealed":{"prompt":"00"}')],
    ["commitments that are a list", body.replace('"sealed":{}', '"sealed":[]')],
    ["no time", body.replace(/"at":\d+/, '"at":"now"')],
  ])("%s", async (_what, text) => {
    expect(text).not.toBe(body);
    await expect(withBody(text)).rejects.toMatchObject(refusal("bad", "body", { index: 0, line: 2 }));
  });

  it("names of members that look like numbers are in the order of their letters", async () => {
    const named = (data: string) => body.replace('{"n":0}', data);
    expect(await withBody(named('{"-a":1,"10":2,"9":3}'))).toMatchObject({ count: 1 });
    await expect(withBody(named('{"9":3,"10":2,"-a":1}'))).rejects.toMatchObject({ check: "body" });
  });

  it(`nested deeper than BODY_DEPTH_MAX (${BODY_DEPTH_MAX})`, async () => {
    // The body and its data are two of them.
    const nested = (depth: number) => body.replace('"n":0', `"n":${"[".repeat(depth)}${"]".repeat(depth)}`);
    expect(await withBody(nested(BODY_DEPTH_MAX - 1))).toMatchObject({ count: 1 });
    await expect(withBody(nested(BODY_DEPTH_MAX))).rejects.toMatchObject({ check: "body" });
    await expect(withBody(nested(20_000))).rejects.toMatchObject({ check: "body" });
  });

  it(`longer than BODY_BYTES_MAX (${BODY_BYTES_MAX})`, async () => {
    const long = (bytes: number) =>
      body
        .replace("run.ended", `run.ended${"x".repeat(0)}`)
        .replace('"n":0', `"n":"${"x".repeat(bytes - body.length - 1)}"`);
    expect(long(BODY_BYTES_MAX)).toHaveLength(BODY_BYTES_MAX);
    expect(await withBody(long(BODY_BYTES_MAX))).toMatchObject({ count: 1 });
    await expect(withBody(long(BODY_BYTES_MAX + 1))).rejects.toMatchObject({ check: "size" });
  });
});

describe("a hostile bundle is an answer and never a crash:", () => {
  const deep = "[".repeat(200_000);
  const header = (change: (head: Record<string, unknown>) => unknown) => changed(0, change as never);
  const line = (change: (value: Record<string, unknown>) => unknown) => changed(1, change as never);
  const raw = (text: string) =>
    log.bundle([4], {
      tamper: (lines) => {
        lines[1] = text;
      },
    });

  it.each<[string, Buffer]>([
    ["nothing", Buffer.alloc(0)],
    ["an empty line", Buffer.from("\n")],
    ["zeros", Buffer.alloc(10_000)],
    ["deep JSON at its begin", Buffer.from(`{"v":${deep}\n`)],
    ["deep JSON in a line", raw(`{"i":${deep}`)],
    ["deep JSON that is closed", raw(`{"i":${deep}${"]".repeat(200_000)},"leaf":"","path":[]}`)],
    ["a path that is deep", raw(`{"i":4,"leaf":"","path":${deep}${"]".repeat(200_000)}}`)],
    ["an index that is negative", line((one) => ({ ...one, i: -1 }))],
    ["an index that is null", line((one) => ({ ...one, i: null }))],
    ["an index that is NaN", raw('{"i":NaN,"leaf":"","path":[]}')],
    ["an index past 2^53", raw('{"i":9007199254740992,"leaf":"","path":[]}')],
    ["an index with an exponent", raw('{"i":4e0,"leaf":"","path":[]}')],
    ["an index that is a text", line((one) => ({ ...one, i: "4" }))],
    ["an index outside of the log", line((one) => ({ ...one, i: 50 }))],
    ["a leaf that is a number", line((one) => ({ ...one, leaf: 1 }))],
    ["a path that is an object", line((one) => ({ ...one, path: {} }))],
    ["a path with numbers", line((one) => ({ ...one, path: [1] }))],
    ["an unknown member", line((one) => ({ ...one, more: 1 }))],
    ["a prototype", raw('{"i":4,"leaf":"","path":[],"__proto__":{"open":1}}')],
    ["a line that is null", raw("null")],
    ["a line of binary", raw("\ud800")],
    ["an open that opens nothing", line((one) => ({ ...one, open: {} }))],
    ["an open that is a list", line((one) => ({ ...one, open: [] }))],
    ["an open of null", line((one) => ({ ...one, open: { prompt: null } }))],
    ["an open with more members", line((one) => ({ ...one, open: { prompt: { k: "", v: "", x: 1 } } }))],
    ["a count that is negative", header((head) => ({ ...head, count: -1 }))],
    ["a count that is a text", header((head) => ({ ...head, count: "4" }))],
    ["a count that is huge", header((head) => ({ ...head, count: 2 ** 53 - 1 }))],
    ["a count that is too small", header((head) => ({ ...head, count: 3 }))],
    ["a count that is too large", header((head) => ({ ...head, count: 5 }))],
    ["another version", header((head) => ({ ...head, v: 2 }))],
    ["no checkpoint", header((head) => ({ ...head, checkpoint: undefined }))],
    ["a checkpoint that is none", header((head) => ({ ...head, checkpoint: "hello" }))],
    ["a checkpoint that is an object", header((head) => ({ ...head, checkpoint: {} }))],
    ["fields that are not sorted", header((head) => ({ ...head, opened: ["prompt", "a"] }))],
    ["a field twice", header((head) => ({ ...head, opened: ["prompt", "prompt"] }))],
    ["a consistency proof that is none", header((head) => ({ ...head, consistency: {} }))],
    ["a header in another order", header(({ v, ...head }) => ({ v, count: head["count"], ...head }))],
    ["a last line with more members", Buffer.from(`${log.bundle([]).toString().slice(0, -2)},"x":1}\n`)],
  ])("%s", async (_what, bytes) => {
    await expect(judge(bytes)).rejects.toMatchObject({ verdict: expect.stringMatching(/^(bad|unusable)$/) });
  });

  it("random bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
        await expect(judge(Buffer.concat([Buffer.from('{"v":'), bytes]))).rejects.toMatchObject({ name: "Problem" });
      }),
    );
  });

  it("random lines after a right header", async () => {
    const [head = ""] = log.bundle([4]).toString().split("\n");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.json(), { maxLength: 4 }), async (lines) => {
        await expect(judge(closeBundle([head, ...lines], 1))).rejects.toMatchObject({ name: "Problem" });
      }),
    );
  });

  it("what has more than is read: BUNDLE_ENTRIES_MAX, BUNDLE_FIELDS_MAX, PATH_HASHES_MAX", async () => {
    const names = (n: number) => Array.from({ length: n }, (_, at) => `f${String(at).padStart(3, "0")}`);
    const size = refusal("unusable", "size");
    await expect(judge(header((head) => ({ ...head, count: BUNDLE_ENTRIES_MAX })))).rejects.toMatchObject({
      check: "count",
    });
    await expect(judge(header((head) => ({ ...head, count: BUNDLE_ENTRIES_MAX + 1 })))).rejects.toMatchObject(size);
    const none = (n: number) => log.bundle([], { fields: names(n) });
    expect((await judge(none(BUNDLE_FIELDS_MAX))).fields).toHaveLength(BUNDLE_FIELDS_MAX);
    await expect(judge(none(BUNDLE_FIELDS_MAX + 1))).rejects.toMatchObject(refusal("unusable", "format"));
    const hash = Buffer.alloc(32).toString("base64");
    const path = (n: number) => line((one) => ({ ...one, path: Array.from({ length: n }, () => hash) }));
    await expect(judge(path(PATH_HASHES_MAX))).rejects.toMatchObject({ check: "inclusion" });
    await expect(judge(path(PATH_HASHES_MAX + 1))).rejects.toMatchObject(size);
  });

  it("an entry that opens more than BUNDLE_FIELDS_MAX fields", async () => {
    const fields = (n: number) =>
      Object.fromEntries(Array.from({ length: n }, (_, at) => [`f${String(at).padStart(3, "0")}`, "x"]));
    const bundle = (n: number) => {
      const one = new NaiveLog([makeEntry(0, fields(n))], [signer]);
      return judge(one.bundle([0], { fields: Object.keys(fields(n)).slice(0, BUNDLE_FIELDS_MAX) }));
    };
    expect(await bundle(BUNDLE_FIELDS_MAX)).toMatchObject({ opened: BUNDLE_FIELDS_MAX });
    expect(await bundle(BUNDLE_FIELDS_MAX + 1)).toMatchObject({
      opened: BUNDLE_FIELDS_MAX,
      sealed: BUNDLE_FIELDS_MAX + 1,
    });
    const many = Object.fromEntries(Object.keys(fields(BUNDLE_FIELDS_MAX + 1)).map((name) => [name, { k: "", v: "" }]));
    await expect(judge(line((one) => ({ ...one, open: many })))).rejects.toMatchObject({ check: "format" });
  });
});

it("nothing is read after the first thing that is wrong", async () => {
  const lines = log.bundle([4]).toString().split("\n");
  let given = 0;
  async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.from(`${lines[0]}\n`);
    for (;;) {
      given += 1;
      yield Buffer.from(`${lines[1]}\n`);
    }
  }
  await expect(verifyBundle(linesOf(endless()), keys)).rejects.toMatchObject({ verdict: "bad" });
  expect(given).toBeLessThan(4);
});
