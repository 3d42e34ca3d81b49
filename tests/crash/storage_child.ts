/**
 * The process that `storage.test.ts` kills. It prints a line for what it knows, at once and synchronously, so that
 * what was printed before the kill was known before the kill.
 * Arguments: mode, data directory.
 */

import { writeSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { noMetrics } from "../../server/src/kernel/telemetry.ts";
import { openSqlite } from "../../server/src/storage/adapters/sqlite.ts";
import type { Migration, Storage, Tx } from "../../server/src/storage/contract.ts";
import { eventually } from "../fixtures/eventually.ts";

export const parts: Migration = {
  id: "crash/0001",
  sql: `CREATE TABLE parts (unit {text} NOT NULL, part {int} NOT NULL, body {blob} NOT NULL, PRIMARY KEY (unit, part));
    CREATE TABLE totals (id {int} NOT NULL PRIMARY KEY, units {int} NOT NULL);`,
  tables: { parts: "operational", totals: "operational" },
};
/** Rows of each unit: after a crash there are all of them, or none. */
export const PARTS = 5;
const WRITERS = 24;
const INSERT = "INSERT INTO parts (unit, part, body) VALUES (?, ?, ?)";

export function openChildStore(directory: string): Promise<Storage> {
  return openSqlite({
    directory,
    migrations: [parts],
    clock: systemClock(),
    random: systemRandom(),
    metrics: noMetrics,
    logger: silentLogger,
  });
}

function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function insertUnit(tx: Tx, unit: string, bytes: number): void {
  for (let part = 0; part < PARTS; part++) tx.run(INSERT, [unit, part, new Uint8Array(bytes)], 1);
}

/** Writes for ever: blind units, units that read, timers, and now and then one that takes itself back. */
async function writeForEver(storage: Storage): Promise<void> {
  const life = Buffer.from(systemRandom().bytes(4)).toString("hex");
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      for (let n = 0; ; n++) {
        const unit = `${life}-${writer}-${n}`;
        await storage.write(async (tx) => {
          insertUnit(tx, unit, 200);
          storage.timers.set(tx, { owner: "crash.bell", key: unit, due_at: 0 });
          if (writer >= 4) return;
          const row = await tx.get("SELECT units FROM totals WHERE id = ?", [1]);
          const sql =
            "INSERT INTO totals (id, units) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET units = excluded.units";
          tx.run(sql, [Number(row?.["units"] ?? 0) + 1], 1);
        });
        say({ acknowledged: unit, counted: writer < 4 });
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
  const counts = new Map<string, number>();
  for await (const page of storage.scan("SELECT unit, COUNT(*) AS n FROM parts GROUP BY unit", [])) {
    for (const row of page) counts.set(String(row["unit"]), Number(row["n"]));
  }
  return {
    lost: acknowledged.filter((unit) => !counts.has(unit)),
    torn: [...counts].filter(([, n]) => n !== PARTS).map(([unit]) => unit),
  };
}

async function main(mode: string, directory: string): Promise<void> {
  let storage: Storage;
  try {
    storage = await openChildStore(directory);
  } catch (error) {
    say({ failed: (error as { code?: string }).code ?? String(error) });
    return;
  }
  say({ open: true });
  if (mode === "write") await writeForEver(storage);
  if (mode === "fill") await fillDisk(storage, directory);
  if (mode === "scrub") await storage.write((tx) => tx.run("UPDATE parts SET body = ?", [new Uint8Array(1)]));
}

const [, script, mode, directory] = process.argv;
if (script === import.meta.filename && mode !== undefined && directory !== undefined) await main(mode, directory);
