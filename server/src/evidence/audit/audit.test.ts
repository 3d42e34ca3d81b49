import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AuditedLedger, openAuditedLedger } from "../../../../tests/fixtures/audited_ledger.ts";
import { bootstrap } from "../../identity/bootstrap.ts";
import { ContractPolicy } from "../../policy/policy.ts";
import { AUDITS_MAX, errors } from "../contract.ts";
import { LATEST_FILE } from "../log/history.ts";
import { checkpointText, signNote } from "../log/note.ts";
import { growTiles, leafHash } from "../log/tree.ts";

describe("the audit of a ledger", () => {
  const HASH = 32;

  let ledger: AuditedLedger;

  beforeAll(async () => {
    ledger = await openAuditedLedger();
  });
  afterEach(() => ledger.putBack());
  afterAll(() => ledger.remove());

  async function bodyAt(index: number): Promise<Buffer> {
    const [row] = await ledger.raw.rows(
      `SELECT body FROM evidence_entries WHERE arrival = ${await ledger.arrivalAt(index)}`,
    );
    return Buffer.from(row?.["body"] as Uint8Array);
  }

  async function setBody(index: number, body: Uint8Array): Promise<void> {
    await ledger.raw.run("UPDATE evidence_entries SET body = ? WHERE arrival = ?", [
      body,
      await ledger.arrivalAt(index),
    ]);
  }

  /** Another fact in the same form. */
  function forged(body: Buffer): Buffer {
    return Buffer.from(body.toString("utf8").replace('"cause":"asked"', '"cause":"other"'));
  }

  async function tileAt(level: number, n: number): Promise<Buffer> {
    const [row] = await ledger.raw.rows(`SELECT bytes FROM evidence_tiles WHERE level = ${level} AND n = ${n}`);
    return Buffer.from(row?.["bytes"] as Uint8Array);
  }

  async function setTile(level: number, n: number, bytes: Uint8Array): Promise<void> {
    await ledger.raw.run("UPDATE evidence_tiles SET bytes = ? WHERE level = ? AND n = ?", [bytes, level, n]);
  }

  /** The tile says what the body makes it say. */
  async function setLeaf(index: number, leaf: Uint8Array): Promise<void> {
    const n = Math.floor(index / 256);
    const tile = await tileAt(0, n);
    tile.set(leaf, (index % 256) * HASH);
    await setTile(0, n, tile);
  }

  /** What somebody does who has the key: a new log over the bodies, of one checkpoint and any length. */
  async function rebuild(size: number): Promise<void> {
    const { raw, signer } = ledger;
    const stored = await raw.rows(
      "SELECT e.body FROM evidence_leaves l JOIN evidence_entries e ON e.arrival = l.arrival ORDER BY l.idx",
    );
    const bodies = stored.slice(0, size).map(({ body }) => Buffer.from(body as Uint8Array));
    const arrivals = `(SELECT arrival FROM evidence_leaves WHERE idx >= ${size})`;
    for (const table of ["entries", "refs", "pending"]) {
      await raw.run(
        `DELETE FROM evidence_${table} WHERE arrival IN ${arrivals} OR arrival IN (SELECT arrival FROM evidence_pending)`,
      );
    }
    await raw.run("DELETE FROM evidence_leaves WHERE idx >= ?", [size]);
    const { root, tiles } = await growTiles({ tile: async () => undefined }, 0, bodies.map(leafHash));
    await raw.run("DELETE FROM evidence_tiles");
    for (const { level, n, width, bytes } of tiles) {
      await raw.run("INSERT INTO evidence_tiles (level, n, width, bytes) VALUES (?, ?, ?, ?)", [
        level,
        n,
        width,
        bytes,
      ]);
    }
    const note = signNote(checkpointText({ origin: signer.name, size, root }), [signer]);
    await raw.run("DELETE FROM evidence_checkpoints");
    await raw.run("INSERT INTO evidence_checkpoints (size, root, note, at) VALUES (?, ?, ?, 1)", [size, root, note]);
    await raw.run("UPDATE evidence_log SET size = ?, root = ?", [size, root]);
  }

  describe("an audit of a ledger that nobody touched", () => {
    it("passes, and says what it looked at", async () => {
      const report = await ledger.audit({ saved: ledger.notes[1]! });
      expect(report).toEqual({
        ok: true,
        size: 320,
        root: ledger.notes[2]!.split("\n")[2],
        compared: { saved: 20, latest: 320 },
        counts: { sealed: 320, pending: 3, tiles: 3, checkpoints: 3, rows: 4, values: 0 },
        first_bad: null,
      });
    });

    it("compares a witness's file by its last whole note", async () => {
      const [first, second] = [ledger.notes[0]!, ledger.notes[1]!];
      // As it is appended to, and as a crash has cut it off.
      for (const end of ["\n", "", `\n${ledger.notes[2]!.slice(0, 30)}`]) {
        const report = await ledger.audit({ saved: `${first}\n${second}${end}` });
        expect(report).toMatchObject({ ok: true, compared: { saved: 20 } });
      }
    });

    it("passes after rows were changed in every way that the rooms know", async () => {
      const { identity, owner, storage } = ledger;
      const policy = new ContractPolicy(ledger);
      const text = (wall: number) => `kind: Contract\nname: probe\nextends: scratch\nlimits: { wall_ms: ${wall} }\n`;
      for (let wall = 1_012; wall > 1_000; wall--) await policy.apply({ name: "probe.yaml", text: text(wall) }, owner);
      expect(await ledger.audit()).toMatchObject({ ok: true, counts: { rows: 4 + 12 } });
      const { tenant } = await identity.createTenant(owner, "second");
      await identity.setTenantState(owner, tenant.id, "suspended");
      const actor = await identity.createActor(owner, { kind: "agent", name: "bot" });
      await identity.mintToken(owner, { actor: actor.id, scopes: ["run:read"] });
      const token = await identity.mintToken(owner, { scopes: ["run:read"] });
      await identity.revokeToken(owner, token.id);
      await identity.setActorState(owner, actor.id, "suspended");
      await identity.setActorState(owner, actor.id, "active");
      await bootstrap({ ...ledger, storage });
      expect(await ledger.audit()).toMatchObject({ ok: true, counts: { rows: 16 + 3 + 3 } });
      await ledger.seal();
      expect(await ledger.audit()).toMatchObject({ ok: true, first_bad: null });
    });

    it("goes on by page through thousands of entries and values", async () => {
      await ledger.append(2_100, { prompt: { class: "prompts", value: "hello", redaction: "keep" } });
      await ledger.seal();
      const told: string[] = [];
      const report = await ledger.audit({
        progress: ({ part, done, total }) => told.push(`${part} ${done} of ${total}`),
      });
      expect(report).toMatchObject({ ok: true, size: 2_423, counts: { values: 2_100 } });
      expect(told).toEqual(expect.arrayContaining(["entries 2000 of 2423", "values 2000 of 2100"]));
    });
  });

  describe("an audit names the first bad entry when", () => {
    it("a body was edited", async () => {
      await setBody(15, forged(await bodyAt(15)));
      await setBody(200, forged(await bodyAt(200)));
      await ledger.expectBadEntry(15, "leaf");
    });

    it("a body and its leaf were edited: the last checkpoint that holds says where to look", async () => {
      const body = forged(await bodyAt(15));
      await setBody(15, body);
      await setLeaf(15, leafHash(body));
      await ledger.expectBadEntry(10, "root");
    });

    it("an entry was deleted", async () => {
      await ledger.raw.run("DELETE FROM evidence_entries WHERE arrival = ?", [await ledger.arrivalAt(15)]);
      await ledger.expectFirstBad({ index: 15, entry: null, check: "entry" });
    });

    it("an entry was deleted with its leaf", async () => {
      const arrival = await ledger.arrivalAt(15);
      await ledger.raw.run("DELETE FROM evidence_entries WHERE arrival = ?", [arrival]);
      await ledger.raw.run("DELETE FROM evidence_leaves WHERE arrival = ?", [arrival]);
      await ledger.expectFirstBad({ index: 15, entry: null, check: "index" });
    });

    it("two bodies were swapped", async () => {
      const [a, b] = [await bodyAt(15), await bodyAt(17)];
      await setBody(15, b);
      await setBody(17, a);
      await ledger.expectBadEntry(15, "leaf");
    });

    it("two places in the log were swapped, the leaves with them", async () => {
      const [a, b] = [await ledger.arrivalAt(15), await ledger.arrivalAt(17)];
      const [leaf_a, leaf_b] = [leafHash(await bodyAt(15)), leafHash(await bodyAt(17))];
      await ledger.raw.run("DELETE FROM evidence_leaves WHERE idx IN (15, 17)");
      await ledger.raw.run("INSERT INTO evidence_leaves (idx, arrival) VALUES (15, ?), (17, ?)", [b, a]);
      await ledger.expectBadEntry(15, "leaf");
      await setLeaf(15, leaf_b);
      await setLeaf(17, leaf_a);
      await ledger.expectBadEntry(16, "order");
    });

    it("a sealed entry waits once more", async () => {
      await ledger.raw.run("INSERT INTO evidence_pending (arrival, leaf) VALUES (?, ?)", [
        await ledger.arrivalAt(15),
        leafHash(await bodyAt(15)),
      ]);
      await ledger.expectBadEntry(15, "place");
    });

    it("the tail was cut off, all of it, and everything beside the database is older or gone", async () => {
      await rebuild(20);
      await ledger.expectFirstBad({ index: 20, entry: null, check: "latest" });
      await ledger.files.replace(LATEST_FILE, ledger.notes[0]!);
      await ledger.expectFirstBad({ index: 20, entry: null, check: "saved" }, ledger.notes[2]);
      // Whoever keeps no copy elsewhere cannot know.
      expect(await ledger.audit()).toMatchObject({ ok: true, compared: { latest: 10, saved: null } });
    });

    it("only the checkpoints of the tail were cut off", async () => {
      await ledger.raw.run("DELETE FROM evidence_checkpoints WHERE size = 320");
      await ledger.expectBadEntry(319, "head");
    });

    it("only the leaves of the tail were cut off", async () => {
      await ledger.raw.run("DELETE FROM evidence_leaves WHERE idx >= 200");
      await ledger.expectFirstBad({ index: 200, entry: null, check: "tile" });
    });

    it("the log was made anew with the same key", async () => {
      await setBody(15, forged(await bodyAt(15)));
      await rebuild(320);
      await ledger.expectBadEntry(0, "latest");
      const { root } = await ledger.audit();
      await ledger.files.replace(
        LATEST_FILE,
        signNote(checkpointText({ origin: ledger.signer.name, size: 320, root: Buffer.from(root, "base64") }), [
          ledger.signer,
        ]),
      );
      expect(await ledger.audit()).toMatchObject({ ok: true });
      expect(await ledger.audit({ saved: ledger.notes[0]! })).toMatchObject({ ok: true, compared: { saved: 10 } });
      await ledger.expectBadEntry(0, "saved", ledger.notes[1]);
    });

    it("a tile was edited", async () => {
      const leaves = await tileAt(0, 1);
      leaves[7 * HASH]! ^= 1;
      await setTile(0, 1, leaves);
      await ledger.expectBadEntry(263, "leaf");
      leaves[7 * HASH]! ^= 1;
      await setTile(0, 1, leaves);
      const upper = await tileAt(1, 0);
      upper[3]! ^= 1;
      await setTile(1, 0, upper);
      await ledger.expectBadEntry(0, "tile");
    });

    it("a tile is gone, too wide, or not of this tree", async () => {
      const last = await tileAt(0, 1);
      await ledger.raw.run("UPDATE evidence_tiles SET width = 65, bytes = ? WHERE level = 0 AND n = 1", [
        Buffer.concat([last, last.subarray(0, HASH)]),
      ]);
      await ledger.expectFirstBad({ index: 320, entry: null, check: "tile" });
      await ledger.raw.run("DELETE FROM evidence_tiles WHERE level = 0 AND n = 1");
      await ledger.expectBadEntry(256, "leaf");
      await ledger.raw.run("INSERT INTO evidence_tiles (level, n, width, bytes) VALUES (0, 1, 64, ?), (0, 2, 64, ?)", [
        last,
        last,
      ]);
      await ledger.expectFirstBad({ index: 320, entry: null, check: "tile" });
    });

    it("a column or a ref says something else than the body", async () => {
      const { raw } = ledger;
      const arrival = await ledger.arrivalAt(15);
      await raw.run("UPDATE evidence_entries SET kind = 'token.minted' WHERE arrival = ?", [arrival]);
      await ledger.expectBadEntry(15, "columns");
      await raw.run("UPDATE evidence_entries SET kind = 'token.revoked' WHERE arrival = ?", [arrival]);
      await raw.run("INSERT INTO evidence_refs (ref, arrival) VALUES ('run_other', ?)", [arrival]);
      await ledger.expectBadEntry(15, "refs");
      await raw.run("DELETE FROM evidence_refs WHERE ref IN ('run_other', 'act_all') AND arrival = ?", [arrival]);
      await ledger.expectBadEntry(15, "refs");
    });
  });

  describe("an audit names the checkpoint when", () => {
    it("its row, its note or its signature was edited", async () => {
      const { raw, signer } = ledger;
      const [row] = await raw.rows("SELECT root FROM evidence_checkpoints WHERE size = 20");
      const root = Buffer.from(row!["root"] as Uint8Array);
      await raw.run("UPDATE evidence_checkpoints SET root = ? WHERE size = 20", [Buffer.alloc(HASH)]);
      await ledger.expectBadEntry(19, "checkpoint");
      await raw.run("UPDATE evidence_checkpoints SET root = ?, note = ? WHERE size = 20", [
        root,
        ledger.notes[1]!.replace("\n20\n", "\n21\n"),
      ]);
      await ledger.expectBadEntry(19, "signature");
      const other = signNote(checkpointText({ origin: "another.test/log", size: 20, root }), [signer]);
      await raw.run("UPDATE evidence_checkpoints SET note = ? WHERE size = 20", [other]);
      await ledger.expectBadEntry(19, "checkpoint");
      await raw.run("UPDATE evidence_checkpoints SET note = ? WHERE size = 20", [
        `${ledger.notes[1]!}— somebody AAAAAAAA\n`,
      ]);
      await ledger.expectBadEntry(19, "signature");
    });

    it("its key was not valid at its size", async () => {
      await ledger.raw.run("UPDATE evidence_keys SET from_size = 11");
      await ledger.expectBadEntry(9, "signature");
      await ledger.raw.run("UPDATE evidence_keys SET from_size = 0, to_size = 319");
      await ledger.expectBadEntry(319, "signature");
    });

    it("the head of the log was edited", async () => {
      await ledger.raw.run("UPDATE evidence_log SET size = 20");
      await ledger.expectBadEntry(20, "head");
      await ledger.raw.run("UPDATE evidence_log SET size = 320, root = ?", [Buffer.alloc(HASH)]);
      await ledger.expectBadEntry(319, "head");
      await ledger.raw.run("DELETE FROM evidence_log");
      expect((await ledger.audit()).ok).toBe(false);
    });

    it("the copies beside the database are of another log, of another key, or no checkpoint", async () => {
      const { files } = ledger;
      await files.replace(LATEST_FILE, "nonsense");
      await ledger.expectBadEntry(0, "latest");
      await files.replace(LATEST_FILE, ledger.notes[2]!);
      await ledger.expectBadEntry(0, "saved", ledger.notes[2]!.replace(ledger.signer.name, "another.test/log"));
      await expect(ledger.audit({ saved: "nonsense" })).rejects.toMatchObject({ code: errors.BAD_NOTE.code });
    });
  });

  describe("an audit names what waits to be sealed when", () => {
    let id: string;
    let arrival: number;
    beforeEach(async () => {
      const rows = await ledger.raw.rows(
        "SELECT e.id, e.arrival FROM evidence_pending p JOIN evidence_entries e ON e.arrival = p.arrival ORDER BY e.arrival",
      );
      id = String(rows[1]?.["id"]);
      arrival = Number(rows[1]?.["arrival"]);
    });

    it("a body was edited", async () => {
      const [row] = await ledger.raw.rows(`SELECT body FROM evidence_entries WHERE arrival = ${arrival}`);
      await ledger.raw.run("UPDATE evidence_entries SET body = ? WHERE arrival = ?", [
        forged(Buffer.from(row!["body"] as Uint8Array)),
        arrival,
      ]);
      await ledger.expectFirstBad({ index: null, entry: id, check: "leaf" });
    });

    it("an entry was taken out", async () => {
      await ledger.raw.run("DELETE FROM evidence_pending WHERE arrival = ?", [arrival]);
      await ledger.expectFirstBad({ index: null, entry: id, check: "place" });
      await ledger.raw.run("DELETE FROM evidence_entries WHERE arrival = ?", [arrival]);
      await ledger.raw.run("DELETE FROM evidence_refs WHERE arrival = ?", [arrival]);
      // An entry that was never sealed, gone without a trace: nothing was promised of it yet.
      expect(await ledger.audit()).toMatchObject({ ok: true });
    });

    it("only its body was taken out", async () => {
      await ledger.raw.run("DELETE FROM evidence_entries WHERE arrival = ?", [arrival]);
      await ledger.raw.run("DELETE FROM evidence_refs WHERE arrival = ?", [arrival]);
      await ledger.expectFirstBad({ index: null, entry: null, check: "entry" });
    });

    it("it arrived before what is sealed", async () => {
      const body = await bodyAt(15);
      const moved = Buffer.from(body.toString("utf8").replace(/"id":"ent_[^"]+"/, '"id":"ent_forged"'));
      const { tenant, at, kind } = JSON.parse(body.toString("utf8"));
      const sql =
        "INSERT INTO evidence_entries (arrival, id, tenant, kind, at, body) VALUES (-5, 'ent_forged', ?, ?, ?, ?)";
      await ledger.raw.run(sql, [tenant, kind, at, moved]);
      for (const ref of JSON.parse(body.toString("utf8")).refs) {
        await ledger.raw.run("INSERT INTO evidence_refs (ref, arrival) VALUES (?, -5)", [ref]);
      }
      await ledger.raw.run("INSERT INTO evidence_pending (arrival, leaf) VALUES (-5, ?)", [leafHash(moved)]);
      await ledger.expectFirstBad({ index: null, entry: "ent_forged", check: "order" });
    });
  });

  describe("audits", () => {
    it("go on one at a time (AUDITS_MAX), and the next may begin when one has ended", async () => {
      const auditor = await ledger.auditor();
      const running = Array.from({ length: AUDITS_MAX }, () => auditor.audit({}));
      await expect(auditor.audit({})).rejects.toMatchObject({ code: errors.AUDITS.code });
      await Promise.all(running);
      expect(await auditor.audit({})).toMatchObject({ ok: true, first_bad: null });
    });

    it("end when nobody waits for them", async () => {
      const auditor = await ledger.auditor();
      const left = new AbortController();
      const audit = auditor.audit({ signal: left.signal });
      left.abort(new Error("left"));
      await expect(audit).rejects.toThrow("left");
      expect(await auditor.audit({})).toMatchObject({ ok: true, first_bad: null });
    });
  });
});
