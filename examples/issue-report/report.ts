import type { Issue } from "./tracker.ts";

export interface Report {
  issues: number;
  open: number;
  closed: number;
  /** Open issues by label, most first; `(none)` stands for those without. */
  open_by_label: [label: string, count: number][];
  /** The issues that have been open for longest. */
  oldest: { number: number; title: string; days: number }[];
  /** From opening to closing, half of the closed ones sooner and half later; null: none was closed. */
  median_days_to_close: number | null;
}

const DAY_MS = 86_400_000;
const OLDEST_MAX = 5;

/** @param now  milliseconds UTC, from which ages count. */
export function reportOn(issues: readonly Issue[], now: number): Report {
  const open = issues.filter(({ state }) => state === "open");
  const spans = issues.flatMap(({ opened_at, closed_at }) => (closed_at === null ? [] : [closed_at - opened_at]));
  return {
    issues: issues.length,
    open: open.length,
    closed: issues.length - open.length,
    open_by_label: byLabel(open),
    oldest: [...open]
      .sort((a, b) => a.opened_at - b.opened_at)
      .slice(0, OLDEST_MAX)
      .map(({ number, title, opened_at }) => ({ number, title, days: Math.floor((now - opened_at) / DAY_MS) })),
    median_days_to_close: medianDays(spans),
  };
}

function byLabel(issues: readonly Issue[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { labels } of issues) {
    for (const label of labels.length === 0 ? ["(none)"] : labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}

function medianDays(spans: number[]): number | null {
  if (spans.length === 0) return null;
  const sorted = [...spans].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
  return Math.round((median / DAY_MS) * 10) / 10;
}
