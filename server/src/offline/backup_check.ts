import { join, relative } from "node:path";
import { UsageError } from "../config.ts";
import { Auditor } from "../evidence/audit/audit.ts";
import type { AuditReport } from "../evidence/audit/report.ts";
import { readStateKey } from "../evidence/state_key.ts";
import { hasCode, isGantryError } from "../kernel/errors.ts";
import { systemRandom } from "../kernel/random.ts";
import { AUDITED_TABLES, MIGRATIONS } from "../schema.ts";
import { openPrivateFiles } from "../storage/adapters/private_files.ts";
import { readSqlite } from "../storage/adapters/read_only.ts";
import { sqliteFaults } from "../storage/adapters/sqlite_copy.ts";
import { agreedOn } from "../storage/agreements.ts";
import { errors as storage_errors } from "../storage/contract.ts";
import { filesBelow, hashFile } from "./backup_files.ts";
import { type BackupFile, MANIFEST_FILE, type Manifest, readManifest } from "./backup_manifest.ts";
import type { Say } from "./command_line.ts";
import { DATABASE_FILE } from "./opening.ts";

/** What a look at a backup found. */
export interface BackupReport {
  manifest: Manifest;
  bytes: number;
  /** Null: the database is PostgreSQL's, or an older version wrote it. */
  audit: Pick<AuditReport, "ok" | "size" | "root" | "first_bad"> | null;
}

/**
 * Looks at every byte of a backup: hashes, then the database as SQLite sees it, then the ledger's audit on it. Nothing
 * is made or changed.
 * @throws UsageError  it is no backup, or not whole; the sentence names the file.
 */
export async function checkBackup(directory: string, say: Say): Promise<BackupReport> {
  const manifest = await readManifest(directory);
  await demandKnown(directory, manifest);
  await demandSame(directory, manifest.files, say);
  const bytes = manifest.files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (manifest.engine === "postgres") return { manifest, bytes, audit: null };
  const path = join(directory, DATABASE_FILE);
  say("database", 0, 1);
  const [fault] = await sqliteFaults(path);
  if (fault !== undefined) throw new UsageError(`${path} is damaged: ${fault}.`);
  const report = await auditCopy(directory, say);
  if (report !== null && !report.ok) {
    const { check, detail } = report.first_bad ?? { check: "unreadable", detail: "" };
    throw new UsageError(`The ledger of ${directory} does not pass its audit. ${check}: ${detail}`);
  }
  return { manifest, bytes, audit: report };
}

/** @throws UsageError  a file is not what the manifest says, by its name. */
export async function demandSame(directory: string, files: readonly BackupFile[], say: Say): Promise<void> {
  let done = 0;
  for (const { path, bytes, sha256 } of files) {
    const found = await hashFile(join(directory, path));
    const name = join(directory, path);
    if (found === undefined) throw new UsageError(`${name} is missing from the backup.`);
    if (found.bytes !== bytes) {
      throw new UsageError(`${name} has ${found.bytes} bytes, and ${bytes} were written: the backup is damaged.`);
    }
    if (found.sha256 !== sha256) {
      throw new UsageError(`${name} is not what was written: its SHA-256 is another. The backup is damaged.`);
    }
    done += 1;
    say("files", done, files.length);
  }
}

/** A file that nobody wrote there would come along into a restored server. */
async function demandKnown(directory: string, { files }: Manifest): Promise<void> {
  const known = new Set([MANIFEST_FILE, ...files.map(({ path }) => path)]);
  const strange = (await filesBelow(directory, ".")).find(({ from }) => !known.has(relative(directory, from)));
  if (strange !== undefined) throw new UsageError(`${strange.from} is not in the manifest of the backup.`);
}

/** Null when an older version wrote the database: its schema is brought up to date by the first start. */
async function auditCopy(directory: string, say: Say): Promise<AuditReport | null> {
  try {
    const opened = await readSqlite(join(directory, DATABASE_FILE), MIGRATIONS);
    try {
      const files = openPrivateFiles(directory, systemRandom());
      const state_key = await opened.snapshot((reader) =>
        readStateKey({ find: (name) => agreedOn(reader, name) }, files),
      );
      const auditor = new Auditor({ storage: opened, files, state_key, tables: AUDITED_TABLES });
      return await auditor.audit({ progress: ({ part, done, total }) => say(`audit of ${part}`, done, total) });
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (hasCode(error, storage_errors.SETTINGS)) return null;
    if (isGantryError(error)) throw new UsageError(`The database of ${directory} cannot be used: ${error.message}`);
    throw error;
  }
}
