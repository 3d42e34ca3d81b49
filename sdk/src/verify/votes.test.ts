import { describe, expect, it } from "vitest";
import { type MadeEntry, makeEntry, NaiveLog, newSigner } from "../../../tests/fixtures/evidence_material.ts";
import { parseVkey } from "./keys.ts";
import { verify } from "./verify.ts";
import { Votes } from "./votes.ts";

const proof_hash = "ab".repeat(32);

/** An entry whose members stand in the order of canonical JSON. */
function entryOf(n: number, kind: string, data?: unknown): MadeEntry {
  const { id } = makeEntry(n);
  const body = { at: n, ...(data === undefined ? {} : { data }), id, kind, v: 1 };
  return { id, body: Buffer.from(JSON.stringify(body)), private: {} };
}

async function votesIn(entries: MadeEntry[]) {
  const signer = newSigner("example.com/log");
  const bundle = new NaiveLog(entries, [signer]).bundle(entries.map((_, n) => n));
  const chunks = async function* () {
    yield bundle;
  };
  const report = await verify(chunks(), { keys: [parseVkey(signer.vkey)] });
  expect(report.problem).toBeUndefined();
  return report.bundle?.votes;
}

describe("the votes of a bundle", () => {
  it("are counted by the kind of proof that their entries name", async () => {
    const entries = [
      entryOf(0, "approval.requested", { proof_hash }),
      entryOf(1, "approval.voted", { proof_hash }),
      entryOf(2, "approval.voted", { proof_hash }),
      entryOf(3, "approval.voted", {}),
    ];
    expect(await votesIn(entries)).toEqual({ count: 3, service: 2, unproved: 1 });
  });

  it("are none where no entry is a vote", async () => {
    expect(await votesIn([makeEntry(0), makeEntry(1)])).toEqual({ count: 0, service: 0, unproved: 0 });
  });

  it("have no proof by what is no SHA-256, or where the entry says nothing", async () => {
    const near = [proof_hash.slice(1), `${proof_hash}0`, proof_hash.toUpperCase(), 7, null, [proof_hash]];
    const entries = near.map((value, n) => entryOf(n, "approval.voted", { proof_hash: value }));
    const silent = [entryOf(near.length, "approval.voted"), entryOf(near.length + 1, "approval.voted", [proof_hash])];
    expect(await votesIn([...entries, ...silent])).toEqual({ count: 8, service: 0, unproved: 8 });
  });

  it("are told as they stood when they were asked for", () => {
    const votes = new Votes();
    const before = votes.findings();
    votes.take({ kind: "approval.voted", data: { proof_hash } });
    expect([before.count, votes.findings().count]).toEqual([0, 1]);
  });
});
