/** A sentence with values in it. What a value says was often chosen by a guest, so that each surface escapes values. */
export interface Told {
  /** Ours: one more than there are values. */
  words: readonly string[];
  values: readonly string[];
}

/** Characters of one value; the rest is counted. */
const VALUE_CHARS_MAX = 300;

/** `told\`Run ${run} ended.\``: the words are ours, the values somebody's. */
export function told(words: TemplateStringsArray, ...values: (string | number | readonly string[])[]): Told {
  const texts = values.map((value) => shown(Array.isArray(value) ? value.join(", ") : String(value)));
  return { words: [...words], values: texts };
}

/** One sentence of two parts. */
export function joined(a: Told, b: Told): Told {
  const [first = "", ...rest] = b.words;
  const last = a.words.at(-1) ?? "";
  return { words: [...a.words.slice(0, -1), last + first, ...rest], values: [...a.values, ...b.values] };
}

/** On one line, with what rewrites screens or turns the direction of writing made visible, and not endless. */
function shown(text: string): string {
  const line = text
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, escaped);
  const characters = [...line];
  if (characters.length <= VALUE_CHARS_MAX) return line;
  return `${characters.slice(0, VALUE_CHARS_MAX).join("")}… (${characters.length} characters)`;
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** As plain text. */
export function plainText({ words, values }: Told): string {
  return words.map((word, n) => `${word}${values[n] ?? ""}`).join("");
}

/**
 * As Markdown (CommonMark 0.31): every value is a code span, in which nothing is markup. Its fence is longer than any
 * run of backticks within (6.1), and a value never has a line ending.
 */
export function markdown({ words, values }: Told): string {
  return words.map((word, n) => `${word}${n < values.length ? codeSpan(values[n] ?? "") : ""}`).join("");
}

export function codeSpan(text: string): string {
  // A code span cannot be empty, and one of spaces alone would look so.
  if (text.trim() === "") return "(empty)";
  const runs = [...text.matchAll(/`+/g)].map(([run]) => run.length);
  const fence = "`".repeat(Math.max(0, ...runs) + 1);
  const pad = /^[`\s]|[`\s]$/.test(text) ? " " : "";
  return `${fence}${pad}${text}${pad}${fence}`;
}
