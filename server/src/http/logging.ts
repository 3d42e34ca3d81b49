import { destination, type Level, pino, stdSerializers } from "pino";
import { type Logger, redactTokens } from "../kernel/log.ts";

/** Where log lines go; each ends with a newline. */
export interface LogSink {
  write(line: string): void;
}

/**
 * Our logs: one JSON object a line, on stderr, so that stdout stays for what a command prints.
 * Tokens are blanked in the finished line, wherever they stand in it.
 */
export function createLogger(o: { level?: Level; sink?: LogSink } = {}): Logger {
  const sink: LogSink = o.sink ?? destination({ fd: 2, sync: true });
  const options = {
    level: o.level ?? "info",
    base: null, // no host name, no pid
    messageKey: "message",
    formatters: { level: (level: string) => ({ level }) },
    serializers: { error: stdSerializers.err, cause: stdSerializers.err },
  };
  return pino(options, { write: (line: string) => sink.write(redactTokens(line)) });
}
