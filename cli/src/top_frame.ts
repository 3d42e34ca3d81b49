import type { Figures, RunView } from "@gantry/sdk";
import { figuresLines, peopleText, windowText } from "./figures_text.ts";
import { cutPainted } from "./screen.ts";
import { type Column, table } from "./table.ts";
import { count, duration, instant, oneLine, type Paint, widthOf, wrap } from "./text.ts";

/** Codes of denials in a frame that has little room. */
const DENIALS_SHOWN = 3;
/** Below this, running runs are not worth their title. */
const RUN_ROWS_MIN = 2;

/** What one frame is made of. */
export interface TopData {
  figures: Figures;
  /** Of the frame before; undefined in the first one. */
  before: Figures | undefined;
  /** Newest first. */
  running: readonly RunView[];
  /** What is wrong with this frame, as that it is an old one. */
  complaint?: string | undefined;
}

export interface FrameSize {
  columns: number;
  rows: number;
}

/** New entries of the ledger per second, from the difference of two frames; null while there is none. */
export function entriesPerSecond({ figures, before }: Pick<TopData, "figures" | "before">): number | null {
  const [now, then] = [figures.machine, before?.machine];
  if (!now || !then || before === undefined || figures.at <= before.at) return null;
  return (Math.max(0, now.ledger.entries - then.ledger.entries) * 1_000) / (figures.at - before.at);
}

/** How long a run has been there, milliseconds. */
export function ageOf({ created_at }: Pick<RunView, "created_at">, at: number): number {
  return Math.max(0, at - created_at);
}

/**
 * One frame: at most `rows` lines of at most `columns` columns. First what goes on now, then what was, then as many
 * running runs as there is room for.
 * @param place  of the server, as a person knows it.
 */
export function topFrame(data: TopData, { columns, rows }: FrameSize, place: string, paint: Paint): string[] {
  const { figures, running, complaint } = data;
  const lines = [
    headLine(`gantry top  ${oneLine(place)}`, `${instant(figures.at).slice(11)}  q quits`, columns, paint),
    ...(complaint === undefined ? [] : [paint("red", complaint)]),
    ...wrap(nowText(data), columns).split("\n"),
    paint("dim", windowText(figures)),
    "",
    ...figuresLines(figures, { paint, width: columns, denials_max: DENIALS_SHOWN, compact: true }),
  ];
  const room = rows - lines.length;
  if (running.length > 0 && room >= RUN_ROWS_MIN) {
    const gap = room > RUN_ROWS_MIN + 1 ? [""] : [];
    const shown = running.slice(0, room - gap.length - 1);
    lines.push(...gap, ...table(shown, runColumns(figures.at), paint, columns).split("\n").slice(0, -1));
  }
  return lines.slice(0, rows).map((line) => cutPainted(line, columns));
}

function nowText(data: TopData): string {
  const { running, waiting, runs } = data.figures;
  const waits = waiting.interactive.count + waiting.batch.count;
  const entries = entriesPerSecond(data);
  return [
    `${running} running`,
    `${waits} waiting`,
    peopleText(data.figures),
    `${runs.all.ended_per_s.toFixed(1)} runs/s`,
    ...(entries === null ? [] : [`${entries.toFixed(1)} entries/s`]),
  ].join(", ");
}

/** Left and right on one line; the right one gives way. */
function headLine(left: string, right: string, columns: number, paint: Paint): string {
  const gap = columns - widthOf(left) - widthOf(right);
  return gap < 2 ? paint("bold", left) : `${paint("bold", left)}${" ".repeat(gap)}${paint("dim", right)}`;
}

function runColumns(at: number): Column<RunView>[] {
  return [
    { title: "RUNNING", cell: ({ id }) => id },
    { title: "AGE", cell: (run) => duration(ageOf(run, at)), align: "right" },
    { title: "LANE", cell: ({ lane }) => lane },
    { title: "CONTRACT", cell: ({ contract }) => `${oneLine(contract.name)}@${contract.version}`, shrink: true },
  ];
}

/** One frame where there is no terminal: a line. */
export function plainFrame(data: TopData): string {
  const { figures } = data;
  const { startup, completion } = figures.runs.all;
  const p95 = (ms: number | null) => (ms === null ? "-" : duration(ms));
  const machine = figures.machine;
  return [
    instant(figures.at),
    nowText(data),
    `${count(figures.runs.all.ended, "run")} ended in the ${windowText(figures)}`,
    `p95 startup ${p95(startup.p95_ms)}, completion ${p95(completion.p95_ms)}`,
    ...(machine === null ? [] : [`${machine.slots.used} of ${machine.slots.of} slots`]),
  ].join("; ");
}
