import type { Attended } from "./shape.ts";

/** Mon=1 … Sun=7, as ISO 8601 counts them. */
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/**
 * Do people watch at this moment? Judged by the clock on their wall: `from` counts in, `to` does not, and where a
 * change of summer time skips or repeats an hour, so does the wall. A contract that names no hours is always attended.
 * Never throws: a time zone that this machine does not know is not attended.
 * @param at_ms  milliseconds UTC.
 */
export function isAttended(attended: Attended | null, at_ms: number): boolean {
  if (attended === null) return true;
  const wall = wallClock(attended.tz, at_ms);
  if (wall === undefined || !attended.days.includes(wall.day)) return false;
  return attended.from <= wall.time && wall.time < attended.to;
}

/** ISO weekday and HH:MM; texts of equal form compare as times do. */
function wallClock(timeZone: string, at_ms: number): { day: number; time: string } | undefined {
  try {
    // `h23`: with `hour12: false` alone some versions of ICU write midnight as 24:00.
    const form = new Intl.DateTimeFormat("en-GB", {
      timeZone,
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    const parts = new Map(form.formatToParts(at_ms).map(({ type, value }) => [type, value]));
    const day = WEEKDAYS.indexOf(parts.get("weekday") ?? "") + 1;
    return { day, time: `${parts.get("hour")}:${parts.get("minute")}` };
  } catch {
    // A RangeError: no such zone, or a moment that no date has. Doubt is "nobody watches".
    return undefined;
  }
}
