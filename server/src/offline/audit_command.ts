import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { UsageError } from "../config.ts";
import { Auditor } from "../evidence/audit/audit.ts";
import type { AuditReport } from "../evidence/audit/report.ts";
import { NOTE_BYTES_MAX } from "../evidence/contract.ts";
import { readStateKey } from "../evidence/state_key.ts";
import { isGantryError } from "../kernel/errors.ts";
import { systemRandom } from "../kernel/random.ts";
import { AUDITED_TABLES, MIGRATIONS } from "../schema.ts";
import { openPrivateFiles } from "../storage/adapters/private_files.ts";
import { type ReadOnlyStore, readPostgres, readSqlite } from "../storage/adapters/read_only.ts";
import { agreedOn } from "../storage/agreements.ts";
import { print } from "./command_line.ts";
import { DATABASE_FILE } from "./opening.ts";

const EXIT_BAD = 1;

/** What `audit` was told, with its defaults. */
interface AuditOptions {
  store: { engine: "sqlite"; path: string } | { engine: "postgres"; url: string };
  /** Absolute. Where keys and `checkpoint.latest` are. */
  data: string;
  saved: string | undefined;
}

/**
 * `server.js audit`: audits a store that no server needs to run on, and changes nothing. Prints NDJSON, as the route does:
 * `{progress}` lines, then `{result}`.
 * @returns 0 when all is well, 1 when something is wrong. @throws UsageError  the store cannot be used.
 */
export async function audit(args: string[]): Promise<number> {
  const options = readOptions(args);
  try {
    const report = await auditStore(options);
    print({ result: report });
    return report.ok ? 0 : EXIT_BAD;
  } catch (error) {
    if (isGantryError(error)) throw new UsageError(error.message);
    throw error;
  }
}

async function auditStore({ store, data, saved }: AuditOptions): Promise<AuditReport> {
  const opened = await open(store);
  try {
    const files = openPrivateFiles(data, systemRandom());
    const state_key = await opened.snapshot((reader) =>
      readStateKey({ find: (name) => agreedOn(reader, name) }, files),
    );
    const auditor = new Auditor({ storage: opened, files, state_key, tables: AUDITED_TABLES });
    return await auditor.audit({
      progress: (progress) => print({ progress }),
      ...(saved === undefined ? {} : { saved }),
    });
  } finally {
    await opened.close();
  }
}

function open(store: AuditOptions["store"]): Promise<ReadOnlyStore> {
  return store.engine === "sqlite" ? readSqlite(store.path, MIGRATIONS) : readPostgres(store.url, MIGRATIONS);
}

/** @throws UsageError */
function readOptions(args: string[]): AuditOptions {
  const given = parsed(args);
  const data = resolve(given.data ?? process.env["GANTRY_DATA"] ?? ".gantry");
  const saved = given.checkpoint === undefined ? undefined : readNote(given.checkpoint);
  const store = given.store ?? process.env["GANTRY_STORE"] ?? "sqlite";
  if (/^postgres(ql)?:\/\//.test(store)) return { store: { engine: "postgres", url: store }, data, saved };
  const place = store === "sqlite" ? data : resolve(store);
  const path = isDirectory(place) ? join(place, DATABASE_FILE) : place;
  if (!existsSync(path))
    throw new UsageError(`There is no store at ${place}. Say --store DIR, or --store postgres://….`);
  // A file alone says where the rest is, unless that is said.
  return { store: { engine: "sqlite", path }, data: given.data === undefined ? dirname(path) : data, saved };
}

function parsed(args: string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({ args, strict: true, options: { data: text, store: text, checkpoint: text } }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message}. Options are --store DIR|URL, --data DIR, --checkpoint FILE.`);
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Of a file that a witness appends to, the end. @throws UsageError */
function readNote(path: string): string {
  try {
    return readFileSync(path).subarray(-NOTE_BYTES_MAX).toString("utf8");
  } catch (error) {
    throw new UsageError(`The checkpoint cannot be read: ${(error as Error).message}.`);
  }
}
