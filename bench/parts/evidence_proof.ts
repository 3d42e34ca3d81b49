/** `evidence-proof`: proofs out of a large log that is built for it, read from the disk as the server reads them. */
import { hash } from "node:crypto";
import { join } from "node:path";
import { consistencyPath, inclusionPath } from "../../server/src/evidence/log/proofs.ts";
import { storedTiles } from "../../server/src/evidence/log/store.ts";
import { growTiles } from "../../server/src/evidence/log/tree.ts";
import { migrations } from "../../server/src/evidence/store.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { noMetrics } from "../../server/src/kernel/telemetry.ts";
import { openSqlite } from "../../server/src/storage/adapters/sqlite.ts";
import { summarise, table } from "./measure.ts";

const BATCH = 65_536;
const PROOFS = 500;

export async function proof(directory: string, leaves: number): Promise<void> {
  const storage = await openSqlite({
    directory: join(directory, "proofs"),
    clock: systemClock(),
    random: systemRandom(),
    metrics: noMetrics,
    logger: silentLogger,
    migrations,
  });
  const began = performance.now();
  const tiles = storedTiles(storage);
  for (let size = 0; size < leaves; ) {
    const batch = Array.from({ length: Math.min(BATCH, leaves - size) }, (_, i) => leafOf(size + i));
    const grown = await growTiles(tiles, size, batch);
    await storage.write((tx) => {
      for (const { level, n, width, bytes } of grown.tiles) {
        tx.run(
          `INSERT INTO evidence_tiles (level, n, width, bytes) VALUES (?, ?, ?, ?)
           ON CONFLICT (level, n) DO UPDATE SET width = excluded.width, bytes = excluded.bytes`,
          [level, n, width, bytes],
        );
      }
    });
    size += batch.length;
  }
  const built_s = (performance.now() - began) / 1_000;
  console.log(`A log of ${leaves} entries, built in ${built_s.toFixed(0)} s; each proof reads its tiles anew (ms)`);
  const random = (below: number): number => Math.floor(Math.random() * below);
  const inclusion = await times(() => inclusionPath(tiles, random(leaves), leaves));
  const consistency = await times(() => consistencyPath(tiles, 1 + random(leaves - 1), leaves));
  table(
    ["", "p50", "p95", "p99"],
    [
      ["that an entry is in the log", ...inclusion],
      ["that the log has only grown", ...consistency],
    ],
  );
  await storage.close();
}

async function times(prove: () => Promise<unknown>): Promise<string[]> {
  const taken: number[] = [];
  for (let i = 0; i < PROOFS; i++) {
    const from = performance.now();
    await prove();
    taken.push(performance.now() - from);
  }
  const { p50, p95, p99 } = summarise(taken);
  return [p50, p95, p99].map((ms) => ms.toFixed(2));
}

/** Stands for the hash of an entry. */
function leafOf(index: number): Uint8Array {
  return hash("sha256", String(index), "buffer");
}
