import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import type { EntryId, TenantId } from "../../kernel/ids.ts";
import { type Asker, BUNDLE_ENTRIES_MAX, BUNDLES_MAX, type EntryDraft, errors, SEAL_WAIT_MS } from "../contract.ts";
import { leafHash, nodeHash } from "../log/tree.ts";
import { RecordedOpening } from "../private/values.ts";
import { type BundleAsk, LogBundles } from "./bundle.ts";
import { selectIndices } from "./bundle_store.ts";

const kinds = { "note.made": z.strictObject({ n: z.int() }) };
let ground: Ground;
let bundles: LogBundles;

beforeAll(async () => {
  ground = await openGround({ kinds, sealing: true });
  bundles = bundlesOf();
});
afterAll(() => ground.remove());

function bundlesOf(more: { entries_max?: number; clock?: VirtualClock } = {}): LogBundles {
  const { storage, clock, log, ledger } = ground;
  return new LogBundles({ storage, clock, log, values: new RecordedOpening({ storage, ledger }), ...more });
}
const newTenant = (): TenantId => ground.ids("ten");
const asker = (tenant: TenantId): Asker => ({ tenant, chain: [{ actor: "act_1", kind: "human" }] });
const append = (tenant: TenantId, n: number, more: Partial<EntryDraft> = {}): Promise<EntryId> =>
  ground.storage.write((tx) =>
    ground.ledger.append(tx, { kind: "note.made", tenant, actor: [], data: { n }, ...more }),
  );
const never = (): void => {
  throw new Error("audit was demanded");
};

async function bytesOf(ask: BundleAsk, tenant: TenantId, audit = never, from = bundles): Promise<string> {
  const { chunks } = await from.make(ask, asker(tenant), audit);
  const parts: Uint8Array[] = [];
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) parts.push(next.value);
  return Buffer.concat(parts).toString("utf8");
}

interface Line {
  i: number;
  leaf: string;
  path: string[];
  open?: Record<string, { k: string; v: string }>;
}
interface Header {
  checkpoint: string;
  count: number;
  opened: string[];
  origin: string;
  consistency?: { from: number; proof: string[] };
}

/** Reads a bundle as a stranger would, down to the root, by the words of RFC 6962 alone. */
function read(text: string): { header: Header; lines: Line[]; bodies: Record<string, unknown>[] } {
  const all = text.split("\n");
  expect(all.pop()).toBe("");
  const trailer = all.pop() ?? "";
  const before = text.slice(0, text.length - trailer.length - 1);
  const [first = "", ...rest] = all;
  const header = JSON.parse(first) as Header;
  const lines = rest.map((line) => JSON.parse(line) as Line);
  expect(JSON.parse(trailer)).toEqual({
    count: lines.length,
    sha256: createHash("sha256").update(before).digest("hex"),
  });
  expect(header.count).toBe(lines.length);
  const [origin, size, root] = header.checkpoint.split("\n");
  expect(header.origin).toBe(origin);
  for (const { i, leaf, path } of lines) {
    const hashes = path.map((hash) => Buffer.from(hash, "base64"));
    expect(rootFrom(i, Number(size), leafHash(Buffer.from(leaf, "base64")), hashes)).toBe(root);
  }
  return { header, lines, bodies: lines.map(({ leaf }) => JSON.parse(Buffer.from(leaf, "base64").toString())) };
}

/** RFC 9162, 2.1.3.2. */
function rootFrom(index: number, size: number, leaf: Uint8Array, path: Uint8Array[]): string {
  let [fn, sn, hash] = [index, size - 1, leaf];
  for (const sibling of path) {
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(sibling, hash);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, Math.floor(sn / 2)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  }
  expect(sn).toBe(0);
  return Buffer.from(hash).toString("base64");
}
const numbers = (bodies: Record<string, unknown>[]): unknown[] =>
  bodies.map((body) => (body["data"] as { n: number }).n);

describe("a bundle", () => {
  it("proves each of its entries against one checkpoint, and has every byte in one form", async () => {
    const tenant = newTenant();
    for (let n = 0; n < 300; n++) await append(n % 3 === 0 ? tenant : newTenant(), n, { refs: ["r"] });
    const text = await bytesOf({ refs: ["r"] }, tenant);
    const { header, lines, bodies } = read(text);
    expect(numbers(bodies)).toEqual(Array.from({ length: 100 }, (_, n) => 3 * n));
    expect(lines.map(({ i }) => i)).toEqual(lines.map(({ i }) => i).sort((a, b) => a - b));
    expect(header.opened).toEqual([]);
    const [first = "", second = ""] = text.split("\n");
    expect(Object.keys(JSON.parse(first))).toEqual(["v", "origin", "checkpoint", "count", "opened"]);
    expect(Object.keys(JSON.parse(second))).toEqual(["i", "leaf", "path"]);
    for (const line of text.trimEnd().split("\n")) expect(JSON.stringify(JSON.parse(line))).toBe(line);
  });

  it("is of the refs, ids or time that was asked for, each entry once", async () => {
    const tenant = newTenant();
    const ids: EntryId[] = [];
    for (let n = 0; n < 5; n++) ids.push(await append(tenant, n, { refs: [`a-${n % 2}`, "b"] }));
    const asked = async (ask: BundleAsk) => numbers(read(await bytesOf(ask, tenant)).bodies);
    expect(await asked({ refs: ["a-0", "b"] })).toEqual([0, 1, 2, 3, 4]);
    expect(await asked({ refs: ["a-1", "none"] })).toEqual([1, 3]);
    expect(await asked({ ids: [ids[3] ?? "", ids[1] ?? "", ids[1] ?? ""] })).toEqual([1, 3]);
    const { at } = await ground.ledger.get(ids[2] ?? "", tenant);
    expect((await asked({ since: at })).slice(-3)).toEqual([2, 3, 4]);
    expect(await asked({ since: at + 3_600_000 })).toEqual([]);
  });

  it("agrees with the ledger for any set of tenants and refs", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ own: fc.boolean(), refs: fc.subarray(["x", "y", "z"]) }), { maxLength: 40 }),
        fc.subarray(["x", "y", "z"], { minLength: 1 }),
        async (facts, asked) => {
          const tenant = newTenant();
          const refOf = (name: string) => `${name}-${tenant}`;
          await ground.storage.write((tx) => {
            for (const [n, { own, refs }] of facts.entries()) {
              const of = { tenant: own ? tenant : newTenant(), refs: refs.map(refOf) };
              ground.ledger.append(tx, { kind: "note.made", actor: [], data: { n }, ...of });
            }
          });
          const expected = facts.flatMap(({ own, refs }, n) =>
            own && refs.some((ref) => asked.includes(ref)) ? [n] : [],
          );
          const made = bytesOf({ refs: asked.map(refOf) }, tenant);
          if (expected.length === 0) await expect(made).rejects.toMatchObject({ code: "EVIDENCE_UNKNOWN" });
          else expect(numbers(read(await made).bodies)).toEqual(expected);
        },
      ),
      { numRuns: 15 },
    );
  });

  it("of a range has every entry in it; other tenants' only for who may audit", async () => {
    const [tenant, other] = [newTenant(), newTenant()];
    const own = [await append(tenant, 1), await append(tenant, 2)];
    await append(other, 3);
    await ground.seal();
    const from = (await ground.ledger.get(own[0] ?? "", tenant)).index ?? 0;
    expect(numbers(read(await bytesOf({ range: { from, to: from + 2 } }, tenant)).bodies)).toEqual([1, 2]);
    await expect(bytesOf({ range: { from, to: from + 3 } }, tenant)).rejects.toThrow("audit was demanded");
    const audited = await bytesOf({ range: { from, to: from + 3 } }, tenant, () => {});
    expect(numbers(read(audited).bodies)).toEqual([1, 2, 3]);
    const { size } = await ground.log.checkpoint();
    for (const range of [
      { from, to: from },
      { from, to: size + 1 },
    ]) {
      await expect(bytesOf({ range }, tenant)).rejects.toMatchObject({ code: "EVIDENCE_BAD_RANGE" });
    }
  });

  it("proves that an earlier log is a prefix, when asked", async () => {
    const tenant = newTenant();
    await append(tenant, 1, { refs: ["c"] });
    await ground.seal();
    const old = await ground.log.checkpoint();
    await append(tenant, 2, { refs: ["c"] });
    const { header } = read(await bytesOf({ refs: ["c"], consistency_from: old.size }, tenant));
    expect(Object.keys(header)).toEqual(["v", "origin", "checkpoint", "consistency", "count", "opened"]);
    expect(header.consistency?.from).toBe(old.size);
    expect(header.consistency?.proof.length).toBeGreaterThan(0);
    for (const from of [0, 1_000_000]) {
      const made = bytesOf({ refs: ["c"], consistency_from: from }, tenant);
      await expect(made).rejects.toMatchObject({ code: "EVIDENCE_BAD_RANGE" });
    }
  });

  it("opens private fields, with the keys that their commitments verify by, and is recorded before its first byte", async () => {
    const tenant = newTenant();
    const field = (value: string, redaction: "keep" | "drop" = "keep") => ({
      class: "prompts" as const,
      value,
      redaction,
    });
    const id = await append(tenant, 1, {
      refs: ["p"],
      private: { note: field("hello"), other: field("shut"), gone: field("x", "drop") },
    });
    await append(tenant, 2, { refs: ["p"] });
    const opened = () => ground.ledger.list({ tenant, kind: "evidence.opened", limit: 10 });
    expect(read(await bytesOf({ refs: ["p"] }, tenant)).lines.some(({ open }) => open !== undefined)).toBe(false);
    expect((await opened()).items).toHaveLength(0);

    const bundle = await bundles.make({ refs: ["p"], open: ["note", "gone", "note"] }, asker(tenant), never);
    expect((await opened()).items).toMatchObject([{ data: { fields: ["gone", "note"], entries: 2 }, refs: ["p"] }]);
    bundle.close();

    const { header, lines, bodies } = read(await bytesOf({ refs: ["p"], open: ["note", "gone"] }, tenant));
    expect(header.opened).toEqual(["gone", "note"]);
    expect(lines.map(({ open }) => Object.keys(open ?? {}))).toEqual([["note"], [], []]);
    const { k = "", v = "" } = lines[0]?.open?.["note"] ?? {};
    expect(Buffer.from(v, "base64").toString()).toBe("hello");
    const commitment = createHmac("sha256", Buffer.from(k, "base64")).update(`gantry.field.v1\0${id}\0note\0hello`);
    expect(bodies[0]).toMatchObject({ sealed: { note: commitment.digest("hex") } });
    // The opening itself is named by the same ref.
    expect(bodies[2]).toMatchObject({ kind: "evidence.opened" });
  });
});

describe("a bundle is refused", () => {
  it("for what the tenant does not have, as if it were absent", async () => {
    const [tenant, other] = [newTenant(), newTenant()];
    const own = await append(tenant, 1, { refs: ["mine"] });
    const foreign = await append(other, 2, { refs: ["theirs"] });
    for (const ask of [{ refs: ["theirs"] }, { ids: [foreign] }, { ids: [own, foreign] }]) {
      await expect(bytesOf(ask, tenant)).rejects.toMatchObject({ code: "EVIDENCE_UNKNOWN" });
    }
  });

  it("past BUNDLE_ENTRIES_MAX entries, and made at exactly so many", async () => {
    expect(BUNDLE_ENTRIES_MAX).toBe(1_000_000);
    const tenant = newTenant();
    for (let n = 0; n < 4; n++) await append(tenant, n, { refs: [n < 3 ? "three" : "x", "four"] });
    await ground.seal();
    const small = bundlesOf({ entries_max: 3 });
    expect(read(await bytesOf({ refs: ["three"] }, tenant, never, small)).lines).toHaveLength(3);
    const { size } = await ground.log.checkpoint();
    for (const ask of [{ refs: ["four"] }, { since: 0 }, { range: { from: size - 4, to: size } }]) {
      await expect(bytesOf(ask, tenant, never, small)).rejects.toMatchObject({ code: "EVIDENCE_TOO_MANY" });
    }
    const range = { from: size - 4, to: size - 1 };
    expect(read(await bytesOf({ range }, tenant, never, small)).lines).toHaveLength(3);
  });

  it("while BUNDLES_MAX others are made, and not when one of them has been taken, left or refused", async () => {
    const tenant = newTenant();
    await append(tenant, 1, { refs: ["m"] });
    const make = () => bundles.make({ refs: ["m"] }, asker(tenant), never);
    const going = [];
    for (let n = 0; n < BUNDLES_MAX; n++) going.push(await make());
    await expect(make()).rejects.toMatchObject({ code: "EVIDENCE_BUNDLES" });
    going[0]?.close();
    going[0]?.close();
    going[0] = await make();
    await expect(make()).rejects.toMatchObject({ code: "EVIDENCE_BUNDLES" });
    for (let next = await going[1]?.chunks.next(); next?.done === false; next = await going[1]?.chunks.next());
    await expect(bytesOf({ refs: ["none"] }, tenant)).rejects.toMatchObject({ code: errors.UNKNOWN.code });
    (await make()).close();
    for (const each of going) each.close();
  });

  it("when nothing seals its entries for SEAL_WAIT_MS, and waits until then", async () => {
    const unsealed = await openGround({ kinds });
    try {
      const { storage, ledger, log, ids } = unsealed;
      const clock = new VirtualClock();
      const tenant = ids("ten");
      await storage.write((tx) =>
        ledger.append(tx, { kind: "note.made", tenant, actor: [], refs: ["w"], data: { n: 1 } }),
      );
      const own = new LogBundles({ storage, clock, log, values: new RecordedOpening({ storage, ledger }) });
      const made = own.make({ refs: ["w"] }, asker(tenant), never);
      let settled = false;
      const watched = made.then(
        () => undefined,
        (error: unknown) => {
          settled = true;
          return error;
        },
      );
      await eventually(() => clock.pending === 1, "the wait to begin");
      clock.advance(SEAL_WAIT_MS - 1);
      await eventually(() => clock.pending === 1, "the wait to begin");
      expect(settled).toBe(false);
      clock.advance(SEAL_WAIT_MS);
      expect(await watched).toMatchObject({ code: "EVIDENCE_NOT_SEALED" });
    } finally {
      await unsealed.remove();
    }
  });
});

it("a bundle that is left has no trailer", async () => {
  const tenant = newTenant();
  for (let n = 0; n < 3; n++) await append(tenant, n, { refs: ["left"] });
  const bundle = await bundles.make({ refs: ["left"] }, asker(tenant), never);
  const first = await bundle.chunks.next();
  expect(Buffer.from(first.value as Uint8Array).toString()).toContain('"checkpoint"');
  bundle.close();
  const next = await bundle.chunks.next();
  expect(next).toEqual({ done: true, value: undefined });
});

it("what a newer checkpoint covers is left out of an older one's bundle", async () => {
  const tenant = newTenant();
  for (let n = 0; n < 3; n++) await append(tenant, n);
  await ground.seal();
  const { size } = await ground.log.checkpoint();
  const indices = (below: number) => selectIndices(ground.storage, { by: "since", since: 0, tenant }, below, 10);
  expect(await indices(size)).toEqual([size - 3, size - 2, size - 1]);
  expect(await indices(size - 1)).toEqual([size - 3, size - 2]);
});
