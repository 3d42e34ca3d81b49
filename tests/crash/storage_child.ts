/**
 * The process that `storage.test.ts` and `postgres.test.ts` kill. It prints a line for what it knows, at once and
 * synchronously, so that what was printed before the kill was known before the kill.
 * Arguments: mode, data directory, URL of the database (default: SQLite in the data directory).
 */

import { rm, writeFile } from "node:fs/promises";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { noMetrics } from "../../server/src/kernel/telemetry.ts";
import { openPostgres } from "../../server/src/storage/adapters/postgres.ts";
import { openSqlite } from "../../server/src/storage/adapters/sqlite.ts";
import type { Migration, Storage, Tx } from "../../server/src/storage/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { say } from "./say.ts";

export const parts: Migration = {
  id: "crash/0001",
  sql: `CREATE TABLE parts (unit {text} NOT NULL, part {int} NOT NULL, body {blob} NOT NULL, PRIMARY KEY (unit, part));
    CREATE TABLE totals (id {int} NOT NULL PRIMARY KEY, units {int} NOT NULL);`,
  tables: { parts: "operational", totals: "operational" },
};
/** Rows of each unit: after a crash there are all of them, or none. */
export const PARTS = 5;
const WRITERS = 24;
/** Of those, the ones whose units read and count. */
const COUNTING = 4;
const INSERT = "INSERT INTO parts (unit, part, body) VALUES (?, ?, ?)";

export function openChildStore(directory: string, url?: string): Promise<Storage> {
  const options = {
    directory,
    migrations: [parts],
    clock: systemClock(),
    random: systemRandom(),
    metrics: noMetrics,
    logger: silentLogger,
  };
  return url === undefined ? openSqlite(options) : openPostgres({ ...options, url });
}

function insertUnit(tx: Tx, unit: string, bytes: number): void {
  for (let part = 0; part < PARTS; part++) tx.run(INSERT, [unit, part, new Uint8Array(bytes)], 1);
}

/**
 * Writes for ever: blind units, units that read, timers, and now and then one that takes itself back. What is refused
 * because the database is away is said to be refused, and is not tried again.
 */
async function writeForEver(storage: Storage): Promise<void> {
  const life = Buffer.from(systemRandom().bytes(4)).toString("hex");
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      for (let n = 0; ; n++) {
        const unit = `${life}-${writer}-${n}`;
        const added = storage.write(async (tx) => {
          insertUnit(tx, unit, 200);
          storage.timers.set(tx, { owner: "crash.bell", key: unit, due_at: 0 });
          if (writer >= COUNTING) return;
          const row = await tx.get("SELECT units FROM totals WHERE id = ?", [1]);
          const sql =
            "INSERT INTO totals (id, units) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET units = excluded.units";
          tx.run(sql, [Number(row?.["units"] ?? 0) + 1], 1);
        });
        try {
          await added;
        } catch (error) {
          if ((error as { code?: string }).code !== "STORAGE_UNREACHABLE") throw error;
          say({ refused: unit });
          await eventually(() => storage.unwritable() === undefined, "the database to come back", 60_000);
          continue;
        }
        say({ acknowledged: unit, counted: writer < COUNTING });
        if (n % 7 === 0) {
          await storage
            .write((tx) => {
              insertUnit(tx, `${unit}-never`, 200);
              tx.run("DELETE FROM totals WHERE id = ?", [-1], 1);
            })
            .catch(() => say({ refused: `${unit}-never` }));
        }
      }
    }),
  );
}

/** Fills a small disk, frees it again, and says what was seen. */
async function fillDisk(storage: Storage, directory: string): Promise<void> {
  const ballast = `${directory}/ballast`;
  await writeFile(ballast, new Uint8Array(6 * 1024 * 1024));
  const acknowledged: string[] = [];
  const codes = new Set<string>();
  const writeUntilFull = async (writer: number): Promise<void> => {
    for (let n = 0; n < 10_000; n++) {
      try {
        await storage.write((tx) => insertUnit(tx, `${writer}-${n}`, 8_192));
        acknowledged.push(`${writer}-${n}`);
      } catch (error) {
        codes.add((error as { code: string }).code);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, writer) => writeUntilFull(writer)));
  say({ full: storage.unwritable(), codes: [...codes], acknowledged: acknowledged.length });
  const refused = await storage.write((tx) => insertUnit(tx, "refused", 1)).catch((error: unknown) => error);
  const blob = await storage.blobs
    .put(new Uint8Array(64 * 1024 * 1024), { bytes_max: 2 ** 30 })
    .catch((error: unknown) => error);
  const row = await storage.get("SELECT COUNT(*) AS n FROM parts", []);
  say({
    refused: (refused as { code?: string }).code,
    blob: (blob as { code?: string }).code,
    readable: Number(row?.["n"]) >= acknowledged.length * PARTS,
  });
  await rm(ballast);
  await eventually(() => storage.unwritable() === undefined, "the probe to commit", 20_000);
  await storage.write((tx) => insertUnit(tx, "after", 8_192));
  acknowledged.push("after");
  await storage.close();
  const again = await openChildStore(directory);
  say({ recovered: true, ...(await survey(again, acknowledged)) });
  await again.close();
}

/** @returns acknowledged units that are not there, and units that are there in part. */
export async function survey(storage: Storage, acknowledged: string[]): Promise<{ lost: string[]; torn: string[] }> {
  const counts = await partsOf(storage);
  return {
    lost: acknowledged.filter((unit) => !counts.has(unit)),
    torn: [...counts].filter(([, n]) => n !== PARTS).map(([unit]) => unit),
  };
}

/** How many rows of each unit there are. */
async function partsOf(storage: Storage): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const page of storage.scan("SELECT unit, COUNT(*) AS n FROM parts GROUP BY unit", [])) {
    for (const row of page) counts.set(String(row["unit"]), Number(row["n"]));
  }
  return counts;
}

/** What the lines of children say, over all their lives. */
export interface Said {
  acknowledged: string[];
  refused: string[];
  /** Acknowledged units that have counted themselves. */
  counted: number;
}

export function saidOf(lines: { acknowledged?: string; refused?: string; counted?: boolean }[]): Said {
  return {
    acknowledged: lines.flatMap(({ acknowledged = [] }) => acknowledged),
    refused: lines.flatMap(({ refused = [] }) => refused),
    counted: lines.filter(({ counted }) => counted === true).length,
  };
}

/**
 * What a store holds otherwise than it should after `said`: empty lists when all is well.
 * @param kills  how often a child was killed: each of its writers may have had a unit durable and not yet told.
 */
export async function audit(storage: Storage, said: Said, kills: number) {
  const counts = await partsOf(storage);
  const [rows, bells, total] = await storage.snapshot((reader) =>
    Promise.all([
      reader.get("SELECT COUNT(*) AS n FROM parts", []),
      reader.get("SELECT COUNT(*) AS n FROM timers", []),
      reader.get("SELECT units AS n FROM totals", []),
    ]),
  );
  const n = Number(total?.["n"] ?? 0);
  // Read-modify-write: not one increment was lost, and only what a kill kept from being told is too much.
  const is_sum = n >= said.counted && n <= said.counted + kills * COUNTING;
  return {
    ...(await survey(storage, said.acknowledged)),
    refused_and_there: said.refused.filter((unit) => counts.has(unit)),
    never_and_there: [...counts.keys()].filter((unit) => unit.endsWith("never")),
    /** A timer was set in the unit of each part. */
    bells_missing: Number(rows?.["n"]) - Number(bells?.["n"]) * PARTS,
    sum: is_sum ? "right" : `${n} for ${said.counted}`,
  };
}

/** What `audit` gives when all is well. */
export const SOUND = {
  lost: [],
  torn: [],
  refused_and_there: [],
  never_and_there: [],
  bells_missing: 0,
  sum: "right",
};

async function main(mode: string, directory: string, url?: string): Promise<void> {
  let storage: Storage;
  try {
    storage = await openChildStore(directory, url);
  } catch (error) {
    say({ failed: (error as { code?: string }).code ?? String(error) });
    return;
  }
  say({ open: true });
  if (mode === "write") {
    // The clock's timers keep no process alive, as a server is kept by its listener: while the database is away this one
    // would have nothing else, and end with Node's code 13.
    setInterval(() => {}, 60_000);
    await writeForEver(storage);
  }
  if (mode === "fill") await fillDisk(storage, directory);
  if (mode === "scrub") await storage.write((tx) => tx.run("UPDATE parts SET body = ?", [new Uint8Array(1)]));
}

const [, script, mode, directory, url] = process.argv;
if (script === import.meta.filename && mode !== undefined && directory !== undefined) await main(mode, directory, url);
