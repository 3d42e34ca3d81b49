import { existsSync } from "node:fs";
import { copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, type GroundOptions, openGround } from "../../../../tests/fixtures/ground.ts";
import { audited_tables as identity_tables } from "../../identity/store.ts";
import { silentLogger } from "../../kernel/log.ts";
import { audited_tables as policy_tables } from "../../policy/store.ts";
import { Auditor } from "../audit/audit.ts";
import { errors, SUCCESSION_NOTE_CHARS_MAX, SUCCESSION_QUOTES_MAX } from "../contract.ts";
import { LATEST_FILE } from "./history.ts";
import { LOG_KEY_FILE, NEXT_KEY_FILE, PUBLIC_KEYS_FILE } from "./key.ts";
import { openNote, parseCheckpoint, parseVkey } from "./note.ts";
import { generateKey } from "./private_key.ts";
import { KeyRotation } from "./rotation.ts";
import { type SuccessionAsked, type SuccessionParts, succeedLog } from "./succession.ts";

const ORIGIN = "succession.test/log";

let ground: Ground;
const open = async (o: GroundOptions = {}): Promise<void> => {
  ground = await openGround({ sealing: true, ...o, sealer: { origin: ORIGIN, ...o.sealer } });
};
async function reopen(o: GroundOptions = {}, between: () => Promise<unknown> = async () => {}): Promise<void> {
  const { directory } = ground;
  await ground.stop();
  await between();
  await open({ directory, ...o });
}
beforeEach(async () => {
  await open();
  await ground.seal();
});
afterEach(() => ground.remove());

const path = (name: string) => `${ground.directory}/${name}`;
const noteNow = async () => (await ground.log.checkpoint()).note;
const sizeOf = (note: string) => parseCheckpoint(note)?.size ?? -1;

async function append(count = 1): Promise<void> {
  const { storage, ledger, owned } = ground;
  const data = { token: "tok_x", actor: owned.owner, cause: "asked" };
  for (let i = 0; i < count; i++) {
    await storage.write((tx) => ledger.append(tx, { kind: "token.revoked", tenant: owned.tenant, actor: [], data }));
  }
}

/** The database of five entries comes back, after three more were sealed. @returns the newest note of the lost log */
async function rollBack(): Promise<string> {
  await reopen({}, () => copyFile(path("gantry.db"), path("older.db")));
  await append(3);
  const lost = await ground.seal();
  await ground.stop();
  await copyFile(path("older.db"), path("gantry.db"));
  await rm(path("gantry.db-wal"), { force: true });
  return lost;
}

function succeed(asked: Partial<SuccessionAsked> = {}, parts: Partial<SuccessionParts> = {}) {
  const { tenant, owner } = ground.owned;
  return succeedLog(
    { ...ground, log: silentLogger, owner: "the command", ...parts },
    {
      tenant,
      actor: [{ actor: owner, kind: "human" }],
      reason: "The disk is gone.",
      seen: [],
      operator: "root",
      ...asked,
    },
  );
}

async function audit(saved?: string) {
  const auditor = new Auditor({ ...ground, tables: [...identity_tables, ...policy_tables] });
  return auditor.audit(saved === undefined ? {} : { saved });
}

describe("the successor of a log", () => {
  it("goes on where the guard had stopped the log, and its entry quotes what was seen of the old one", async () => {
    const before = await noteNow();
    const lost = await rollBack();
    await open({ directory: ground.directory });
    expect(ground.guard.fault?.code).toBe(errors.ROLLBACK.code);
    await reopen({ sealing: false });
    const { old, new: next, entry } = await succeed({ seen: [{ where: LATEST_FILE, note: lost }] });
    expect(old).toEqual({ origin: ORIGIN, size: sizeOf(before) });
    expect(next.origin).toMatch(/^succession\.test\/log~[0-9a-f]{8}$/);
    await reopen();
    expect(ground.guard.fault).toBeUndefined();
    expect(await ground.ledger.get(entry, ground.owned.tenant)).toMatchObject({
      kind: "log.succeeded",
      index: old.size,
      data: {
        old: { ...old, note: before },
        new: { origin: next.origin, key: next.vkey },
        seen: [{ where: LATEST_FILE, origin: ORIGIN, size: sizeOf(lost), note: lost }],
        reason: "The disk is gone.",
      },
    });
    await append();
    const note = await ground.seal();
    expect(openNote(note, [parseVkey(next.vkey)!])).toMatchObject({ signed_by: [{ name: next.origin }] });
    expect(sizeOf(note)).toBe(next.size + 1);
  });

  it("passes the audit, with checkpoints of the old log up to its end, and not with one beyond", async () => {
    const before = await noteNow();
    const lost = await rollBack();
    await open({ directory: ground.directory, sealing: false });
    await succeed();
    await reopen();
    await append();
    await ground.seal();
    expect(await audit()).toMatchObject({ ok: true, compared: { saved: null } });
    expect(await audit(before)).toMatchObject({ ok: true, compared: { saved: sizeOf(before) } });
    const { ok, first_bad } = await audit(lost);
    expect(ok).toBe(false);
    expect(first_bad).toMatchObject({ check: "saved", index: sizeOf(before) });
    expect(first_bad?.detail).toContain("has succeeded at");
  });

  it("has a key of its own, and the public keys of both", async () => {
    const old_pem = await readFile(path(LOG_KEY_FILE), "utf8");
    const [old_key] = (await ground.log.keys()).map(({ vkey }) => vkey);
    await reopen({ sealing: false });
    const { new: next } = await succeed();
    expect(await readFile(path(LOG_KEY_FILE), "utf8")).not.toBe(old_pem);
    expect(existsSync(path(NEXT_KEY_FILE))).toBe(false);
    expect(await readFile(path(PUBLIC_KEYS_FILE), "utf8")).toBe(`${old_key}\n${next.vkey}\n`);
    await reopen();
    expect(await readFile(path(PUBLIC_KEYS_FILE), "utf8")).toBe(`${old_key}\n${next.vkey}\n`);
    expect((await ground.log.keys()).map(({ vkey }) => vkey)).toEqual([old_key, next.vkey]);
  });

  it("is whole when the process dies after its commit, before the new key has its place", async () => {
    await reopen({ sealing: false });
    const { files } = ground;
    const dying = { ...files, replace: files.replace, remove: files.remove };
    let replaced = 0;
    dying.replace = async (name, content) => {
      replaced += 1;
      if (replaced > 1) throw new Error("killed");
      await files.replace(name, content);
    };
    await expect(succeed({}, { files: dying })).rejects.toThrow("killed");
    await reopen();
    expect(ground.guard.fault).toBeUndefined();
    await append();
    expect(await ground.seal()).toMatch(/^succession\.test\/log~/);
    expect((await audit()).ok).toBe(true);
  });

  it("leaves a rotation alone when it fails, and ends one that no checkpoint has covered when it does not", async () => {
    const { tenant, owner } = ground.owned;
    const idle = { seal: async () => {}, between: <T>(work: () => Promise<T>) => work() };
    await reopen({ sealing: false });
    const by = { tenant, actor: [{ actor: owner, kind: "human" as const }] };
    await new KeyRotation({ ...ground, sealer: idle }).rotate(by);
    const announced = await readFile(path(NEXT_KEY_FILE), "utf8");
    const fail = () => {
      throw new Error("no");
    };
    await expect(succeed({ also: fail })).rejects.toThrow("no");
    expect(await readFile(path(NEXT_KEY_FILE), "utf8")).toBe(announced);
    await succeed();
    await reopen();
    await append();
    await ground.seal();
    expect((await audit()).ok).toBe(true);
  });

  it("is not begun on tiles that are not what was signed", async () => {
    await reopen({ sealing: false });
    await ground.storage.write((tx) => tx.run("UPDATE evidence_tiles SET bytes = zeroblob(length(bytes))", []));
    await expect(succeed()).rejects.toMatchObject({ code: errors.FORKED.code });
    expect(existsSync(path(NEXT_KEY_FILE))).toBe(false);
  });

  it("quotes SUCCESSION_QUOTES_MAX checkpoints, and leaves one more out", async () => {
    await reopen({ sealing: false });
    const note = await noteNow();
    const copies = (count: number) => Array.from({ length: count }, (_, i) => ({ where: `copy ${i}`, note }));
    const { entry } = await succeed({ seen: copies(SUCCESSION_QUOTES_MAX + 1) });
    const { data } = await ground.ledger.get(entry, ground.owned.tenant);
    expect(data["seen"]).toHaveLength(SUCCESSION_QUOTES_MAX);
  });

  it("quotes a note of SUCCESSION_NOTE_CHARS_MAX whole, and of a longer one what it says", async () => {
    await reopen({ sealing: false });
    const head = (await noteNow()).split("\n").slice(0, 3).join("\n");
    const filled = (length: number) => `${head}\n\n${`— x ${"a".repeat(length)}`.slice(0, length - head.length - 3)}\n`;
    const notes = [filled(SUCCESSION_NOTE_CHARS_MAX), filled(SUCCESSION_NOTE_CHARS_MAX + 1)];
    const { entry } = await succeed({ seen: notes.map((note) => ({ where: "a witness", note })) });
    const { data } = await ground.ledger.get(entry, ground.owned.tenant);
    expect(data["seen"]).toMatchObject([{ note: notes[0] }, { size: sizeOf(notes[0]!) }]);
    expect((data["seen"] as { note?: string }[])[1]?.note).toBeUndefined();
  });

  it("is begun on a copy of a store that a server was sealing, when the time of its lock is over", async () => {
    await reopen({ sealing: false });
    expect(await ground.storage.locks.take("evidence-seal", "the server", 500)).toBeDefined();
    expect((await succeed()).old.origin).toBe(ORIGIN);
  });

  it("of a log whose key is lost signs again", async () => {
    await reopen({ sealing: false }, () => writeFile(path(LOG_KEY_FILE), generateKey(ground.random), { mode: 0o600 }));
    await succeed({ origin: "another.test/log" });
    await reopen();
    await append();
    expect(await ground.seal()).toMatch(/^another\.test\/log\n/);
  });
});
