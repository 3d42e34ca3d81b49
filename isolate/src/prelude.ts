/**
 * Evaluated in the guest's isolate before any module of the guest: takes the natives that the wrapper needs, and
 * replaces `console` by one that prints each call as one line `<nonce> <level> <JSON string>`, which Node attributes
 * by the nonce. A guest can find out its own nonce at most, and so forge its own log only.
 */
const { log_nonce } = config;
const print = console.log.bind(console);
const { stringify } = JSON;
const { defineProperties, getPrototypeOf } = Object;
const { now } = Date;
const ErrorClass = Error;
const allSettled = Promise.allSettled.bind(Promise);

/** Untouched by whatever the guest does to its globals. */
export const natives = Object.freeze({ stringify, defineProperties, getPrototypeOf, now, allSettled });

/** Has a line been printed? */
export let printed = false;

/** Nested values are shown as JSON; deeper than this JSON itself gives up long before. */
function show(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof ErrorClass) return String(value.stack ?? value.message);
  if (typeof value === "function") return `[function ${value.name}]`;
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return stringify(value) ?? String(value);
  } catch {
    // Cycles and BigInts have no JSON; a log line is not the place to fail.
    return Object.prototype.toString.call(value);
  }
}

function line(level: string, args: unknown[]): void {
  let text: string;
  try {
    text = args.map(show).join(" ");
  } catch {
    text = "[a value that cannot be shown]";
  }
  printed = true;
  print(`${log_nonce} ${level} ${stringify(text)}`);
}

const quiet = (): void => {};
const counts = new Map<string, number>();

(globalThis as { console?: unknown }).console = {
  log: (...args: unknown[]) => line("log", args),
  debug: (...args: unknown[]) => line("debug", args),
  info: (...args: unknown[]) => line("info", args),
  warn: (...args: unknown[]) => line("warn", args),
  error: (...args: unknown[]) => line("error", args),
  trace: (...args: unknown[]) => line("debug", args),
  dir: (value: unknown) => line("log", [value]),
  dirxml: (...args: unknown[]) => line("log", args),
  table: (value: unknown) => line("log", [value]),
  group: (...args: unknown[]) => line("log", args),
  groupCollapsed: (...args: unknown[]) => line("log", args),
  groupEnd: quiet,
  clear: quiet,
  time: quiet,
  timeLog: quiet,
  timeEnd: quiet,
  timeStamp: quiet,
  profile: quiet,
  profileEnd: quiet,
  count: (label = "default") => {
    const n = (counts.get(label) ?? 0) + 1;
    counts.set(label, n);
    line("info", [`${label}: ${n}`]);
  },
  countReset: (label = "default") => {
    counts.delete(label);
  },
  assert: (condition: unknown, ...args: unknown[]) => {
    if (!condition) line("error", ["Assertion failed:", ...args]);
  },
};
