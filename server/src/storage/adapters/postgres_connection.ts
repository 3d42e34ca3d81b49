import type { Socket } from "node:net";
import type { Client, ClientConfig } from "pg";
import { assert } from "../../kernel/assert.ts";
import { Batch, type BatchOutcome, PreparedTexts, type Reply, type Statement } from "./postgres_batch.ts";
import { connectFault, judgePg, TransactionLost, UNREACHABLE_DETAIL } from "./postgres_errors.ts";

/** How long a connection may take to come about. */
const CONNECT_MS = 5_000;
/** The session was ended by somebody; another one may be had. */
const ADMIN_SHUTDOWN = "57P01";
/** When the far side of a silent connection is asked whether it is still there. */
const KEEP_ALIVE_MS = 10_000;

/** A database by its URL, and what connections to it are told first. */
export interface Target {
  url: string;
  /** `name = value` for SET. */
  settings: Record<string, string | number>;
  /**
   * How long the far side may be silent while it owes an answer. Then the session is given up: a network that swallows
   * everything is noticed by nobody else for a quarter of an hour. Longer than the server's own `statement_timeout`.
   */
  answer_ms?: number;
}

type Driver = typeof import("pg");

/** Loaded when it is needed: who keeps state in SQLite does without it. */
async function loadPg(): Promise<Driver> {
  const loaded = (await import("pg")) as Driver & { default?: Driver };
  return loaded.default ?? loaded; // CommonJS: where the named exports are depends on who loads it.
}

function configOf(url: string): ClientConfig {
  return {
    connectionString: url,
    application_name: "gantry",
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
  };
}

/**
 * Where the database is, without the password: `gantry@db.example:5432/gantry`.
 * @throws UNREACHABLE when the URL cannot be read; the message does not repeat it.
 */
export async function placeOf(url: string): Promise<string> {
  const { Client } = await loadPg();
  try {
    const { user, host, port, database } = new Client(configOf(url)) as Client & { database?: string };
    return `${user}@${host.startsWith("/") ? host : `${host}:${port}`}/${database}`;
  } catch {
    throw connectFault(new Error("its URL cannot be read: postgres://user@host:port/database"), "its URL");
  }
}

/**
 * One session. It runs one batch at a time (asserted): two at once would share a transaction, and pg would queue the
 * second one silently.
 */
export class Connection {
  readonly #client: Client;
  readonly #prepared = new PreparedTexts();
  readonly #answer_ms: number;
  #batch: Batch | undefined;
  #lost = false;

  private constructor(client: Client, answer_ms: number) {
    this.#client = client;
    this.#answer_ms = answer_ms;
    // Between batches the server may end the session; inside one, the batch has the error as well.
    client.on("error", () => {
      this.#lost = true;
    });
    client.on("end", () => {
      this.#lost = true;
    });
    this.#socket.on("timeout", () => this.destroy());
    client.connection.on("parseComplete", () => this.#batch?.handleParseComplete());
  }

  /** @throws TransactionLost: `unreachable`, or `lost` when a session began and was ended at once */
  static async open({ url, settings, answer_ms = 0 }: Target): Promise<Connection> {
    const { Client } = await loadPg();
    const place = await placeOf(url);
    const client = new Client(configOf(url));
    client.on("error", () => {}); // What still comes from a socket that is being given up.
    try {
      await client.connect();
    } catch (error) {
      client.end(() => {});
      const is_ended = (error as { code?: string }).code === ADMIN_SHUTDOWN;
      const scope = is_ended ? "lost" : "unreachable";
      throw new TransactionLost({ scope, error: connectFault(error, place) });
    }
    const connection = new Connection(client, answer_ms);
    const texts = Object.entries(settings).map(([name, value]) => ({ text: `SET ${name} = '${value}'` }));
    try {
      await connection.demand(texts);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /** The session has ended, or will not be used any more. */
  get lost(): boolean {
    return this.#lost;
  }

  /** The server's number of the session, for `pg_cancel_backend`. */
  get process_id(): number {
    return (this.#client as Client & { processID: number }).processID;
  }

  /** Runs the statements in one round trip. Resolves also when one fails: see `BatchOutcome`. */
  async run(statements: readonly Statement[]): Promise<BatchOutcome> {
    assert(this.#batch === undefined, "a connection runs one batch at a time");
    if (this.#lost) return { replies: [], failure: { error: new Error(UNREACHABLE_DETAIL) } };
    // The socket's own idle time, which begins again with each byte: a clock's timer would end a long answer too.
    this.#socket.setTimeout(this.#answer_ms);
    const outcome = await new Promise<BatchOutcome>((resolve) => {
      this.#batch = new Batch(statements, this.#prepared, resolve);
      // @types/pg 8.23.1 knows submittables, and gives their connection other signatures than pg has.
      this.#client.query(this.#batch as unknown as Parameters<Client["query"]>[0] & { submit(): void });
    });
    this.#batch = undefined;
    this.#socket.setTimeout(0);
    if (outcome.failure !== undefined && judgePg(outcome.failure.error).scope === "lost") this.destroy();
    return outcome;
  }

  /**
   * As `run`, for statements of which none may fail.
   * @throws TransactionLost when one does.
   */
  async demand(statements: readonly Statement[]): Promise<Reply[]> {
    const { replies, failure } = await this.run(statements);
    if (failure !== undefined) {
      throw new TransactionLost(judgePg(failure.error, statements[replies.length]?.text));
    }
    return replies;
  }

  /** Says goodbye; the server ends the session at once. */
  async close(): Promise<void> {
    if (this.#lost) return;
    this.#lost = true;
    await this.#client.end();
  }

  /** Gives the session up without a goodbye. */
  destroy(): void {
    this.#lost = true;
    this.#socket.destroy();
  }

  /** A TLS socket takes the place of the plain one when it is made, so it is asked for each time. */
  get #socket(): Socket {
    return this.#client.connection.stream as Socket;
  }
}
