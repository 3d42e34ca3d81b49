/** A place in a text; line and column count from 0. */
interface Place {
  line: number;
  column: number;
}

/** Finds where a place in compiled code came from; undefined before the first mapping. */
export type Origin = (line: number, column: number) => Place | undefined;

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** One mapping: line and column of the compiled code, line and column of the source. */
const WIDTH = 4;

/**
 * Decodes a source map of one source (ECMA-426; the JSON that esbuild writes) once, into numbers. A guest decides how
 * large its map is, and one of 1.5 MB kept node:module's `SourceMap` busy for a second (Node 20, measured).
 */
export function decodeMap(json: string): Origin {
  const { mappings } = JSON.parse(json) as { mappings: string };
  const found = decode(mappings);
  const count = found.length / WIDTH;
  const at = (index: number, field: number): number => found[index * WIDTH + field] ?? 0;

  return (line, column) => {
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >> 1;
      const is_before = at(middle, 0) < line || (at(middle, 0) === line && at(middle, 1) <= column);
      if (is_before) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : { line: at(low - 1, 2), column: at(low - 1, 3) };
  };
}

/** All mappings in order: lines end with `;`, segments with `,`, and each segment is 1, 4 or 5 differences. */
function decode(mappings: string): Int32Array {
  const found = new Int32Array(WIDTH * (countSegments(mappings) + 1));
  let used = 0;
  let [line, column, source_line, source_column] = [0, 0, 0, 0];
  let [field, value, shift] = [0, 0, 0];
  for (let i = 0; i <= mappings.length; i++) {
    const char = mappings.charCodeAt(i);
    if (char === SEMICOLON || char === COMMA || i === mappings.length) {
      if (field >= WIDTH) {
        found.set([line, column, source_line, source_column], used);
        used += WIDTH;
      }
      field = 0;
      if (char !== SEMICOLON) continue;
      line += 1;
      column = 0;
      continue;
    }
    const digit = VALUES[char] ?? 0;
    value += (digit & 31) << shift;
    shift += 5;
    if ((digit & 32) !== 0) continue;
    const difference = (value & 1) === 1 ? -(value >> 1) : value >> 1;
    if (field === 0) column += difference;
    else if (field === 2) source_line += difference;
    else if (field === 3) source_column += difference;
    [field, value, shift] = [field + 1, 0, 0];
  }
  return found.subarray(0, used);
}

const SEMICOLON = 0x3b;
const COMMA = 0x2c;
const VALUES = Uint8Array.from({ length: 128 }, (_, code) => Math.max(0, DIGITS.indexOf(String.fromCharCode(code))));

function countSegments(mappings: string): number {
  let count = 0;
  for (let i = 0; i < mappings.length; i++) {
    const char = mappings.charCodeAt(i);
    if (char === SEMICOLON || char === COMMA) count += 1;
  }
  return count;
}
