/** Limits that more than one room enforces. A limit of one room stands in that room's `contract.ts`. */

const KB = 1024;
const MB = 1024 * KB;

/** A limit that a run may ask for: what it gets when it asks for nothing, and the most that anyone gets. */
export interface RunLimit {
  readonly default: number;
  readonly max: number;
  readonly min: number;
}

/** runtime limits of one run; a contract may only lower the maxima. */
export const RUN_LIMITS = {
  /** CPU time of the run's process. */
  cpu_ms: { default: 1_000, max: 60_000, min: 1 },
  /** From start to outcome. */
  wall_ms: { default: 30_000, max: 900_000, min: 1 },
  /** V8 heap, and resident memory above the process's own. */
  memory_mb: { default: 128, max: 512, min: 16 },
  /** JSON text of the input, UTF-8. */
  input_bytes_max: { default: MB, max: 16 * MB, min: 1 },
  /** JSON text of the result, or body of the response. */
  output_bytes_max: { default: MB, max: 16 * MB, min: 1 },
  /** All modules together, after base64 is decoded. */
  code_bytes_max: { default: 4 * MB, max: 16 * MB, min: 1 },
  modules_max: { default: 64, max: 512, min: 1 },
  /** Kept log; what comes after is dropped and counted. */
  log_bytes_max: { default: 256 * KB, max: 4 * MB, min: 0 },
} as const satisfies Record<string, RunLimit>;

export type LimitName = keyof typeof RUN_LIMITS;
/** One value for every limit. */
export type LimitTable = Record<LimitName, number>;
export const LIMIT_NAMES = Object.keys(RUN_LIMITS) as LimitName[];

/** A run that writes more log than this is ended, `log_exceeded`. */
export const LOG_BYTES_KILL = 16 * MB;
/** Values up to this size stand in their row; larger ones are blobs. */
export const INLINE_BYTES_MAX = 64 * KB;
