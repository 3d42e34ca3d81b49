import { createHash } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { parseKeys, type Report, type VerifyOptions, verify } from "../../sdk/src/verify/verify.ts";
import { type BundleAsk, LogBundles } from "../../server/src/evidence/account/bundle.ts";
import { RunStatements } from "../../server/src/evidence/account/statement.ts";
import type { EntryDraft, PrivateField } from "../../server/src/evidence/contract.ts";
import { LOG_KEY_FILE } from "../../server/src/evidence/log/key.ts";
import { consistencyPath, inclusionPath } from "../../server/src/evidence/log/proofs.ts";
import { KeyRotation } from "../../server/src/evidence/log/rotation.ts";
import { tlogProof } from "../../server/src/evidence/log/tlog_proof.ts";
import { RecordedOpening } from "../../server/src/evidence/private/values.ts";
import { kinds as intent_kinds } from "../../server/src/intent/kinds.ts";
import { agreementsOf } from "../../server/src/storage/agreements.ts";
import { type Ground, openGround } from "../fixtures/ground.ts";

/** What the server makes, judged by the verifier, which shares no code with it. */

const kinds = { ...intent_kinds, "note.made": z.strictObject({ n: z.int(), text: z.string() }) };
const text = 'not only ASCII: \u2028 ä \u{1f511} "quoted" \\ and a tab\t';
const fields: Record<string, PrivateField> = {
  why: { class: "prompts", value: "because", redaction: "keep" },
  prompt: { class: "prompts", value: "write to somebody@example.com", redaction: "mask" },
  empty: { class: "logs", value: "", redaction: "keep" },
  bytes: { class: "artifacts", value: Uint8Array.of(0, 255, 10, 0), redaction: "keep" },
  dropped: { class: "logs", value: "gone", redaction: "drop" },
};

const ORIGIN = "verify.test/log";
let ground: Ground;
let bundles: LogBundles;
/** Of every size that a note was released for in this test. */
const notes = new Map<number, string>();

beforeAll(async () => {
  ground = await openGround({ kinds, sealing: true, sealer: { origin: ORIGIN } });
  const { storage, clock, log, ledger } = ground;
  bundles = new LogBundles({ storage, clock, log, values: new RecordedOpening({ storage, ledger }) });
  for (let n = 0; n < 40; n++) {
    await append(n, n % 4 === 0 ? { private: fields } : {});
    if (n % 5 === 4) await keep();
  }
  await keep();
});
afterAll(() => ground.remove());

async function keep(): Promise<void> {
  const note = await ground.seal();
  notes.set(Number(note.split("\n")[1]), note);
}

function append(n: number, more: Partial<EntryDraft> = {}) {
  const { ledger, owned, storage } = ground;
  return storage.write((tx) =>
    ledger.append(tx, {
      kind: "note.made",
      tenant: owned.tenant,
      actor: [],
      refs: ["notes"],
      data: { n, text },
      ...more,
    }),
  );
}

async function judge(material: string | Uint8Array, options: Partial<VerifyOptions> = {}): Promise<Report> {
  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.from(material);
  }
  const keys = options.keys ?? parseKeys(await readFile(join(ground.directory, "log.pub"), "utf8"));
  return verify(chunks(), { ...options, keys });
}

async function bundle(ask: BundleAsk): Promise<Buffer> {
  const who = { tenant: ground.owned.tenant, chain: [{ actor: ground.owned.owner, kind: "human" as const }] };
  const { chunks } = await bundles.make(ask, who, () => undefined);
  const parts: Uint8Array[] = [];
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) parts.push(next.value);
  return Buffer.concat(parts);
}

describe("the verifier agrees with the server about", () => {
  it("a bundle of the whole log", async () => {
    const { size, origin } = await ground.log.checkpoint();
    expect(await judge(await bundle({ range: { from: 0, to: size } }))).toMatchObject({
      verdict: "verified",
      log: { origin },
      bundle: { count: size, range: { from: 0, to: size - 1 }, gap_count: 0 },
    });
  });

  it("bundles by reference, by id and since a time", async () => {
    expect(await judge(await bundle({ refs: ["notes"] }))).toMatchObject({
      verdict: "verified",
      bundle: { count: 40 },
    });
    expect(await judge(await bundle({ ids: [await append(41)] }))).toMatchObject({
      verdict: "verified",
      bundle: { count: 1 },
    });
    const none = await judge(await bundle({ since: 8_000_000_000_000 }));
    expect(none).toMatchObject({ verdict: "verified", bundle: { count: 0 } });
  });

  it("opened values, as text, as bytes, empty, and masked", async () => {
    const report = await judge(await bundle({ refs: ["notes"], open: ["why", "prompt", "empty", "bytes", "dropped"] }));
    expect(report).toMatchObject({
      verdict: "verified",
      bundle: { fields: ["bytes", "dropped", "empty", "prompt", "why"], opened: 40, sealed: 50 },
    });
  });

  it("every proof of every entry", async () => {
    const { size, note } = await ground.log.checkpoint();
    for (let index = 0; index < size; index++) {
      const path = await inclusionPath(ground.log.tiles, index, size);
      const [extra] = await ground.log.bodies(index, index + 1);
      const report = await judge(tlogProof({ index, extra: extra!, path, note }));
      expect(report, `index ${index}`).toMatchObject({ verdict: "verified", proof: { index } });
    }
  });

  it("the consistency of every two checkpoints that were released, in both directions", async () => {
    expect(notes.size).toBeGreaterThan(5);
    for (const [from, old] of notes) {
      for (const [to, note] of notes) {
        if (from >= to) continue;
        const proof = (await consistencyPath(ground.log.tiles, from, to)).map((hash) =>
          Buffer.from(hash).toString("base64"),
        );
        const consistency = JSON.stringify({ from: { size: from }, to: { size: to }, proof });
        expect(await judge(note, { saved: old, consistency })).toMatchObject({
          saved: { size: from, relation: "extends" },
        });
        expect(await judge(old, { saved: note, consistency })).toMatchObject({
          saved: { size: to, relation: "older" },
        });
      }
    }
  });

  it("a bundle that carries its consistency proof", async () => {
    const [size = 0, saved] = [...notes][2] ?? [];
    const report = await judge(await bundle({ refs: ["notes"], consistency_from: size }), { saved });
    expect(report).toMatchObject({ verdict: "verified", saved: { size, relation: "extends" }, warnings: [] });
  });

  it("statements, by their own key", async () => {
    const statements = new RunStatements({ ...ground, agreements: agreementsOf(ground.storage) });
    const run = ground.ids("run");
    const code_hash = createHash("sha256").update("code").digest("hex");
    const data = { run, attempt: 1, termination: "completed", code_hash };
    await append(0, { kind: "run.ended", refs: [run], data });
    const envelope = JSON.stringify(await statements.statement(run, ground.owned.tenant));
    const { public_key } = await statements.key();
    expect(await judge(envelope, { keys: parseKeys(public_key) })).toMatchObject({
      verdict: "verified",
      statement: { subjects: [{ name: "code", digest: { sha256: code_hash } }], predicate: { run } },
    });
    // The log's key has signed no statement.
    expect(await judge(envelope)).toMatchObject({ verdict: "bad", problem: { check: "signature" } });
  });
});

describe("the verifier finds", () => {
  it("any change of one bit in a bundle of the server's", { timeout: 120_000 }, async () => {
    const bytes = await bundle({ range: { from: 3, to: 9 }, open: ["why"] });
    expect((await judge(bytes)).verdict).toBe("verified");
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: bytes.byteLength * 8 - 1 }), async (bit) => {
        const copy = Buffer.from(bytes);
        copy[bit >> 3]! ^= 1 << (bit & 7);
        const { verdict, problem } = await judge(copy);
        expect(verdict).not.toBe("verified");
        expect(problem?.detail).toMatch(/\.$/);
      }),
      { numRuns: 500 },
    );
  });

  it("a log of another history, although the log's own key signed it", async () => {
    // As whoever has the key makes the log anew, under the same name.
    const directory = await mkdtemp(join(tmpdir(), "gantry-fork-"));
    await mkdir(join(directory, "keys"), { mode: 0o700 });
    await copyFile(join(ground.directory, LOG_KEY_FILE), join(directory, LOG_KEY_FILE));
    const fork = await openGround({ kinds, sealing: true, directory, sealer: { origin: ORIGIN } });
    try {
      const note = await fork.seal();
      const size = Number(note.split("\n")[1]);
      const [, saved = ""] = [...notes].find(([kept]) => kept > size) ?? [];
      expect((await judge(note)).verdict).toBe("verified");
      const proof = await consistencyPath(ground.log.tiles, size, Number(saved.split("\n")[1]));
      const hashes = proof.map((hash) => Buffer.from(hash).toString("base64"));
      const to = { size: Number(saved.split("\n")[1]) };
      const consistency = JSON.stringify({ from: { size }, to, proof: hashes });
      expect(await judge(note, { saved, consistency })).toMatchObject({
        verdict: "bad",
        problem: { check: "consistency" },
      });
    } finally {
      await fork.remove();
    }
  });
});

it("while the key is rotated both keys verify, before it the old one, after it the new one", async () => {
  const old_keys = parseKeys(await readFile(join(ground.directory, "log.pub"), "utf8"));
  const before = await ground.seal();
  const by = { tenant: ground.owned.tenant, actor: [{ actor: ground.owned.owner, kind: "human" as const }] };
  const rotated = await new KeyRotation(ground).rotate(by);
  const new_keys = parseKeys(rotated.new);
  const during = (await ground.log.checkpoint()).note;
  await append(99);
  const after = await ground.seal();
  const verdicts = async (note: string) => [
    (await judge(note, { keys: old_keys })).verdict,
    (await judge(note, { keys: new_keys })).verdict,
  ];
  expect(await verdicts(before)).toEqual(["verified", "bad"]);
  expect(await verdicts(during)).toEqual(["verified", "verified"]);
  expect(await verdicts(after)).toEqual(["bad", "verified"]);
  // The public copy in the data directory knows both, so that whatever was signed verifies.
  for (const note of [before, during, after, ...notes.values()]) expect((await judge(note)).verdict).toBe("verified");
});
