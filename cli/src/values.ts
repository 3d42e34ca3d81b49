import { usage } from "./failure.ts";

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * A point in time as a person writes it: `10m`, `2h` or `7d` ago, an ISO date or instant, or milliseconds UTC.
 * @returns milliseconds UTC. @throws Failure exit 2
 */
export function parseSince(text: string, now: number): number {
  const ago = /^(\d{1,9})([smhd])$/.exec(text);
  if (ago) return now - Number(ago[1]) * UNITS_MS[ago[2] as keyof typeof UNITS_MS];
  if (/^\d{12,15}$/.test(text)) return Number(text);
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) {
    throw usage(
      `--since takes 10m, 2h, 7d, a date as 2026-01-31 or an instant as 2026-01-31T12:00:00Z, not "${text}".`,
    );
  }
  return at;
}

/** A span of time: `90s`, `10m`, `2h` or `7d`. @returns milliseconds. @throws Failure exit 2 */
export function parseSpan(flag: string, text: string): number {
  const span = /^(\d{1,6})([smhd])$/.exec(text);
  if (span && Number(span[1]) > 0) return Number(span[1]) * UNITS_MS[span[2] as keyof typeof UNITS_MS];
  throw usage(`${flag} takes 90s, 10m, 2h or 7d, not "${text}".`);
}

/** @throws Failure exit 2 for a pair without a name or `=`, or a name given twice. */
export function parsePairs(flag: string, pairs: readonly string[]): Record<string, string> {
  const values = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at <= 0) throw usage(`${flag} takes name=value, not "${pair}".`);
    const name = pair.slice(0, at);
    if (values.has(name)) throw usage(`${flag} ${name} is given twice; once is enough.`);
    values.set(name, pair.slice(at + 1));
  }
  return Object.fromEntries(values);
}

/** @throws Failure exit 2 */
export function wholeNumber(flag: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw usage(`${flag} takes a whole number, not "${text}".`);
  return Number(text);
}
