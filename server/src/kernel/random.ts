import { randomBytes } from "node:crypto";

/** The only source of chance. `bytes` are fit for secrets. */
export interface Random {
  bytes(n: number): Uint8Array;
}

export function systemRandom(): Random {
  return { bytes: (n) => randomBytes(n) };
}
