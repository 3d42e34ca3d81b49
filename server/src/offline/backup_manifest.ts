import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UsageError } from "../config.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { isErrno } from "../storage/adapters/files.ts";

/** What makes a directory a backup: written last. */
export const MANIFEST_FILE = "manifest.json";
/** Raised when an older version could not read what is written. */
const FORMAT = 1;

/** Plain names, so that no path leads out of a directory. */
const path = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/);

const file = z.strictObject({
  path,
  bytes: z.int().min(0),
  /** Of the content, hex. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type BackupFile = z.infer<typeof file>;

const manifest = z.strictObject({
  format: z.literal(FORMAT),
  /** Of the Gantry that made it. */
  version: z.string(),
  /** Milliseconds UTC: before this, everything that was acknowledged is in it. */
  created_at: z.int(),
  /** With `postgres`, the database is not in it. */
  engine: z.enum(["sqlite", "postgres"]),
  /** Of the newest checkpoint in its database; with `postgres`, in the database when this was written. Null: none. */
  log: z.strictObject({ origin: z.string(), size: z.int().min(0), root: z.string() }).nullable(),
  files: z.array(file),
});
export type Manifest = z.infer<typeof manifest>;

/** The last member is the hash of all text before it, so that a manifest that was changed is no manifest. */
const SEAL = /,\n {2}"sha256": "([0-9a-f]{64})"\n}\n$/;

/** Writes the manifest, not synced. */
export async function writeManifest(directory: string, what: Omit<Manifest, "format">): Promise<void> {
  const text = JSON.stringify({ format: FORMAT, ...what }, null, 2).slice(0, -2);
  const sealed = `${text},\n  "sha256": "${sha256Hex(Buffer.from(text))}"\n}\n`;
  await writeFile(join(directory, MANIFEST_FILE), sealed, { mode: 0o600, flag: "wx" });
}

/** @throws UsageError  it is no backup, or one of a newer format. */
export async function readManifest(directory: string): Promise<Manifest> {
  const text = await readFile(join(directory, MANIFEST_FILE), "utf8").catch((error: unknown) => {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    throw new UsageError(
      `${directory} is no backup: it has no ${MANIFEST_FILE}. A backup that was not ended has none.`,
    );
  });
  const seal = SEAL.exec(text);
  if (seal === null || createHash("sha256").update(text.slice(0, seal.index)).digest("hex") !== seal[1]) {
    throw new UsageError(`${join(directory, MANIFEST_FILE)} was changed or cut off: it is not what was written.`);
  }
  const said: unknown = JSON.parse(`${text.slice(0, seal.index)}}`);
  const parsed = manifest.safeParse(said);
  if (parsed.success) return parsed.data;
  const { format, version } = said as { format?: unknown; version?: unknown };
  if (format !== FORMAT) {
    throw new UsageError(
      `${directory} has format ${String(format)}, written by Gantry ${String(version)}; this version reads ${FORMAT}.`,
    );
  }
  throw new UsageError(`${join(directory, MANIFEST_FILE)} is not a manifest: ${parsed.error.issues[0]?.message}.`);
}
