/** The logging seam. `main.ts` fills it with pino; a test with an array. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Every bearer token of ours, wherever it stands in a text; also what secret scanners are given. */
export const TOKEN_PATTERN = /\bgtr_(hum|agt|svc|lnk)_[0-9A-Za-z]{36}\b/g;

/** What a guest holds instead of a credential; worth something at its own door alone, and still no matter for a log. */
const LEASE_PATTERN = /\bgl_[0-9a-hjkmnp-tv-z]{38}\b/g;

/** Blanks tokens and leases in a line that is about to leave for a log. */
export function redactTokens(line: string): string {
  const bare = line.includes("gtr_") ? line.replace(TOKEN_PATTERN, "gtr_$1_[redacted]") : line;
  return bare.includes("gl_") ? bare.replace(LEASE_PATTERN, "gl_[redacted]") : bare;
}
