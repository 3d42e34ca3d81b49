import type { Figures, LaneFigures, MachineFigures, Spread, Waiting } from "@gantry/sdk";
import { type Column, table } from "./table.ts";
import { count, duration, instant, oneLine, type Paint, wrap } from "./text.ts";

/** Columns from which both lanes have room side by side. */
const WIDE = 72;
/** Columns from which rates have room beside the rest. */
const MIDDLE = 60;
/** What has waited for so long to be sealed is shown as something to look at; a sealing takes 0.1 s. */
const LAG_MS = 2_000;

/** How much is shown, and where. */
export interface Shown {
  paint: Paint;
  /** Columns. */
  width: number;
  /** Codes of denials, the most frequent first. */
  denials_max: number;
  /** As few lines as will do: no sums, and denials in a sentence. */
  compact: boolean;
}

/** The figures as sections under titles, an empty line between two. @returns lines */
export function figuresLines(figures: Figures, shown: Shown): string[] {
  const { paint, width, compact } = shown;
  return [
    ...runsLines(figures, shown),
    "",
    ...timesLines(figures, paint, width),
    "",
    ...endingsLines(figures, paint, width),
    ...(compact ? denialsSentence(figures, shown) : denialsTable(figures, shown)),
    ...(figures.machine === null ? [] : ["", ...machineLines(figures.machine, paint, width)]),
  ];
}

/** Of which time the figures speak, as `last 15 min`. */
export function windowText({ window_ms, runs, at }: Figures): string {
  const window = spanText(window_ms);
  if (!runs.sampled) return `last ${window}`;
  return `the newest ${count(runs.all.ended, "run")} of the last ${window}, since ${instant(runs.since_at).slice(11)} (${spanText(at - runs.since_at)})`;
}

/**
 * What waits for people, as `3 for people (contract 1, run 1, setting 1)`; of runs alone the number says it. Whoever may
 * not read approvals is told of the runs.
 */
export function peopleText({ approvals, waiting }: Figures): string {
  if (approvals === null) return `${numberText(waiting.approval.count)} for people`;
  const { count: all, by_subject } = approvals;
  const parts = Object.entries(by_subject).map(([subject, n]) => `${oneLine(subject)} ${numberText(n)}`);
  const are_runs = (by_subject["run"] ?? 0) === all;
  return `${numberText(all)} for people${are_runs ? "" : ` (${parts.join(", ")})`}`;
}

function spanText(ms: number): string {
  if (ms >= 3_600_000 && ms % 3_600_000 === 0) return `${ms / 3_600_000} h`;
  if (ms >= 60_000 && ms % 60_000 === 0) return `${ms / 60_000} min`;
  return duration(ms);
}

interface LaneRow {
  name: string;
  lane: LaneFigures;
  waiting: Waiting | undefined;
}

function runsLines({ runs, waiting }: Figures, { paint, width, compact }: Shown): string[] {
  const rows: LaneRow[] = [
    { name: "interactive", lane: runs.interactive, waiting: waiting.interactive },
    { name: "batch", lane: runs.batch, waiting: waiting.batch },
    ...(compact ? [] : [{ name: "all", lane: runs.all, waiting: undefined }]),
  ];
  const per_s: Column<LaneRow> = {
    title: "PER S",
    cell: ({ lane }) => lane.ended_per_s.toFixed(1),
    align: "right",
  };
  const columns: Column<LaneRow>[] = [
    { title: "LANE", cell: ({ name }) => name },
    { title: "ENDED", cell: ({ lane }) => numberText(lane.ended), align: "right" },
    ...(width < MIDDLE ? [] : [per_s]),
    {
      title: "WAITING",
      cell: ({ waiting }) => (waiting === undefined ? "" : numberText(waiting.count)),
      align: "right",
    },
    { title: "OLDEST", cell: ({ waiting }) => (waiting?.count ? duration(waiting.oldest_ms) : ""), align: "right" },
  ];
  return linesOf(table(rows, columns, paint));
}

const TIMES = ["startup", "completion", "queued"] as const;

function timesLines({ runs }: Figures, paint: Paint, width: number): string[] {
  const shown: [string, LaneFigures][] =
    width < WIDE
      ? [["", runs.all]]
      : [
          ["INTERACTIVE ", runs.interactive],
          ["BATCH ", runs.batch],
        ];
  const places = ["p50_ms", "p95_ms", "p99_ms"] as const;
  const columns: Column<(typeof TIMES)[number]>[] = [
    { title: "TIME", cell: (name) => name },
    ...shown.flatMap(([title, lane]) =>
      places.map((place, i) => ({
        title: `${i === 0 ? title : ""}${place.slice(0, 3).toUpperCase()}`,
        cell: (name: (typeof TIMES)[number]) => msText(lane[name], place),
        align: "right" as const,
      })),
    ),
  ];
  return linesOf(table(TIMES, columns, paint));
}

function msText(spread: Spread, place: keyof Spread): string {
  const ms = spread[place];
  return ms === null ? "-" : duration(ms);
}

function endingsLines({ runs }: Figures, paint: Paint, width: number): string[] {
  const endings = Object.entries(runs.all.by_termination).sort(([, a], [, b]) => b - a);
  if (endings.length === 0) return [paint("dim", "No run has ended.")];
  // A no-break space keeps a number with its word.
  const text = endings.map(([name, n]) => `${oneLine(name)}\u00a0${numberText(n)}`).join("  ");
  return wrap(text.replaceAll("  ", ", "), width).replaceAll("\u00a0", " ").split("\n");
}

function denialsSentence({ denials }: Figures, { width, denials_max }: Shown): string[] {
  const said = denials.items.slice(0, denials_max).map(({ what, code, count: n }) => {
    const name = code === null ? `${what}s without a way out` : `${oneLine(code)} (${what}s)`;
    return `${name} ${numberText(n)}`;
  });
  return said.length === 0 ? [] : wrap(`refused: ${said.join(", ")}`, width).split("\n");
}

function denialsTable({ denials }: Figures, { paint, denials_max: most }: Shown): string[] {
  if (denials.items.length === 0) return [];
  const columns: Column<(typeof denials.items)[number]>[] = [
    { title: "DENIED", cell: ({ what }) => (what === "run" ? "runs" : "calls") },
    { title: "CODE", cell: ({ code }) => (code === null ? "(no way out)" : oneLine(code)) },
    { title: "COUNT", cell: ({ count: n }) => numberText(n), align: "right" },
  ];
  const more = denials.items.length - most;
  return [
    "",
    ...linesOf(table(denials.items.slice(0, most), columns, paint)),
    ...(more > 0 ? [paint("dim", `and ${count(more, "code")} more`)] : []),
    ...(denials.sampled ? [paint("dim", "There were more denials; these are of the newest runs.")] : []),
  ];
}

function machineLines({ slots, runners, ledger, witnesses }: MachineFigures, paint: Paint, width: number): string[] {
  const { warm, bound, busy, booting, boot_failures, jail } = runners;
  const held = [`${warm} warm`, `${bound} bound`, `${busy} busy`, `${booting} booting`].join(", ");
  const rows: [string, string][] = [
    ["slots", `${slots.used} of ${slots.of} used`],
    [
      "runners",
      `${held}; ${jail === null ? paint("red", "no jail") : jail === "none" ? paint("red", "NOT JAILED") : jail}`,
    ],
  ];
  if (boot_failures > 0) rows.push(["", paint("red", `${count(boot_failures, "boot")} in a row failed`)]);
  const lag = `${numberText(ledger.sealed)} sealed; the oldest of the others waits ${duration(ledger.lag_ms)}`;
  const said = ledger.lag_ms === 0 ? "all sealed" : ledger.lag_ms > LAG_MS ? paint("yellow", lag) : lag;
  rows.push(["ledger", `${count(ledger.entries, "entry", "entries")}, ${said}`]);
  for (const { sink, lag_ms, error } of witnesses) {
    const said = lag_ms === 0 ? "has the newest" : paint("yellow", `lacks one for ${duration(lag_ms)}`);
    rows.push(["witness", `${oneLine(sink)} ${said}${error === null ? "" : `: ${oneLine(error)}`}`]);
  }
  return rows.flatMap(([name, text]) => {
    const indent = " ".repeat(9);
    const wrapped = wrap(text, width, indent).slice(indent.length).split("\n");
    return [`${name.padEnd(9)}${wrapped[0]}`, ...wrapped.slice(1)];
  });
}

function numberText(n: number): string {
  return n.toLocaleString("en-US");
}

function linesOf(text: string): string[] {
  return text.split("\n").slice(0, -1);
}
