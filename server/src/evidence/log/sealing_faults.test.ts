import { chmod, copyFile, rm, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, type GroundOptions, openGround } from "../../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import type { Value } from "../../storage/contract.ts";
import { SEAL_POLL_MS } from "../contract.ts";
import { LOG_KEY_FILE, signerOf } from "./key.ts";
import { checkpointText, signNote } from "./note.ts";
import { generateKey } from "./private_key.ts";

const ORIGIN = "faults.test/log";
const FIRST = 5;

let ground: Ground;
let clock: VirtualClock;
/** What the sealer says in the log. */
let said: { level: string; text: string }[];

async function open(o: GroundOptions = {}): Promise<void> {
  clock = new VirtualClock();
  said = [];
  const say = (level: string) => (fields: object, message: string) =>
    void said.push({ level, text: `${message} ${JSON.stringify(fields)}` });
  const log = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
  ground = await openGround({ clock, sealing: true, ...o, sealer: { origin: ORIGIN, log, ...o.sealer } });
}

async function reopen(o: GroundOptions = {}, between: () => Promise<unknown> = async () => {}): Promise<void> {
  const { directory } = ground;
  await ground.stop();
  await between();
  await open({ directory, ...o });
}

beforeEach(() => open());
afterEach(() => ground.remove());

async function append(count = 1): Promise<void> {
  const { storage, ledger, owned } = ground;
  const data = { token: "tok_x", actor: owned.owner, cause: "asked" };
  await storage.write((tx) => {
    for (let i = 0; i < count; i++) {
      ledger.append(tx, { kind: "token.revoked", tenant: owned.tenant, actor: [], data });
    }
  });
}

const size = async () => (await ground.log.checkpoint()).size;
const edit = (sql: string, params: Value[] = []) => ground.storage.write((tx) => tx.run(sql, params, 1));
const path = (name: string) => `${ground.directory}/${name}`;

/** Nothing more is recorded, for this reason; nothing more was sealed; what is there is read. */
async function demandClosed(code: string, at: number): Promise<void> {
  const before = await ground.ledger.list({ limit: 50 });
  await expect(append()).rejects.toMatchObject({ code: "EVIDENCE_UNAVAILABLE", parts: { reasons: [{ code }] } });
  expect(ground.guard.refusal()?.kind).toMatchObject({ status: 503, retry: "safe" });
  expect(ground.guard.trouble()).toContain(code);
  await ground.sealer.seal();
  expect(await size()).toBe(at);
  expect(await ground.ledger.list({ limit: 50 })).toEqual(before);
  expect(said.filter(({ level }) => level === "error")).toHaveLength(1);
}

describe("a log that is not what was released", () => {
  beforeEach(async () => {
    await append(300);
    await ground.seal();
    await append(5);
  });
  const at = FIRST + 300;

  it.each([
    ["a leaf in its tiles", "UPDATE evidence_tiles SET bytes = ? WHERE level = 0 AND n = 1", [new Uint8Array(48 * 32)]],
    ["a node in its tiles", "UPDATE evidence_tiles SET bytes = ? WHERE level = 1 AND n = 0", [new Uint8Array(32)]],
    ["a tile less", "DELETE FROM evidence_tiles WHERE level = 0 AND n = 1", []],
    ["another root", "UPDATE evidence_log SET root = ?", [new Uint8Array(32)]],
    ["another size", "UPDATE evidence_log SET size = size - 1", []],
    ["no checkpoint of its size", "UPDATE evidence_checkpoints SET size = 1 WHERE size = 305", []],
    [
      "another root in its checkpoint",
      "UPDATE evidence_checkpoints SET root = ? WHERE size = 305",
      [new Uint8Array(32)],
    ],
    ["another note", "UPDATE evidence_checkpoints SET note = 'faults.test/log' WHERE size = 305", []],
  ] as const)("with %s is not sealed any further", async (_what, sql, params) => {
    await edit(sql, [...params]);
    const newest = Number((await ground.storage.get("SELECT MAX(size) AS n FROM evidence_checkpoints", []))?.["n"]);
    await ground.sealer.seal();
    expect(await ground.storage.get("SELECT MAX(size) AS n FROM evidence_checkpoints", [])).toEqual({ n: newest });
    await expect(append()).rejects.toMatchObject({
      code: "EVIDENCE_UNAVAILABLE",
      parts: { reasons: [{ code: expect.stringMatching(/^EVIDENCE_(FORKED|ROLLBACK)$/) }] },
    });
    expect((await ground.ledger.list({ limit: 5 })).items).toHaveLength(5);
  });

  it("is found at the next start too, and stays closed until it is repaired", async () => {
    const tile = await ground.storage.get("SELECT bytes FROM evidence_tiles WHERE level = 0 AND n = 1", []);
    await ground.seal();
    const full = await ground.storage.get("SELECT bytes FROM evidence_tiles WHERE level = 0 AND n = 1", []);
    await edit("UPDATE evidence_tiles SET bytes = ? WHERE level = 0 AND n = 1", [tile!["bytes"]!]);
    await reopen();
    await demandClosed("EVIDENCE_FORKED", at + 5);
    await edit("UPDATE evidence_tiles SET bytes = ? WHERE level = 0 AND n = 1", [full!["bytes"]!]);
    await reopen();
    await append();
    await ground.seal();
    expect(await size()).toBe(at + 6);
  });
});

describe("an older copy of the database", () => {
  /** Of the log of a new ground. */
  const copy = () => path("copy.db");
  beforeEach(async () => {
    await ground.seal();
    await reopen({}, () => copyFile(path("gantry.db"), copy()));
    await append(10);
    await ground.seal();
  });

  const restore = () => copyFile(copy(), path("gantry.db"));

  it("is refused by the checkpoint that is kept beside it; reads go on", async () => {
    await reopen({}, restore);
    await demandClosed("EVIDENCE_ROLLBACK", FIRST);
    await reopen();
    await demandClosed("EVIDENCE_ROLLBACK", FIRST);
  });

  it("is refused when the same entries were sealed in another order of another past", async () => {
    await reopen({}, async () => {
      await restore();
      await rm(path("checkpoint.latest"));
    });
    // The other past: as many entries, of other salts.
    await append(10);
    const latest = await ground.seal();
    await reopen({}, async () => {
      await restore();
      await rm(path("checkpoint.latest"));
    });
    await append(12);
    await ground.seal();
    await reopen({}, () => writeFile(path("checkpoint.latest"), latest, { mode: 0o600 }));
    await demandClosed("EVIDENCE_FORKED", FIRST + 12);
  });

  it("is refused by a witness's copy", async () => {
    const note = await ground.seal();
    const witness = { name: "file:/w", newest: async () => note };
    await reopen({ sealer: { witnesses: [witness] } }, async () => {
      await restore();
      await rm(path("checkpoint.latest"));
    });
    await ground.sealer.seal();
    await demandClosed("EVIDENCE_ROLLBACK", FIRST);
  });

  it("is not refused by what a stranger says, or by a witness that says nothing", async () => {
    const forged = signNote(checkpointText({ origin: ORIGIN, size: 1_000, root: new Uint8Array(32) }), [
      signerOf(ORIGIN, generateKey(systemRandom())),
    ]);
    const witnesses = [
      { name: "webhook:a", newest: async () => forged },
      { name: "webhook:b", newest: async () => "nonsense" },
      { name: "webhook:c", newest: async () => undefined },
      { name: "webhook:d", newest: () => Promise.reject(new Error("is down")) },
    ];
    await reopen({ sealer: { witnesses } });
    await append();
    await ground.seal();
    expect(await size()).toBe(FIRST + 11);
    expect(said.filter(({ level }) => level === "warn")).toHaveLength(3);
  });

  it("does not wait for ever for a witness that does not answer", async () => {
    await reopen({ sealer: { witnesses: [{ name: "git:slow", newest: () => new Promise(() => {}) }] } });
    await append();
    const sealed = ground.seal();
    clock.advance(5_000);
    await sealed;
    expect(await size()).toBe(FIRST + 11);
  });

  it("is told from a file that a crash has left behind", async () => {
    const older = `${checkpointText({ origin: ORIGIN, size: FIRST, root: (await ground.log.checkpointAt(FIRST))!.root })}\n— x y\n`;
    await reopen({}, () => writeFile(path("checkpoint.latest"), older, { mode: 0o600 }));
    await append();
    await ground.seal();
    expect(await size()).toBe(FIRST + 11);
  });

  it("is told from the file of another log", async () => {
    const other = checkpointText({ origin: "another.test/log", size: 1_000_000, root: new Uint8Array(32) });
    await reopen({}, () => writeFile(path("checkpoint.latest"), other, { mode: 0o600 }));
    await append();
    await ground.seal();
    expect(await size()).toBe(FIRST + 11);
  });
});

describe("the log's key", () => {
  const key = () => path(LOG_KEY_FILE);

  it.each([0o640, 0o604, 0o660])("is not used with mode %o, until that is put right", async (mode) => {
    await ground.seal();
    await reopen({}, () => chmod(key(), mode));
    await demandClosed("EVIDENCE_KEY_MODE", FIRST);
    await chmod(key(), 0o600);
    clock.advance(SEAL_POLL_MS);
    await ground.sealer.seal();
    await append();
    await ground.seal();
    expect(await size()).toBe(FIRST + 1);
  });

  it("begins no log when others can read it", async () => {
    await ground.remove();
    await open({ sealing: false });
    const { directory } = ground;
    await ground.stop();
    await writeFile(key(), generateKey(systemRandom()), { mode: 0o644 });
    await chmod(key(), 0o644);
    await open({ directory });
    await expect(append()).rejects.toMatchObject({ parts: { reasons: [{ code: "EVIDENCE_KEY_MODE" }] } });
    await expect(ground.log.checkpoint()).rejects.toMatchObject({ code: "EVIDENCE_NOT_SEALED" });
    expect(await ground.log.keys()).toEqual([]);
  });

  it.each([
    ["another key", () => writeFile(key(), generateKey(systemRandom()))],
    ["no key", () => rm(key())],
  ])("that is %s seals nothing, is said once, and closes nothing", async (_what, change) => {
    await ground.seal();
    const kept = await ground.files.read(LOG_KEY_FILE);
    await reopen({}, change);
    for (let i = 0; i < 3; i++) {
      await append();
      await ground.sealer.seal();
    }
    expect(await size()).toBe(FIRST);
    expect(said.filter(({ level }) => level === "error")).toHaveLength(1);
    expect(ground.guard.trouble()).toBeUndefined();
    await ground.files.replace(LOG_KEY_FILE, kept!);
    clock.advance(5_000);
    await ground.seal();
    expect(await size()).toBe(FIRST + 3);
  });

  it("that is no key seals nothing, and says what would be right", async () => {
    await ground.seal();
    await reopen({}, () => writeFile(key(), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
    await append();
    await ground.sealer.seal();
    expect(await size()).toBe(FIRST);
    expect(said.find(({ level }) => level === "error")?.text).toContain(
      "EVIDENCE_KEY: keys/log-ed25519.pem is no Ed25519",
    );
    expect(JSON.stringify(said)).not.toContain("AAAA");
  });
});
