import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../config.ts";
import { MANIFEST_FILE, readManifest, writeManifest } from "./backup_manifest.ts";

const FILE = { path: "keys/state.key", bytes: 32, sha256: "0".repeat(64) };
const MANIFEST = { version: "1.0.0", created_at: 1, engine: "sqlite" as const, log: null, files: [FILE] };

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(`${tmpdir()}/gantry-manifest-`);
});
afterEach(() => rm(directory, { recursive: true }));

const path = () => join(directory, MANIFEST_FILE);

describe("the manifest of a backup", () => {
  it("is read as it was written", async () => {
    await writeManifest(directory, MANIFEST);
    expect(await readManifest(directory)).toEqual({ format: 1, ...MANIFEST });
  });

  it("with any bit changed is none", async () => {
    await writeManifest(directory, MANIFEST);
    const whole = await readFile(path());
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at]! ^= 1 << (at % 8);
      await writeFile(path(), bytes);
      await expect(readManifest(directory), `byte ${at}`).rejects.toThrow(UsageError);
    }
  });

  it("that was cut off is none, and neither is an empty directory a backup", async () => {
    await expect(readManifest(directory)).rejects.toThrow("is no backup");
    await writeManifest(directory, MANIFEST);
    const whole = await readFile(path());
    await writeFile(path(), whole.subarray(0, -1));
    await expect(readManifest(directory)).rejects.toThrow("was changed or cut off");
  });

  it.each(["../keys", "/etc/passwd", "keys/../../x", "keys//x", ".hidden", "keys/.x", ""])(
    "names no file outside of the backup, as %j",
    async (name) => {
      await writeManifest(directory, { ...MANIFEST, files: [{ ...FILE, path: name }] });
      await expect(readManifest(directory)).rejects.toThrow("is not a manifest");
    },
  );
});
