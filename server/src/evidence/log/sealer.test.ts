import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { NaiveTree } from "../../../../tests/fixtures/tree.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { silentLogger } from "../../kernel/log.ts";
import { noMetrics } from "../../kernel/telemetry.ts";
import {
  type Checkpoint,
  SEAL_BATCH_MAX,
  SEAL_EVERY_MS,
  SEAL_LOCK_MS,
  SEAL_NOW_ENTRIES,
  SEAL_POLL_MS,
} from "../contract.ts";
import { LogGuard } from "./guard.ts";
import { checkpointText, openNote, parseVkey } from "./note.ts";
import { Sealer } from "./sealer.ts";
import { leafHash, rootOf } from "./tree.ts";

const ORIGIN = "sealer.test/log";
/** Entries of a new ground: tenant, two actors, a token, a login link. */
const FIRST = 5;

let ground: Ground;
let released: Checkpoint[];
let measured: [string, number][];

async function begin(o: { clock?: VirtualClock } = {}): Promise<void> {
  measured = [];
  const metrics = {
    ...noMetrics,
    add: (name: string, _labels?: object, by = 1) => void measured.push([name, by]),
    observe: (name: string, value: number) => void measured.push([name, value]),
  };
  ground = await openGround({ ...o, sealing: true, sealer: { origin: ORIGIN, metrics } });
  released = [];
  ground.sealer.onReleased((checkpoint) => released.push(checkpoint));
}
afterEach(() => ground.remove());

/** In units of at most 500 entries. */
async function append(count: number): Promise<void> {
  const { storage, ledger, owned } = ground;
  const data = { token: "tok_x", actor: owned.owner, cause: "asked" };
  for (let left = count; left > 0; left -= 500) {
    await storage.write((tx) => {
      for (let i = 0; i < Math.min(left, 500); i++) {
        ledger.append(tx, { kind: "token.revoked", tenant: owned.tenant, actor: [], data });
      }
    });
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

async function bodiesByArrival(): Promise<Uint8Array[]> {
  const bodies: Uint8Array[] = [];
  for await (const page of ground.storage.scan("SELECT body FROM evidence_entries ORDER BY arrival", [])) {
    for (const row of page) bodies.push(row["body"] as Uint8Array);
  }
  return bodies;
}

async function count(table: string): Promise<number> {
  return Number((await ground.storage.get(`SELECT COUNT(*) AS n FROM ${table}`, []))?.["n"]);
}

describe("a log under a real clock", () => {
  beforeEach(() => begin());

  it("begins with the first entries, in the order of their arrival, under a name and a key of its own", async () => {
    const note = await ground.seal();
    const bodies = await bodiesByArrival();
    expect(bodies).toHaveLength(FIRST);
    const root = new NaiveTree(bodies.map(leafHash)).root(0, FIRST);
    const keys = await ground.log.keys();
    expect(keys).toMatchObject([{ from_size: 0, to_size: null }]);
    const key = parseVkey(keys[0]!.vkey)!;
    expect(openNote(note, [key])).toEqual({
      text: checkpointText({ origin: ORIGIN, size: FIRST, root }),
      signed_by: [key],
    });
    const checkpoint = await ground.log.checkpoint();
    expect({ ...checkpoint, root: hex(checkpoint.root) }).toMatchObject({ note, origin: ORIGIN, root: hex(root) });
    expect(await ground.log.checkpointAt(FIRST)).toEqual(await ground.log.checkpoint());
    expect(await ground.log.checkpointAt(FIRST - 1)).toBeUndefined();
    expect(await ground.log.bodies(0, FIRST)).toEqual(bodies);
    expect(await ground.log.bodies(1, 2)).toEqual(bodies.slice(1, 2));
    expect(await count("evidence_pending")).toBe(0);
    expect(Buffer.from((await ground.files.read("log.pub"))!).toString()).toBe(`${keys[0]!.vkey}\n`);
  });

  it("has an index for every entry, without a gap, and every checkpoint agrees with all later ones", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 4 }), async (batches) => {
        for (const batch of batches) {
          await append(batch);
          await ground.seal();
        }
      }),
      { numRuns: 4 },
    );
    const bodies = await bodiesByArrival();
    expect((await ground.log.checkpoint()).size).toBe(bodies.length);
    expect(await ground.log.bodies(0, bodies.length)).toEqual(bodies);
    const tree = new NaiveTree(bodies.map(leafHash));
    for (const { size, root, note } of released) {
      expect(hex(root), `at ${size}`).toBe(hex(tree.root(0, size)));
      expect(hex(await rootOf(ground.log.tiles, size)), `at ${size}`).toBe(hex(root));
      expect((await ground.log.checkpointAt(size))?.note).toBe(note);
    }
  });

  it.each([
    [SEAL_BATCH_MAX, [SEAL_BATCH_MAX]],
    [SEAL_BATCH_MAX + 1, [SEAL_BATCH_MAX, SEAL_BATCH_MAX + 1]],
  ])(
    "of %i entries that wait takes SEAL_BATCH_MAX at once, and the rest at once behind them",
    async (waiting, sizes) => {
      await ground.remove();
      ground = await openGround();
      await append(waiting - FIRST);
      const { directory } = ground;
      await ground.stop();
      released = [];
      // No time passes by itself: nothing is sealed before the test listens.
      ground = await openGround({ directory, sealing: true, clock: new VirtualClock() });
      ground.sealer.onReleased((checkpoint) => released.push(checkpoint));
      await ground.sealer.seal();
      expect(released.map(({ size }) => size)).toEqual(sizes);
      expect(await count("evidence_leaves")).toBe(waiting);
    },
  );

  it("counts what is sealed, and how long the oldest waited", async () => {
    await ground.seal();
    await append(3);
    await ground.seal();
    const sealed = measured.filter(([name]) => name === "gantry_evidence_sealed_total");
    expect(sealed.reduce((sum, [, by]) => sum + by, 0)).toBe(FIRST + 3);
    expect(measured.filter(([name]) => name === "gantry_evidence_seal_lag_seconds")).toHaveLength(sealed.length);
  });

  it("keeps the newest checkpoint beside the database when it stops, sealed to the end", async () => {
    await append(10);
    const { directory } = ground;
    await ground.stop();
    ground = await openGround({ directory, sealing: true });
    const { note, size } = await ground.log.checkpoint();
    expect(size).toBe(FIRST + 10);
    expect(Buffer.from((await ground.files.read("checkpoint.latest"))!).toString()).toBe(note);
  });

  it("goes on where an earlier start stopped, with the same key", async () => {
    await ground.seal();
    const keys = await ground.log.keys();
    const { directory } = ground;
    await ground.stop();
    ground = await openGround({ directory, sealing: true, sealer: { origin: "another.test/log" } });
    await append(1);
    await ground.seal();
    expect(await ground.log.checkpoint()).toMatchObject({ origin: ORIGIN, size: FIRST + 1 });
    expect(await ground.log.keys()).toEqual(keys);
  });

  it("has a random name where none is given", async () => {
    await ground.remove();
    ground = await openGround({ sealing: true });
    await ground.seal();
    expect((await ground.log.checkpoint()).origin).toMatch(/^gantry-[0-9a-f]{16}$/);
  });
});

describe("a log under a clock of its own", () => {
  let clock: VirtualClock;
  beforeEach(async () => {
    clock = new VirtualClock();
    await begin({ clock });
    await ground.seal();
    released = [];
  });

  const sizes = () => released.map(({ size }) => size);

  it("tells an entry's index once it is sealed, to its own tenant", async () => {
    const { tenant, owner } = ground.owned;
    const id = await ground.storage.write((tx) =>
      ground.ledger.append(tx, {
        kind: "token.revoked",
        tenant,
        actor: [],
        data: { token: "tok_x", actor: owner, cause: "asked" },
      }),
    );
    expect(await ground.log.indexOf(id, tenant)).toBeUndefined();
    await ground.seal();
    expect(await ground.log.indexOf(id, tenant)).toBe(FIRST);
    await expect(ground.log.indexOf(id, "ten_other" as typeof tenant)).rejects.toMatchObject({
      code: "EVIDENCE_UNKNOWN",
    });
  });

  it("seals an entry SEAL_EVERY_MS after it came, whoever comes later", async () => {
    await append(1);
    clock.advance(SEAL_EVERY_MS - 1);
    await append(1);
    expect(sizes()).toEqual([]);
    clock.advance(1);
    await eventually(() => sizes().length === 1, "a checkpoint");
    expect(sizes()).toEqual([FIRST + 2]);
  });

  it("does not wait for SEAL_EVERY_MS when SEAL_NOW_ENTRIES have come", async () => {
    await append(SEAL_NOW_ENTRIES - 1);
    expect(sizes()).toEqual([]);
    await append(1);
    await eventually(() => sizes().length > 0, "a checkpoint");
    await ground.sealer.seal();
    expect(sizes().at(-1)).toBe(FIRST + SEAL_NOW_ENTRIES);
  });

  it("finds after SEAL_POLL_MS what it was not told of", async () => {
    clock.advance(10 * SEAL_EVERY_MS);
    await ground.sealer.seal();
    await ground.storage.write((tx) => {
      tx.run(
        "INSERT INTO evidence_entries (id, tenant, kind, at, body) SELECT 'ent_x', tenant, kind, at, body FROM evidence_entries WHERE arrival = 1",
        [],
        1,
      );
      tx.run(
        "INSERT INTO evidence_pending (arrival, leaf) SELECT arrival, ? FROM evidence_entries WHERE id = 'ent_x'",
        [new Uint8Array(32)],
        1,
      );
    });
    clock.advance(SEAL_POLL_MS);
    await eventually(() => sizes().length === 1, "a checkpoint");
  });

  it("is sealed by one of two sealers; the other takes over when SEAL_LOCK_MS are over and nothing moves", async () => {
    const second = new Sealer({
      ...ground,
      metrics: noMetrics,
      log: silentLogger,
      guard: new LogGuard(noMetrics),
      owner: "second",
    });
    const by_second: number[] = [];
    second.onReleased(({ size }) => by_second.push(size));
    await second.start();
    await append(1);
    await second.seal();
    expect(by_second).toEqual([]);
    await ground.seal();
    expect(sizes()).toEqual([FIRST + 1]);

    // The first one stands still from here on: it is not told, and its time passes.
    await append(1);
    const stalled = ground.sealer;
    for (let passed = 0; passed <= SEAL_LOCK_MS + SEAL_POLL_MS; passed += SEAL_POLL_MS) {
      await second.seal();
      if (by_second.length > 0) break;
      clock.advance(SEAL_POLL_MS);
      await stalled.seal();
    }
    await second.close();
    expect(await count("evidence_pending")).toBe(0);
    expect(new Set([...sizes(), ...by_second]).size).toBe(sizes().length + by_second.length);
  });
});
