import { describe, expect, it } from "vitest";
import type { Connection } from "./postgres_connection.ts";
import { ConnectionPool } from "./postgres_pool.ts";

/** As much of a connection as a pool knows of. */
class Session {
  lost = false;
  closed = false;
  async close(): Promise<void> {
    this.closed = true;
  }
  destroy(): void {
    this.lost = true;
  }
}

function poolOf(most: number) {
  const made: Session[] = [];
  let failures = 0;
  const pool = new ConnectionPool(most, async () => {
    if (failures > 0) {
      failures -= 1;
      throw new Error("refused");
    }
    const session = new Session();
    made.push(session);
    return session as unknown as Connection;
  });
  return {
    pool,
    made,
    failNext: (count: number) => {
      failures = count;
    },
  };
}

describe("a pool of connections", () => {
  it("makes as many as are used at once, up to its size, and uses them again", async () => {
    const { pool, made } = poolOf(2);
    await pool.use(async () => {});
    await pool.use(async () => {});
    expect(made).toHaveLength(1);
    let running = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 10 }, () =>
        pool.use(async () => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
        }),
      ),
    );
    expect(made).toHaveLength(2);
    expect(most).toBe(2);
  });

  it("serves who waits in the order of their coming", async () => {
    const { pool } = poolOf(1);
    const order: number[] = [];
    await Promise.all([1, 2, 3].map((n) => pool.use(async () => void order.push(n))));
    expect(order).toEqual([1, 2, 3]);
  });

  it("replaces one that was lost, idle or in use, and gives its place on when none can be made", async () => {
    const { pool, made, failNext } = poolOf(1);
    await pool.use(async () => {});
    made[0]!.lost = true;
    await pool.use(async (connection) => connection.destroy());
    expect(made).toHaveLength(2);
    failNext(1);
    const first = pool.use(async () => "first");
    const second = pool.use(async () => "second");
    await expect(first).rejects.toThrow("refused");
    expect(await second).toBe("second");
    expect(made).toHaveLength(3);
  });

  it("refuses who waits when it is closed, and ends when the last one in use is given back", async () => {
    const { pool, made } = poolOf(1);
    let goOn = (): void => {};
    const used = pool.use(
      () =>
        new Promise<void>((resolve) => {
          goOn = resolve;
        }),
    );
    const waiting = pool.use(async () => {});
    await Promise.resolve();
    const closed = pool.close();
    await expect(waiting).rejects.toMatchObject({ code: "STORAGE_CLOSED" });
    await expect(pool.use(async () => {})).rejects.toMatchObject({ code: "STORAGE_CLOSED" });
    expect(made[0]?.closed).toBe(false);
    goOn();
    await Promise.all([used, closed]);
    expect(made[0]?.closed).toBe(true);
  });
});
