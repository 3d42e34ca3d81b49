import { statSync } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { assert } from "../../kernel/assert.ts";
import { systemClock } from "../../kernel/clock.ts";
import { WAL_BYTES_SOFT } from "../contract.ts";
import { type Driver, openDriver } from "./driver.ts";
import { GroupCommitter } from "./group.ts";
import type { FromWriter, ThreadStart, ToWriter } from "./messages.ts";
import { configureWriter } from "./settings.ts";
import { judge } from "./sqlite_errors.ts";

/** How long the writer waits for a connection outside of this process before the group is refused. */
const BUSY_MS = 250;
/** How much further the WAL grows before a checkpoint that a reader stood in the way of is tried again. */
const CHECKPOINT_STEP_BYTES = WAL_BYTES_SOFT / 8;

/** The writer thread: the only connection that writes. Started by `sqlite_writer.ts`. */
async function main(): Promise<void> {
  const port = parentPort;
  assert(port !== null, "the writer runs as a thread");
  const post = (message: FromWriter): void => port.postMessage(message);
  const { path } = workerData as ThreadStart;
  let db: Driver;
  try {
    db = await openDriver(path, { read_only: false, busy_ms: BUSY_MS });
    configureWriter(db);
  } catch (error) {
    post({ type: "refused", error: judge(error).error });
    return;
  }
  const clock = systemClock();
  const committer = new GroupCommitter({
    db,
    post,
    monotonic: () => clock.monotonic(),
    afterCommit: checkpointer(db, path),
    *drain() {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        yield next.message as ToWriter;
      }
    },
  });
  port.on("message", (message: ToWriter) => {
    committer.handle(message);
    if (!committer.closing) return;
    emptyWal(db);
    db.close();
    post({ type: "closed" });
    port.close();
  });
  post({ type: "ready" });
}

/**
 * Makes the database file alone a whole copy. SQLite would do it at the last close, but a statement that is not
 * collected yet keeps a closed connection of @photostructure/sqlite 1.2.1 half open.
 */
function emptyWal(db: Driver): void {
  try {
    db.pragma("wal_checkpoint(TRUNCATE)");
  } catch (error) {
    // Without space the WAL stays, and the next start reads it.
    if (judge(error).scope === "fatal") throw error;
  }
}

/**
 * Checkpoints a WAL over `WAL_BYTES_SOFT`. The file keeps its length and is written from its beginning again, because a
 * commit that makes the file longer must sync the file system's own log, too: with SQLite 3.53 on ext4 it took half of
 * the CPU time (0.2 for 0.4 ms) and less than half of the wait where the file was long enough. So the file grows again
 * exactly when it is full, which is the sign for the next checkpoint; one that has doubled in this way is cut.
 * Erased rows stay readable in its older part until that is written over, one turn of the file longer than a cut would
 * leave them.
 */
function checkpointer(db: Driver, path: string): () => void {
  let next_bytes = WAL_BYTES_SOFT;
  return () => {
    const wal_bytes = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    if (wal_bytes <= next_bytes) return;
    const cut = wal_bytes > 2 * WAL_BYTES_SOFT;
    db.exec("PRAGMA busy_timeout = 0"); // A reader is not waited for: commits are more urgent.
    const blocked = db.pragma(`wal_checkpoint(${cut ? "TRUNCATE" : "RESTART"})`) !== 0;
    db.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
    if (blocked) next_bytes = wal_bytes + CHECKPOINT_STEP_BYTES;
    else next_bytes = cut ? WAL_BYTES_SOFT : wal_bytes;
  };
}

await main();
