/**
 * The process that `sealing.test.ts` and `sealing_postgres.test.ts` kill: it appends, seals and rotates for ever, and
 * prints a line for what it knows, at once and synchronously. It may kill itself at a named point, which is a place in
 * the ports that the sealer is given, and none of the product's.
 * Arguments: data directory, kill point (`never`), how often the point is passed before, URL of the database.
 */
import { kinds } from "../../server/src/evidence/kinds.ts";
import { EvidenceLedger } from "../../server/src/evidence/ledger.ts";
import { LogGuard } from "../../server/src/evidence/log/guard.ts";
import { KeyRotation } from "../../server/src/evidence/log/rotation.ts";
import { Sealer } from "../../server/src/evidence/log/sealer.ts";
import { migrations } from "../../server/src/evidence/store.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { createIds, type TenantId } from "../../server/src/kernel/ids.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { noMetrics } from "../../server/src/kernel/telemetry.ts";
import { openPostgres } from "../../server/src/storage/adapters/postgres.ts";
import { openPrivateFiles } from "../../server/src/storage/adapters/private_files.ts";
import { openSqlite } from "../../server/src/storage/adapters/sqlite.ts";
import type { PrivateFiles, Storage, Tx, Value } from "../../server/src/storage/contract.ts";
import { say } from "./say.ts";

/** Where the child may kill itself. */
export const POINTS = [
  "a sealing is signed",
  "a sealing is with the writer",
  "a sealing is committed",
  "the checkpoint is beside the database",
  "the next key is in its file",
  "the next key is announced",
  "the next key has signed",
  "the next key has the old one's place",
  "the first file of the next key is gone",
] as const;
export type Point = (typeof POINTS)[number];

const WRITERS = 6;
const ROTATE_EACH_MS = 150;

/** Ends the process when it has come to its point often enough. */
function reaper(wanted: string, passes: number): (point: Point) => void {
  let left = passes;
  return (point) => {
    if (point !== wanted || left-- > 0) return;
    process.kill(process.pid, "SIGKILL");
  };
}

/** What a unit writes, told by its statements. */
type Unit = "sealing" | "covering" | "announcing" | "other";

function watched(storage: Storage, reach: (point: Point) => void): Storage {
  const write: Storage["write"] = async (unit, o) => {
    let kind: Unit = "other";
    const told = (tx: Tx): Tx => ({
      get: (sql, params) => tx.get(sql, params),
      all: (sql, params) => tx.all(sql, params),
      run(sql: string, params: Value[], expect?: number) {
        if (sql.includes("INTO evidence_leaves")) kind = "sealing";
        if (sql.startsWith("UPDATE evidence_keys")) kind = "covering";
        if (sql.includes("INTO evidence_keys") && sql.includes("EXISTS")) kind = "announcing";
        if (sql.startsWith("UPDATE evidence_log SET size")) reach("a sealing is signed");
        tx.run(sql, params, expect);
      },
    });
    const under_way = storage.write((tx) => unit(told(tx)), o);
    // The writer has it at the end of this turn; how far it comes before the signal is chance.
    if ((kind as Unit) === "sealing") setImmediate(() => reach("a sealing is with the writer"));
    const result = await under_way;
    if ((kind as Unit) === "sealing" || (kind as Unit) === "covering") reach("a sealing is committed");
    if ((kind as Unit) === "covering") reach("the next key has signed");
    if ((kind as Unit) === "announcing") reach("the next key is announced");
    return result;
  };
  const { timers, locks, blobs } = storage;
  return {
    write,
    get: (sql, params) => storage.get(sql, params),
    all: (sql, params) => storage.all(sql, params),
    scan: (sql, params) => storage.scan(sql, params),
    snapshot: (read) => storage.snapshot(read),
    unwritable: () => storage.unwritable(),
    close: () => storage.close(),
    timers,
    locks,
    blobs,
  };
}

function watchedFiles(files: PrivateFiles, reach: (point: Point) => void): PrivateFiles {
  return {
    ...files,
    async replace(name, content) {
      await files.replace(name, content);
      if (name === "checkpoint.latest") reach("the checkpoint is beside the database");
      if (name.endsWith("next.pem")) reach("the next key is in its file");
      if (name.endsWith("ed25519.pem")) reach("the next key has the old one's place");
    },
    async remove(name) {
      await files.remove(name);
      if (name.endsWith("next.pem")) reach("the first file of the next key is gone");
    },
  };
}

async function main(directory: string, point: string, passes: number, url?: string): Promise<void> {
  const reach = reaper(point, passes);
  const random = systemRandom();
  const clock = systemClock();
  const ids = createIds(clock, random);
  const ground = { clock, random, ids, metrics: noMetrics, logger: silentLogger, log: silentLogger };
  const options = { ...ground, directory, migrations };
  const opened = url === undefined ? await openSqlite(options) : await openPostgres({ ...options, url });
  const storage = watched(opened, reach);
  const files = watchedFiles(openPrivateFiles(directory, random), reach);
  const guard = new LogGuard(noMetrics);
  const shared = url === undefined ? {} : { poll_ms: 100 };
  const sealer = new Sealer({
    ...ground,
    storage,
    files,
    guard,
    owner: directory,
    origin: "crash.test/log",
    ...shared,
  });
  sealer.onReleased(({ note }) => say({ released: note }));
  const appended = () => sealer.appended();
  const ledger = new EvidenceLedger({ ...ground, storage, state_key: new Uint8Array(32), kinds, guard, appended });
  await sealer.start();
  say({ open: true, refused: guard.trouble() });
  setInterval(() => {}, 60_000); // as a listener does, it keeps the process
  const tenant = ids("ten") as TenantId;
  const rotation = new KeyRotation({ storage, files, random, ledger, sealer });
  const rotates = url === undefined;
  const rotate = async (): Promise<never> => {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, ROTATE_EACH_MS));
      try {
        const { new: vkey } = await rotation.rotate({ tenant, actor: [] });
        say({ rotated: vkey });
      } catch (error) {
        // What an earlier life has announced comes first.
        if ((error as { code?: string }).code !== "EVIDENCE_ROTATING") throw error;
      }
    }
  };
  const write = async (): Promise<never> => {
    for (;;) {
      const id = await storage.write((tx) =>
        ledger.append(tx, { kind: "evidence.opened", tenant, actor: [], data: { entry: ids("ent"), field: "x" } }),
      );
      say({ acknowledged: id });
    }
  };
  await Promise.all([...Array.from({ length: WRITERS }, write), ...(rotates ? [rotate()] : [])]);
}

const [, script, directory, point = "never", passes = "0", url] = process.argv;
if (script === import.meta.filename && directory !== undefined) await main(directory, point, Number(passes), url);
