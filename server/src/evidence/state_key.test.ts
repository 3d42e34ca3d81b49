import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openSqliteStore } from "../../../tests/fixtures/sqlite_store.ts";
import { systemRandom } from "../kernel/random.ts";
import { openPrivateFiles } from "../storage/adapters/private_files.ts";
import { agreementsOf } from "../storage/agreements.ts";
import type { PrivateFiles } from "../storage/contract.ts";
import { loadStateKey, openStateKey } from "./state_key.ts";

const random = systemRandom();
let directory: string;
let files: PrivateFiles;

beforeEach(async () => {
  directory = await mkdtemp(`${tmpdir()}/gantry-key-`);
  files = openPrivateFiles(directory, random);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it("the state key is made once, 32 bytes that only the owner may read", async () => {
  const key = await loadStateKey(files, random);
  expect(key.byteLength).toBe(32);
  expect((await stat(`${directory}/keys/state.key`)).mode & 0o777).toBe(0o600);
  expect(await loadStateKey(files, random)).toEqual(key);
});

it("two starts at once agree on one key", async () => {
  const keys = await Promise.all([loadStateKey(files, random), loadStateKey(files, random)]);
  expect(keys[0]).toEqual(keys[1]);
});

it.each([31, 33, 0])("a key of %i bytes is refused and stays as it is", async (bytes) => {
  await files.create("keys/state.key", new Uint8Array(bytes));
  await expect(loadStateKey(files, random)).rejects.toMatchObject({ code: "EVIDENCE_KEY" });
  expect((await files.read("keys/state.key"))?.byteLength).toBe(bytes);
});

it("a database knows its key: another one, or none, is refused and nothing is made", async () => {
  const store = await openSqliteStore([]);
  try {
    const key = await openStateKey(agreementsOf(store.storage), files, random);
    expect(await openStateKey(agreementsOf(store.storage), files, random)).toEqual(key);
    await files.replace("keys/state.key", new Uint8Array(32));
    await expect(openStateKey(agreementsOf(store.storage), files, random)).rejects.toMatchObject({
      code: "EVIDENCE_KEY",
    });
    await rm(`${directory}/keys/state.key`);
    await expect(openStateKey(agreementsOf(store.storage), files, random)).rejects.toMatchObject({
      code: "EVIDENCE_KEY",
    });
    expect(await files.read("keys/state.key")).toBeUndefined();
    await files.create("keys/state.key", key);
    expect(await openStateKey(agreementsOf(store.storage), files, random)).toEqual(key);
  } finally {
    await store.remove();
  }
});
