import { cut, oneLine, visible } from "./text.ts";

/**
 * A result as a few lines that fit: an object line by line with long values cut, a text by its first lines.
 * @param width  columns of a line. @param lines  at most so many, the last one says what is missing.
 */
export function briefLines(value: unknown, width: number, lines: number): string[] {
  const all = linesOf(value).map((line) => cut(line, width));
  if (all.length <= lines) return all;
  return [...all.slice(0, lines - 1), `… ${all.length - lines + 1} more`];
}

function linesOf(value: unknown): string[] {
  if (typeof value === "string") return visible(value).trimEnd().split("\n");
  if (Array.isArray(value)) return value.length === 0 ? ["[]"] : value.map((item) => compact(item));
  if (typeof value !== "object" || value === null) return [compact(value)];
  const entries = Object.entries(value);
  const width = Math.min(24, Math.max(0, ...entries.map(([name]) => oneLine(name).length)));
  return entries.length === 0
    ? ["{}"]
    : entries.map(([name, item]) => `${oneLine(name).padEnd(width)}  ${compact(item)}`);
}

/** One line. JSON without the quotes that nobody needs to read it. */
function compact(value: unknown): string {
  if (typeof value === "string") return oneLine(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) {
    if (value.length === 0) return "none";
    if (value.every((item) => typeof item !== "object" || item === null)) return value.map(compact).join(", ");
    return `${value.length} × { ${compact(value[0])} … }`;
  }
  return Object.entries(value)
    .map(([name, item]) => `${oneLine(name)} ${compact(item)}`)
    .join(", ");
}
