import { randomBytes, randomFillSync } from "node:crypto";

/** The only source of chance. `bytes` are fit for secrets. */
export interface Random {
  bytes(n: number): Uint8Array;
}

/** What one call of the system's generator fetches, and the largest piece that is cut from it. */
const POOL_BYTES = 4_096;
const PIECE_BYTES_MAX = 64;

/**
 * Small pieces are cut from a pool, as `crypto.randomUUID` does it: a call of the generator costs 5 µs for 8 bytes and
 * for 4,096 (Node 20.20), and a run needs six pieces. Given out bytes are erased from the pool, so that a later look
 * into this memory finds no secret that was made of them.
 */
export function systemRandom(): Random {
  const pool = new Uint8Array(POOL_BYTES);
  let at = POOL_BYTES;
  return {
    bytes(n) {
      if (n > PIECE_BYTES_MAX) return randomBytes(n);
      if (at + n > POOL_BYTES) {
        randomFillSync(pool);
        at = 0;
      }
      const piece = pool.slice(at, at + n);
      pool.fill(0, at, at + n);
      at += n;
      return piece;
    },
  };
}
