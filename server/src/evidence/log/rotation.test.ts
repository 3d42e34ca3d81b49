import { existsSync } from "node:fs";
import { copyFile, readFile, rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, type GroundOptions, openGround } from "../../../../tests/fixtures/ground.ts";
import { GantryError } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { type PrivateFiles, type Storage, errors as storage_errors } from "../../storage/contract.ts";
import { LOG_KEY_FILE, NEXT_KEY_FILE } from "./key.ts";
import { openNote, parseVkey } from "./note.ts";
import { generateKey } from "./private_key.ts";
import { KeyRotation } from "./rotation.ts";
import { selectLog } from "./store.ts";

const ORIGIN = "rotation.test/log";
const FIRST = 5;

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
const rotation = (parts: Partial<ConstructorParameters<typeof KeyRotation>[0]> = {}) =>
  new KeyRotation({ ...ground, ...parts });
/** Seals nothing, as a process that dies before it could. */
const not_now = { seal: async () => {}, between: <T>(work: () => Promise<T>) => work() };
const by = () => ({ tenant: ground.owned.tenant, actor: [{ actor: ground.owned.owner, kind: "human" as const }] });
const vkeys = async () => (await ground.log.keys()).map(({ vkey }) => vkey);

async function append(): Promise<void> {
  const { storage, ledger, owned } = ground;
  const data = { token: "tok_x", actor: owned.owner, cause: "asked" };
  await storage.write((tx) => ledger.append(tx, { kind: "token.revoked", tenant: owned.tenant, actor: [], data }));
}

/** Who of the given keys has signed the note; a wrong signature fails. */
function signedBy(note: string, keys: string[]): string[] {
  const opened = openNote(
    note,
    keys.map((vkey) => parseVkey(vkey)!),
  );
  if ("fault" in opened) throw new Error(opened.fault);
  return opened.signed_by.map(({ id }) => keys.find((vkey) => parseVkey(vkey)?.id === id)!);
}

describe("a rotation of the log's key", () => {
  it("is an entry; the checkpoint that covers it has both signatures, later ones the new alone", async () => {
    const [before] = await vkeys();
    const old_pem = await readFile(path(LOG_KEY_FILE), "utf8");
    const rotated = await rotation().rotate(by());
    expect(rotated.old).toBe(before);
    expect(await ground.ledger.get(rotated.entry, ground.owned.tenant)).toMatchObject({
      kind: "key.rotated",
      data: { old: rotated.old, new: rotated.new },
      actor: by().actor,
    });
    const both = [rotated.old, rotated.new];
    const covering = await ground.log.checkpoint();
    expect(covering.size).toBe(FIRST + 1);
    expect(signedBy(covering.note, both)).toEqual(both);
    expect(covering.note.split("\n").filter((line) => line.startsWith("—"))).toHaveLength(2);
    await append();
    expect(signedBy(await ground.seal(), both)).toEqual([rotated.new]);
    expect(await ground.log.keys()).toEqual([
      { vkey: rotated.old, from_size: 0, to_size: FIRST + 1 },
      { vkey: rotated.new, from_size: FIRST + 1, to_size: null },
    ]);
    expect(await readFile(path("log.pub"), "utf8")).toBe(`${rotated.old}\n${rotated.new}\n`);
    expect(existsSync(path(NEXT_KEY_FILE))).toBe(false);
    expect(await readFile(path(LOG_KEY_FILE), "utf8")).not.toBe(old_pem);
  });

  it("can follow another, and outlives a restart", async () => {
    const first = await rotation().rotate(by());
    await reopen();
    const second = await rotation().rotate(by());
    expect(second.old).toBe(first.new);
    expect(await vkeys()).toEqual([first.old, first.new, second.new]);
    await reopen();
    await append();
    expect(signedBy(await ground.seal(), await vkeys())).toEqual([second.new]);
  });

  it("ends with its checkpoint also when nobody was told that it was committed", async () => {
    let is_lost = false;
    const losing = (inner: Storage): Storage =>
      new Proxy(inner, {
        get(target, name) {
          const member: unknown = Reflect.get(target, name, target);
          if (name !== "write") return typeof member === "function" ? member.bind(target) : member;
          return async (...unit: Parameters<Storage["write"]>) => {
            const before = await selectLog(target);
            const result = await target.write(...unit);
            if (is_lost && (await selectLog(target))?.size !== before?.size) {
              is_lost = false;
              throw new GantryError(storage_errors.UNREACHABLE, { detail: "The connection was lost." });
            }
            return result;
          };
        },
      });
    await reopen({ wrap: losing });
    is_lost = true;
    const first = await rotation().rotate(by());
    expect(is_lost).toBe(false);
    await ground.seal();
    expect(existsSync(path(NEXT_KEY_FILE))).toBe(false);
    expect((await rotation().rotate(by())).old).toBe(first.new);
  });

  it("is one at a time", async () => {
    const shared = rotation();
    const tries = await Promise.allSettled([shared.rotate(by()), shared.rotate(by())]);
    expect(tries.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(tries.find(({ status }) => status === "rejected")).toMatchObject({ reason: { code: "EVIDENCE_ROTATING" } });
    expect(await vkeys()).toHaveLength(2);
  });

  it("waits for the checkpoint of the one before, which is announced and not covered", async () => {
    await ground.sealer.close();
    await rotation({ sealer: not_now }).rotate(by());
    await expect(rotation({ sealer: not_now }).rotate(by())).rejects.toMatchObject({ code: "EVIDENCE_ROTATING" });
    expect(await ground.log.keys()).toHaveLength(1);
    await reopen();
    await ground.seal();
    expect(await ground.log.keys()).toHaveLength(2);
  });

  it("begins with the files as the one before has left them, at whatever moment it is asked for", async () => {
    // As after a crash: the sealer ends a rotation by itself, and the next is asked for at every step of it.
    await ground.sealer.close();
    const announced = await rotation({ sealer: not_now }).rotate(by());
    const asked: Promise<unknown>[] = [];
    let is_asking = false;
    const ask = async (moved: Promise<void>): Promise<void> => {
      if (is_asking && asked.length < 6)
        asked.push(
          rotation()
            .rotate(by())
            .catch((error: unknown) => error),
        );
      await moved;
      await new Promise((resolve) => setImmediate(resolve));
    };
    await reopen({
      wrapFiles: (files) => ({
        ...files,
        replace: (name, content) => ask(files.replace(name, content)),
        remove: (name) => ask(files.remove(name)),
      }),
    });
    is_asking = true;
    await ground.seal();
    for (const rotated of asked) await rotated; // it grows meanwhile
    expect(asked).toHaveLength(6);
    await reopen();
    await append();
    const note = await ground.seal();
    const keys = await vkeys();
    expect(keys[1]).toBe(announced.new);
    expect(keys.length).toBeGreaterThan(2);
    expect(signedBy(note, keys)).toEqual([keys.at(-1)]);
  });

  it("is not for a node that has another key", async () => {
    await ground.files.replace(LOG_KEY_FILE, generateKey(systemRandom()));
    await expect(rotation().rotate(by())).rejects.toMatchObject({ code: "EVIDENCE_KEY" });
    expect(existsSync(path(NEXT_KEY_FILE))).toBe(false);
  });

  it("that is refused by the guard leaves the log as it was", async () => {
    ground.guard.counted(1_000_000, ground.guard.mark());
    await expect(rotation().rotate(by())).rejects.toMatchObject({ code: "EVIDENCE_UNAVAILABLE" });
    await ground.seal();
    const { new: next } = await rotation().rotate(by());
    await append();
    expect(signedBy(await ground.seal(), await vkeys())).toEqual([next]);
  });
});

describe("a crash in the midst of a rotation", () => {
  /** Files whose `what` on this name ends the process, as far as the files are concerned. */
  const dying =
    (what: "replace" | "remove", name: string) =>
    (files: PrivateFiles): PrivateFiles => ({
      ...files,
      [what]: (asked: string, content: string) =>
        asked === name ? Promise.reject(new Error("killed")) : files[what](asked, content),
    });

  it("before the new key is announced is forgotten", async () => {
    const next = generateKey(systemRandom());
    await reopen({}, async () => {
      await ground.files.replace(NEXT_KEY_FILE, next);
    });
    await append();
    await ground.seal();
    expect(await vkeys()).toHaveLength(1);
    const rotated = await rotation().rotate(by());
    expect(await vkeys()).toEqual([rotated.old, rotated.new]);
  });

  it("before the checkpoint that covers it is made good by the next start", async () => {
    await ground.sealer.close();
    const rotated = await rotation({ sealer: not_now }).rotate(by());
    await reopen();
    const note = await ground.seal();
    expect(signedBy(note, [rotated.old, rotated.new])).toEqual([rotated.old, rotated.new]);
    expect(existsSync(path(NEXT_KEY_FILE))).toBe(false);
  });

  it.each([
    ["the old key's file is replaced", "replace", LOG_KEY_FILE],
    ["the new key's first file is removed", "remove", NEXT_KEY_FILE],
  ] as const)("before %s is made good by the next start", async (_when, what, name) => {
    await reopen({ wrapFiles: dying(what, name) });
    const rotated = await rotation().rotate(by());
    expect(existsSync(path(NEXT_KEY_FILE))).toBe(true);
    expect((await ground.log.checkpoint()).size).toBe(FIRST + 1);
    await reopen();
    expect(existsSync(path(NEXT_KEY_FILE))).toBe(false);
    await append();
    expect(signedBy(await ground.seal(), [rotated.old, rotated.new])).toEqual([rotated.new]);
  });
});

it("a database from before a rotation is refused, although it does not know the new key", async () => {
  const copy = path("copy.db");
  await reopen({}, () => copyFile(path("gantry.db"), copy));
  await rotation().rotate(by());
  await append();
  const note = await ground.seal();
  const keep = path("latest");
  await reopen({}, async () => {
    await copyFile(path("checkpoint.latest"), keep);
    await copyFile(copy, path("gantry.db"));
  });
  await expect(append()).rejects.toMatchObject({ parts: { reasons: [{ code: "EVIDENCE_ROLLBACK" }] } });
  // The same from a witness alone: log.pub knows the key.
  const witness = { name: "file:/w", newest: async () => note };
  await reopen({ sealer: { witnesses: [witness] } }, () => rm(path("checkpoint.latest")));
  await ground.sealer.seal();
  await expect(append()).rejects.toMatchObject({ parts: { reasons: [{ code: "EVIDENCE_ROLLBACK" }] } });
});
