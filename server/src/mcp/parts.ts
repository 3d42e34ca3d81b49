import { parse, stringify } from "yaml";
import { MCP_PART_CHARS_MAX } from "./contract.ts";

/** A piece of a text that may be long. Offsets count UTF-16 code units. */
export interface Part {
  text: string;
  offset: number;
  total_chars: number;
  /** Where the next piece begins; absent on the last. */
  next_offset?: number;
}

/** The piece of `text` at `offset`, at most `MCP_PART_CHARS_MAX` long. It never cuts a character in two. */
export function partOf(text: string, offset = 0): Part {
  const from = Math.min(offset, text.length);
  let to = Math.min(from + MCP_PART_CHARS_MAX, text.length);
  if (to < text.length && isHighSurrogate(text.charCodeAt(to - 1))) to -= 1;
  const part = { text: text.slice(from, to), offset: from, total_chars: text.length };
  return to < text.length ? { ...part, next_offset: to } : part;
}

/** The beginning of `text`, with a note where it was cut. */
export function cutTo(text: string, chars_max: number): string {
  if (text.length <= chars_max) return text;
  const to = isHighSurrogate(text.charCodeAt(chars_max - 1)) ? chars_max - 1 : chars_max;
  return `${text.slice(0, to)}… [${text.length - to} more characters]`;
}

/** A value as YAML, in the block style that people write. */
export function yamlOf(value: unknown): string {
  return stringify(value, { lineWidth: 0 }).trimEnd();
}

/** A rule as an item of a list, with each member on a line of its own: JSON is YAML, and plain words need no quotes. */
export function ruleYaml(rule: Record<string, unknown>): string {
  const plain = (value: unknown) =>
    typeof value === "string" && /^[a-z]+$/.test(value) && parse(value) === value ? value : JSON.stringify(value);
  const lines = Object.entries(rule).map(([member, value]) => `${member}: ${plain(value)}`);
  return `- ${lines.join("\n  ")}`;
}

/** What somebody else wrote, set apart from what Gantry says. The fence is longer than any in the text. */
export function quoted(text: string, language = ""): string {
  const longest = [...text.matchAll(/`{3,}/g)].reduce((most, [run]) => Math.max(most, run.length), 2);
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

/** The members that are there: a schema's optional ones may be present and undefined. */
export function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members) as { [K in keyof T]: Exclude<T[K], undefined> };
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
