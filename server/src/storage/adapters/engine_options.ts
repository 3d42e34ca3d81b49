import type { Clock } from "../../kernel/clock.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Random } from "../../kernel/random.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import type { Migration } from "../contract.ts";

/** What either engine is opened with. */
export interface EngineOptions {
  /** The data directory of this process; made with mode 0700. Holds `lock.db`, and what the engine keeps in files. */
  directory: string;
  /** Where blobs are, which all processes over one database share; default `blobs` in `directory`. */
  blobs?: string;
  /** Of all rooms, lower floors first. The room's own come before them. */
  migrations: readonly Migration[];
  clock: Clock;
  random: Random;
  metrics: Metrics;
  logger: Logger;
  /** Told of the copy that was made before the schema changed, by its path. Only SQLite makes one. */
  copied?: (path: string) => void;
  /**
   * A disk failed, so that its state is unknown: end the process, a restart recovers or refuses.
   * Default: exit with code `EX_SOFTWARE`.
   */
  fatal?: (error: unknown) => void;
}

/** Of sysexits.h. */
export const EX_SOFTWARE = 70;
