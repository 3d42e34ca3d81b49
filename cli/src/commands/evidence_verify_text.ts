import type { Range, Report } from "@gantry/sdk/verify";
import { count, instant, oneLine, type Paint, wrap } from "../text.ts";

const NAMES = { bundle: "bundle", proof: "proof", checkpoint: "checkpoint", statement: "statement" } as const;
/** Subjects that are listed; the rest are counted. */
const SUBJECTS_SHOWN = 8;

/** What was found, for a person: the verdict, what it rests on, and what was not proved. Ends with a newline. */
export function reportText(report: Report, paint: Paint, columns: number): string {
  const { verdict, format, problem } = report;
  const what = format === undefined ? "" : ` ${NAMES[format]}`;
  const width = Math.min(100, columns);
  const lines =
    problem === undefined
      ? [`${paint("green", "verified")}${what}`]
      : [`${paint("red", verdict)}${what}: ${placeText(problem)}`, wrap(oneLine(problem.detail), width, "  ")];
  const rows = problem === undefined ? [...logRows(report), ...formatRows(report)] : [];
  for (const [name, text] of rows) {
    const indent = " ".repeat(13);
    lines.push(`  ${paint("dim", name.padEnd(9))}  ${wrap(text, width, indent).slice(indent.length)}`);
  }
  for (const warning of report.warnings) {
    lines.push("", wrap(`${paint("yellow", "warning")} ${warning}`, width));
  }
  return `${lines.join("\n")}\n`;
}

/** `inclusion, entry ent_… at index 7, line 9` */
function placeText({ check, entry, index, line, field }: NonNullable<Report["problem"]>): string {
  const parts: string[] = [check];
  if (entry !== undefined || index !== undefined) {
    parts.push(
      `entry${entry === undefined ? "" : ` ${oneLine(entry)}`}${index === undefined ? "" : ` at index ${index}`}`,
    );
  }
  if (field !== undefined) parts.push(`field ${oneLine(field)}`);
  if (line !== undefined) parts.push(`line ${line}`);
  return parts.join(", ");
}

function logRows({ log, saved }: Report): [string, string][] {
  if (log === undefined) return [];
  const rows: [string, string][] = [
    ["log", `${oneLine(log.origin)}, ${count(log.size, "entry", "entries")}`],
    ["root", log.root],
    ["signed by", log.signers.map(oneLine).join(", ")],
  ];
  if (saved === undefined) return rows;
  const size = count(saved.size, "entry", "entries");
  const relation = {
    same: `the saved checkpoint of ${size} is the same`,
    extends: `since the saved checkpoint of ${size}, entries were only appended`,
    older: `the saved checkpoint of ${size} is newer, and begins with this log`,
  }[saved.relation];
  return [...rows, ["history", relation]];
}

function formatRows({ bundle, proof, statement }: Report): [string, string][] {
  if (bundle !== undefined) return bundleRows(bundle);
  if (proof !== undefined) {
    return [
      [
        "entry",
        `${oneLine(proof.entry)} (${oneLine(proof.kind)}, ${instantText(proof.at)}) is in the log at index ${proof.index}`,
      ],
    ];
  }
  if (statement === undefined) return [];
  const subjects = statement.subjects.slice(0, SUBJECTS_SHOWN).map(({ name, digest }): [string, string] => {
    const digests = Object.entries(digest).map(([kind, hex]) => `${oneLine(kind)}:${oneLine(hex)}`);
    return ["subject", `${oneLine(name)} ${digests.join(" ")}`];
  });
  const more = statement.subjects.length - subjects.length;
  return [
    ["says", oneLine(statement.predicate_type)],
    ...subjects,
    ...(more > 0 ? ([["subject", `and ${more} more`]] as [string, string][]) : []),
    ["signed by", count(statement.signatures, "given key")],
  ];
}

/** A hostile log may have any integer for a time. */
function instantText(at: number): string {
  return Math.abs(at) <= 8.64e15 ? instant(at) : `${at} ms`;
}

function bundleRows(bundle: NonNullable<Report["bundle"]>): [string, string][] {
  const { range, gaps, gap_count, fields, opened, sealed } = bundle;
  const entries = count(bundle.count, "entry", "entries");
  const rows: [string, string][] = [];
  if (range === undefined) rows.push(["entries", "none: this proves the checkpoint alone"]);
  else if (gap_count === 0) {
    rows.push(["entries", `${entries}, index ${rangeText(range)}, without a gap: nothing is missing between them`]);
  } else {
    const more = gap_count > gaps.length ? `, and ${gap_count - gaps.length} more gaps` : "";
    rows.push(["entries", `${entries} between index ${range.from} and ${range.to}`]);
    rows.push(["not shown", `index ${gaps.map(rangeText).join(", ")}${more}: what is there, this bundle does not say`]);
  }
  const asked = fields.length === 0 ? "none was asked for" : `of the fields ${fields.map(oneLine).join(", ")}`;
  rows.push([
    "opened",
    `${opened} of ${count(sealed, "private value")}, ${asked}${opened > 0 ? "; each is what was committed to" : ""}`,
  ]);
  if (bundle.votes.count > 0) rows.push(["votes", votesText(bundle.votes)]);
  return rows;
}

/** An entry names its proof by a hash: what is said is which kind it is, and not that it was checked. */
function votesText({ count: all, service, unproved }: NonNullable<Report["bundle"]>["votes"]): string {
  const kinds = [
    service > 0 ? `${service} with a service proof, which is the server's word and is not judged here` : "",
    unproved > 0 ? `${unproved} without a proof of a known kind` : "",
  ];
  return `${count(all, "vote")}: ${kinds.filter((text) => text !== "").join("; ")}`;
}

function rangeText({ from, to }: Range): string {
  return from === to ? String(from) : `${from} to ${to}`;
}
