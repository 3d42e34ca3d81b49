import { describe, expect, it } from "vitest";
import { BLOB_BYTES_MAX, type Lock, type Storage } from "../../server/src/storage/contract.ts";
import { INSERT, insertMany, KEYS, keys, notes, SELECT, type StoreUnderTest } from "./storage_notes.ts";

export function lockTests(store: () => StoreUnderTest): void {
  const locks = () => store().storage.locks;
  const guarded = (lock: Lock, key: string) =>
    store().storage.write((tx) => {
      locks().fence(tx, lock);
      tx.run(INSERT, [key, 1]);
    });

  describe("a lock", () => {
    it("has one owner until its time is over", async () => {
      const lock = await locks().take("seal", "a", 1_000);
      expect(lock).toMatchObject({ name: "seal", owner: "a" });
      expect(await locks().take("seal", "b", 1_000)).toBeUndefined();
      store().clock.advance(999);
      expect(await locks().take("seal", "b", 1_000)).toBeUndefined();
      store().clock.advance(1);
      expect(await locks().take("seal", "b", 1_000)).toMatchObject({ owner: "b", epoch: Number(lock?.epoch) + 1 });
    });

    it("fences an owner that was paused past its time", async () => {
      const paused = (await locks().take("seal", "a", 1_000))!;
      await guarded(paused, "while held");
      store().clock.advance(5_000);
      const next = (await locks().take("seal", "b", 1_000))!;
      await expect(guarded(paused, "zombie")).rejects.toMatchObject({ code: "STORAGE_CONFLICT" });
      expect(await locks().renew(paused, 1_000)).toBe(false);
      await locks().release(paused); // Nothing that the new owner would notice.
      await guarded(next, "next");
      expect(await keys(store().storage)).toEqual(["next", "while held"]);
    });

    it("is kept by renewing, also late when nobody took it", async () => {
      const lock = (await locks().take("seal", "a", 1_000))!;
      store().clock.advance(900);
      expect(await locks().renew(lock, 1_000)).toBe(true);
      store().clock.advance(900);
      expect(await locks().take("seal", "b", 1_000)).toBeUndefined();
      store().clock.advance(500);
      expect(await locks().renew(lock, 1_000)).toBe(true);
      await guarded(lock, "a");
    });

    it("that is released can be taken at once and fences its last owner", async () => {
      const lock = (await locks().take("seal", "a", 60_000))!;
      await locks().release(lock);
      await expect(guarded(lock, "zombie")).rejects.toMatchObject({ code: "STORAGE_CONFLICT" });
      expect(await locks().renew(lock, 1_000)).toBe(false);
      expect(await locks().take("seal", "b", 1_000)).toMatchObject({ owner: "b" });
    });

    it("that is taken twice by one owner fences the first taking", async () => {
      const first = (await locks().take("seal", "a", 60_000))!;
      const second = (await locks().take("seal", "a", 60_000))!;
      await expect(guarded(first, "first")).rejects.toMatchObject({ code: "STORAGE_CONFLICT" });
      await guarded(second, "second");
    });

    it("goes to one of many who ask at once", async () => {
      const asked = Array.from({ length: 20 }, (_, i) => locks().take("seal", `owner${i}`, 1_000));
      expect((await Promise.all(asked)).filter((lock) => lock !== undefined)).toHaveLength(1);
    });
  });
}

export function blobTests(storage: () => Storage): void {
  const bytes_max = 1_000;
  async function* chunks(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
    yield* parts;
  }

  describe("a blob", () => {
    it("is named by its bytes and comes back", async () => {
      const content = new TextEncoder().encode("hello");
      const info = await storage().blobs.put(content, { bytes_max });
      expect(info).toEqual({ sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", size: 5 });
      expect(await storage().blobs.put(chunks(content.subarray(0, 2), content.subarray(2)), { bytes_max })).toEqual(
        info,
      );
      expect(await storage().blobs.get(info.sha256)).toEqual(content);
    });

    it("is read in ranges, which end where it ends", async () => {
      const { sha256 } = await storage().blobs.put(new Uint8Array([0, 1, 2, 3]), { bytes_max });
      expect(await storage().blobs.get(sha256, { start: 1, end: 3 })).toEqual(new Uint8Array([1, 2]));
      expect(await storage().blobs.get(sha256, { start: 3, end: 9 })).toEqual(new Uint8Array([3]));
      expect(await storage().blobs.get(sha256, { start: 9, end: 12 })).toEqual(new Uint8Array(0));
    });

    it("has at most `bytes_max` bytes; nothing is kept of a larger one", async () => {
      const limit = await storage().blobs.put(new Uint8Array(bytes_max), { bytes_max });
      expect(limit.size).toBe(bytes_max);
      const over = storage().blobs.put(chunks(new Uint8Array(bytes_max), new Uint8Array(1)), { bytes_max });
      await expect(over).rejects.toMatchObject({ code: "STORAGE_BLOB_TOO_LARGE" });
    });

    it("let nobody ask for more than BLOB_BYTES_MAX", async () => {
      const one = new Uint8Array(1);
      expect((await storage().blobs.put(one, { bytes_max: BLOB_BYTES_MAX })).size).toBe(1);
      await expect(storage().blobs.put(one, { bytes_max: BLOB_BYTES_MAX + 1 })).rejects.toThrow(
        "no blob may be larger",
      );
    });

    it("is absent before it is put, after it is deleted, and when its source fails", async () => {
      const { sha256 } = await storage().blobs.put(new Uint8Array(0), { bytes_max });
      expect(await storage().blobs.get(sha256)).toEqual(new Uint8Array(0));
      await storage().blobs.delete(sha256);
      await storage().blobs.delete(sha256);
      expect(await storage().blobs.get(sha256)).toBeUndefined();
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(3);
        throw new Error("the sender left");
      }
      await expect(storage().blobs.put(failing(), { bytes_max })).rejects.toThrow("the sender left");
    });

    it("can be put by many at once", async () => {
      const infos = await Promise.all(
        Array.from({ length: 20 }, (_, i) => storage().blobs.put(new Uint8Array([i % 2]), { bytes_max })),
      );
      expect(new Set(infos.map((info) => info.sha256)).size).toBe(2);
      for (const { sha256 } of infos) expect(await storage().blobs.get(sha256)).toHaveLength(1);
    });
  });
}

export function lifeTests(store: () => StoreUnderTest): void {
  describe("a store", () => {
    it("keeps everything over a restart", async () => {
      await insertMany(store().storage, 3);
      const { sha256 } = await store().storage.blobs.put(new Uint8Array([1]), { bytes_max: 10 });
      const again = await store().reopen([notes]);
      expect(await keys(again)).toHaveLength(3);
      expect(await again.blobs.get(sha256)).toEqual(new Uint8Array([1]));
    });

    it("ends what is under way before it closes, and then takes nothing", async () => {
      const { storage } = store();
      const blind = Array.from({ length: 100 }, (_, i) => storage.write((tx) => tx.run(INSERT, [`k${i}`, i])));
      const reading = storage.write(async (tx) => {
        await tx.get(SELECT, ["a"]);
        tx.run(INSERT, ["reading", 1]);
      });
      await Promise.resolve();
      const closed = storage.close();
      await expect(storage.write((tx) => tx.run(INSERT, ["late", 1]))).rejects.toMatchObject({
        code: "STORAGE_CLOSED",
      });
      await Promise.all([...blind, reading, closed]);
      await expect(storage.get(KEYS, [])).rejects.toMatchObject({ code: "STORAGE_CLOSED" });
      await expect(storage.snapshot((r) => r.get(KEYS, []))).rejects.toMatchObject({ code: "STORAGE_CLOSED" });
      await storage.close();
      const again = await store().reopen([notes]);
      expect(await keys(again)).toHaveLength(101);
    });

    it("applies a new migration over its data, once", async () => {
      await insertMany(store().storage, 2);
      const added = { id: "notes/0002", sql: "ALTER TABLE notes ADD COLUMN extra {text}", tables: {} };
      const again = await store().reopen([notes, added]);
      await again.write((tx) => tx.run("UPDATE notes SET extra = ?", ["x"], 2));
      const third = await store().reopen([notes, added]);
      expect(await third.all("SELECT extra FROM notes", [])).toEqual([{ extra: "x" }, { extra: "x" }]);
    });

    it("does not start when an applied migration has changed, or the code does not know it", async () => {
      await expect(store().reopen([{ ...notes, sql: `${notes.sql} ` }])).rejects.toMatchObject({
        code: "STORAGE_MIGRATION_CHANGED",
      });
      await expect(store().reopen([])).rejects.toMatchObject({ code: "STORAGE_SCHEMA_NEWER" });
      await store().reopen([notes]);
    });

    it("is as before when a migration fails", async () => {
      await insertMany(store().storage, 2);
      const broken = {
        id: "notes/0002",
        sql: "CREATE TABLE more (x {int} NOT NULL); INSERT INTO nowhere (x) VALUES (1)",
        tables: { more: "operational" as const },
      };
      await expect(store().reopen([notes, broken])).rejects.toMatchObject({ code: "STORAGE_STATEMENT" });
      const fixed = { ...broken, sql: "CREATE TABLE more (x {int} NOT NULL)" };
      const again = await store().reopen([notes, fixed]);
      expect(await again.all("SELECT x FROM more", [])).toEqual([]);
      expect(await keys(again)).toHaveLength(2);
    });

    it("can write as long as its disk has space", () => {
      expect(store().storage.unwritable()).toBeUndefined();
    });
  });
}
