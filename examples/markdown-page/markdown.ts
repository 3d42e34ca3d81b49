import { escapeHtml, inline } from "./inline.ts";

/** A block takes the lines from `at` on; it answers with its HTML and the line after it, or not at all. */
type Block = (lines: string[], at: number) => { html: string; next: number } | undefined;

/** Headings, fenced code, lists, quotes, tables, rules and paragraphs. The first heading is the title. */
export function toHtml(markdown: string): { title: string; body: string } {
  const lines = markdown.replaceAll("\r\n", "\n").split("\n");
  const html: string[] = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at]?.trim() === "") {
      at += 1;
      continue;
    }
    const block = BLOCKS.reduce<ReturnType<Block>>((found, read) => found ?? read(lines, at), undefined);
    if (!block) throw new Error(`Line ${at + 1} starts no block.`);
    html.push(block.html);
    at = block.next;
  }
  const title = lines.find((line) => line.startsWith("# "))?.slice(2) ?? "Untitled";
  return { title, body: html.join("\n") };
}

/** The lines from `at` that match, and where they end. */
function run(lines: string[], at: number, belongs: RegExp): { taken: string[]; next: number } {
  const length = lines.slice(at).findIndex((line) => !belongs.test(line));
  const next = length === -1 ? lines.length : at + length;
  return { taken: lines.slice(at, next), next };
}

const heading: Block = (lines, at) => {
  const [, marks = "", text = ""] = /^(#{1,6}) (.+)$/.exec(lines[at] ?? "") ?? [];
  if (text === "") return undefined;
  const id = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return { html: `<h${marks.length} id="${id}">${inline(text)}</h${marks.length}>`, next: at + 1 };
};

const fence: Block = (lines, at) => {
  if (!lines[at]?.startsWith("```")) return undefined;
  const closing = lines.indexOf("```", at + 1);
  const end = closing === -1 ? lines.length : closing;
  return { html: `<pre><code>${escapeHtml(lines.slice(at + 1, end).join("\n"))}</code></pre>`, next: end + 1 };
};

const list: Block = (lines, at) => {
  const mark = /^- /.test(lines[at] ?? "") ? /^- / : /^\d+\. /;
  const { taken, next } = run(lines, at, mark);
  if (taken.length === 0) return undefined;
  const tag = mark.source === "^- " ? "ul" : "ol";
  const items = taken.map((line) => `<li>${inline(line.replace(mark, ""))}</li>`);
  return { html: `<${tag}>\n${items.join("\n")}\n</${tag}>`, next };
};

const quote: Block = (lines, at) => {
  const { taken, next } = run(lines, at, /^>/);
  if (taken.length === 0) return undefined;
  return {
    html: `<blockquote>\n${toHtml(taken.map((line) => line.replace(/^> ?/, "")).join("\n")).body}\n</blockquote>`,
    next,
  };
};

const table: Block = (lines, at) => {
  if (!/^\|(\s*:?-+:?\s*\|)+\s*$/.test(lines[at + 1] ?? "")) return undefined;
  const { taken, next } = run(lines, at, /^\|/);
  const cells = (line: string) =>
    line
      .trim()
      .slice(1, -1)
      .split("|")
      .map((cell) => inline(cell.trim()));
  const row = (line: string, tag: string) =>
    `<tr>${cells(line)
      .map((cell) => `<${tag}>${cell}</${tag}>`)
      .join("")}</tr>`;
  const [head = "", , ...body] = taken;
  return { html: `<table>\n${[row(head, "th"), ...body.map((line) => row(line, "td"))].join("\n")}\n</table>`, next };
};

const rule: Block = (lines, at) =>
  /^(-{3,}|\*{3,})$/.test(lines[at] ?? "") ? { html: "<hr>", next: at + 1 } : undefined;

const paragraph: Block = (lines, at) => {
  // The first line is text by now, whatever it looks like, so a paragraph always advances.
  const { taken, next } = run(lines, at + 1, /^(?!#{1,6} |```|- |\d+\. |>|\|)\s*\S/);
  return { html: `<p>${inline([lines[at], ...taken].join("\n"))}</p>`, next };
};

const BLOCKS: Block[] = [heading, fence, rule, list, quote, table, paragraph];
