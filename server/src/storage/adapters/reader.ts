import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../../kernel/assert.ts";
import { type Row, SCAN_PAGE_ROWS } from "../contract.ts";
import { type Driver, openDriver } from "./driver.ts";
import type { FromReader, ThreadStart, ToReader } from "./messages.ts";
import { configureReader } from "./settings.ts";
import { judge } from "./sqlite_errors.ts";

const BUSY_MS = 1_000;

/** A connection that holds one state, and the scan that runs on it. */
interface View {
  db: Driver;
  scan?: Generator<Row[], void, undefined>;
}

/** The states that are held open, each on a connection of its own. */
class Views {
  readonly #path: string;
  readonly #views = new Map<number, View>();
  readonly #idle: Driver[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  /** One connection ahead: the first reader does not wait for it, and a file that cannot be read refuses the start. */
  async prepare(): Promise<void> {
    this.#idle.push(await this.#open());
  }

  async begin(id: number): Promise<void> {
    const db = this.#idle.pop() ?? (await this.#open());
    this.#views.set(id, { db });
    db.exec("BEGIN");
    // BEGIN alone fixes nothing: the first read does (https://www.sqlite.org/isolation.html).
    db.all("SELECT COUNT(*) AS n FROM schema_migrations", [], 1);
  }

  read(message: Extract<ToReader, { type: "scan" | "page" }>): { rows: Row[]; done: boolean } {
    const view = this.#views.get(message.id);
    assert(view !== undefined, "a state is read between its begin and its end");
    if (message.type === "scan") view.scan = view.db.pages(message.sql, message.params, SCAN_PAGE_ROWS);
    const page = view.scan?.next();
    return page === undefined || page.done ? { rows: [], done: true } : { rows: page.value, done: false };
  }

  end(id: number): void {
    const view = this.#views.get(id);
    if (view === undefined) return;
    this.#views.delete(id);
    view.scan?.return();
    view.db.exec("ROLLBACK");
    this.#idle.push(view.db);
  }

  close(): void {
    for (const id of [...this.#views.keys()]) this.end(id);
    for (const db of this.#idle) db.close();
  }

  async #open(): Promise<Driver> {
    const db = await openDriver(this.#path, { read_only: false, busy_ms: BUSY_MS });
    configureReader(db);
    return db;
  }
}

/** The reader thread: long reads that must not stall the event loop. */
async function main(): Promise<void> {
  const port = parentPort;
  assert(port !== null, "the reader runs as a thread");
  const post = (message: FromReader): void => port.postMessage(message);
  const views = new Views((workerData as ThreadStart).path);

  const handle = async (message: ToReader): Promise<void> => {
    if (message.type === "close") {
      views.close();
      post({ type: "closed" });
      port.close();
      return;
    }
    if (message.type === "end") return views.end(message.id);
    try {
      if (message.type === "begin") {
        await views.begin(message.id);
        post({ type: "answer", id: message.id, rows: [], done: true });
      } else {
        post({ type: "answer", id: message.id, ...views.read(message) });
      }
    } catch (error) {
      const verdict = judge(error);
      if (verdict.scope === "fatal") post({ type: "fatal", error: verdict.error });
      else post({ type: "answer", id: message.id, rows: [], done: true, error: verdict.error });
    }
  };

  try {
    await views.prepare();
  } catch (error) {
    post({ type: "refused", error: judge(error).error });
    return;
  }
  // One at a time, in order: opening a connection is asynchronous.
  let tail = Promise.resolve();
  port.on("message", (message: ToReader) => {
    tail = tail.then(() => handle(message));
  });
  post({ type: "ready" });
}

await main();
