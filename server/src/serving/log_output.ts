import { type Config, UsageError } from "../config.ts";
import { type LogFile, openLogFile } from "../http/log_file.ts";
import { createLogger } from "../http/logging.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { HangUp } from "./signals.ts";

/**
 * The log of a server: on stderr, or in the file that the config names, which is opened again at SIGHUP.
 * @throws UsageError when that file cannot be opened.
 */
export function openLog(config: Config, clock: Clock, hang_up: HangUp): Logger {
  const { log_level: level, log_file } = config;
  if (log_file === undefined) return createLogger({ level });
  const file = opened(log_file, clock);
  hang_up.also(() => file.reopen());
  return createLogger({ level, sink: file });
}

function opened(log_file: NonNullable<Config["log_file"]>, clock: Clock): LogFile {
  try {
    return openLogFile({ ...log_file, clock });
  } catch (error) {
    throw new UsageError(
      `The log file (log_file.path in the config file) cannot be opened: ${(error as Error).message}.`,
    );
  }
}
