import { GantryError } from "../../kernel/errors.ts";
import { errors, READ_QUEUE_MAX } from "../contract.ts";
import type { Connection } from "./postgres_connection.ts";

interface Waiting {
  resolve(connection: Connection | undefined): void;
  reject(error: unknown): void;
}

/** Up to `most` connections, each used by one at a time; who finds none free waits in line. */
export class ConnectionPool {
  readonly #open: () => Promise<Connection>;
  readonly #most: number;
  readonly #idle: Connection[] = [];
  readonly #waiting: Waiting[] = [];
  /** Connections that exist or are being made. */
  #count = 0;
  #closed: GantryError | undefined;
  #tellEmpty: (() => void) | undefined;

  constructor(most: number, open: () => Promise<Connection>) {
    this.#most = most;
    this.#open = open;
  }

  /**
   * Gives `work` a connection of its own until it ends.
   * @throws STORAGE_BUSY past `READ_QUEUE_MAX` waiting, STORAGE_CLOSED, and what `open` and `work` throw.
   */
  async use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.#take();
    try {
      return await work(connection);
    } finally {
      this.#giveBack(connection);
    }
  }

  /** Refuses who waits and who comes, and resolves when the last connection is closed. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#closed = new GantryError(errors.CLOSED, { detail: "The store is closed." });
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#closed);
    for (const connection of this.#idle.splice(0)) this.#discard(connection);
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      this.#tellEmpty = resolve;
    });
  }

  async #take(): Promise<Connection> {
    if (this.#closed !== undefined) throw this.#closed;
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.lost) return idle;
      this.#count -= 1;
    }
    if (this.#count < this.#most) {
      this.#count += 1;
      return this.#make();
    }
    if (this.#waiting.length >= READ_QUEUE_MAX) {
      throw new GantryError(errors.BUSY, { detail: `${READ_QUEUE_MAX} reads wait for a connection.` });
    }
    const handed = await new Promise<Connection | undefined>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
    // Without a connection it is the place of one that was lost: `#count` has not changed.
    return handed ?? this.#make();
  }

  async #make(): Promise<Connection> {
    try {
      return await this.#open();
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  #giveBack(connection: Connection): void {
    if (this.#closed !== undefined) {
      this.#discard(connection);
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) next.resolve(connection.lost ? undefined : connection);
    else if (connection.lost) this.#count -= 1;
    else this.#idle.push(connection);
  }

  /** A place is free: the next who waits makes a connection in it. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.resolve(undefined);
      return;
    }
    this.#count -= 1;
    if (this.#count === 0) this.#tellEmpty?.();
  }

  #discard(connection: Connection): void {
    connection
      .close()
      .catch(() => connection.destroy())
      .finally(() => this.#leave());
  }
}
