import { cut, type Paint, widthOf } from "./text.ts";

/** One column of a table of `T`. */
export interface Column<T> {
  title: string;
  /** Plain text without colours, one line. */
  cell(row: T): string;
  align?: "right";
  /** May be cut when the table is wider than the terminal. */
  shrink?: true;
}

/** Below this a cut column tells nothing. */
const SHRUNK_MIN = 8;

/**
 * Rows as aligned columns under a line of titles, two spaces apart.
 * @param width  columns of the terminal; undefined (a pipe) cuts nothing.
 * @returns lines with a newline at the end of each; the empty string for no rows.
 */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], paint: Paint, width?: number): string {
  if (rows.length === 0) return "";
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const widths = columns.map((column, i) =>
    Math.max(widthOf(column.title), ...cells.map((row) => widthOf(row[i] ?? ""))),
  );
  const excess = width === undefined ? 0 : widths.reduce((sum, one) => sum + one + 2, -2) - width;
  shrink(columns, widths, excess);
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, i) => {
        const room = widths[i] ?? 0;
        const fits = cut(text, room);
        const padding = " ".repeat(room - widthOf(fits));
        return columns[i]?.align === "right" ? padding + fits : fits + padding;
      })
      .join("  ")
      .trimEnd();
  const head = paint("dim", line(columns.map((column) => column.title)));
  return [head, ...cells.map(line)].map((text) => `${text}\n`).join("");
}

/** Takes the excess from the columns that allow it, the last one first. */
function shrink<T>(columns: readonly Column<T>[], widths: number[], excess: number): void {
  let left = excess;
  for (let i = columns.length - 1; i >= 0 && left > 0; i--) {
    const has = widths[i] ?? 0;
    if (columns[i]?.shrink !== true) continue;
    const takes = Math.min(left, Math.max(0, has - SHRUNK_MIN));
    widths[i] = has - takes;
    left -= takes;
  }
}
