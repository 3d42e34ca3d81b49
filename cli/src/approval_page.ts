import type { Approval, Statement } from "@gantry/sdk";
import { type Column, table } from "./table.ts";
import { instant, minute, oneLine, type Paint, visible, wrap } from "./text.ts";

/** What the page is printed for. */
export interface PageOptions {
  paint: Paint;
  /** Columns of a line. */
  width: number;
  /** Milliseconds UTC. */
  now: number;
}

type Row = readonly [name: string, text: string];

/**
 * One approval as a person should read it before deciding, in the order in which it is worth reading: who wants what,
 * what is new about that, the code, why it is asked, a rehearsal, how far it reaches, what was decided before, the votes.
 * Nothing that somebody else wrote can move the cursor or end a section.
 */
export function approvalPage(view: Approval, options: PageOptions): string {
  const { paint } = options;
  const status = paint(TONES[view.status] ?? "bold", oneLine(view.status));
  const head = `${paint("bold", oneLine(view.id))}  ${status}${view.code === null ? "" : `  ${oneLine(view.code)}`}`;
  const sections: (readonly [title: string, lines: string[]])[] = [
    ["Who wants what", whoLines(view, options)],
    ["What it may do beyond what was approved last", deltaLines(view, options)],
    ["The code", codeLines(view, options)],
    [
      "Why a person is asked",
      [
        ...rows(
          [
            ["rule", view.preview.verdict.rule],
            ["codes", list(view.preview.verdict.codes)],
          ],
          options,
        ),
      ],
    ],
    ["Rehearsal", block(view.preview.rehearsal ?? "There was none.")],
    ["How far it reaches, and how it is undone", reachLines(view.statement.blast_radius, options)],
    ["Decided about the like", similarLines(view, options)],
    ["Votes", voteLines(view, options)],
  ];
  const parts = sections.map(([title, lines]) => [paint("bold", title), ...lines].join("\n"));
  const hash = `${paint("dim", "statement")}  ${oneLine(view.statement_hash)}`;
  return `${[head, ...parts, hash].join("\n\n")}\n`;
}

const TONES: Partial<Record<Approval["status"], "green" | "red" | "yellow" | "cyan">> = {
  pending: "cyan",
  approved: "green",
  executed: "green",
  declined: "red",
  broken_glass: "yellow",
};

function whoLines({ statement, preview, ...view }: Approval, options: PageOptions): string[] {
  const { action, contract, target, quorum, gate, independence } = statement;
  const waits = view.status === "pending" ? ` (${spanText(statement.not_after - options.now)} from now)` : "";
  const all: (Row | undefined)[] = [
    ["what", preview.summary],
    preview.why === null ? undefined : ["why", preview.why],
    ["by", chainText(statement)],
    ["action", `${action.name} ${action.resource}`],
    target === null ? undefined : ["target", target],
    contract === null ? undefined : ["contract", `${contract.name}@${contract.version}`],
    ["gate", `${gate}: ${quorum} ${quorum === 1 ? "person" : "people"}, independence ${independence}`],
    ["waits until", `${instant(statement.not_after)}${waits}`],
    ["then starts", `within ${spanText(statement.execute_before)} of the deciding vote`],
    view.execute_before_at === null ? undefined : ["may start until", instant(view.execute_before_at)],
    view.executed_at === null ? undefined : ["started", instant(view.executed_at)],
    view.superseded_by === null ? undefined : ["place taken by", view.superseded_by],
  ];
  return rows(
    all.filter((row) => row !== undefined),
    options,
  );
}

/** The last link acted; the first answers for it. */
function chainText({ chain, requester }: Statement): string {
  if (chain.length === 0) return requester;
  return [...chain]
    .reverse()
    .map(({ kind, actor }) => `${kind} ${actor}`)
    .join(" for ");
}

function deltaLines({ preview }: Approval, { paint, width }: PageOptions): string[] {
  if (preview.delta.length === 0) return ["  Nothing."];
  // What loosens first, whatever order it came in; within that, the server's.
  const lines = [...preview.delta].sort((a, b) => Number(b.loosens) - Number(a.loosens));
  return lines.flatMap(({ at, change, loosens, text }) => {
    const mark = paint(loosens ? "red" : "green", `${loosens ? "!" : " "} ${oneLine(change)}`);
    return [`  ${mark}  ${oneLine(at)}`, wrap(oneLine(text), width, "      ")];
  });
}

function codeLines({ statement, preview }: Approval, options: PageOptions): string[] {
  // Where it comes from says the hash of the code, too, where there is one.
  const facts = { ...(statement.code === null ? {} : statement.code), ...preview.provenance };
  const from: Row[] = Object.entries(facts).map(([name, text]) => [name.replaceAll("_", " "), text]);
  const diff = preview.diff === null ? [] : ["", ...block(preview.diff).map((line) => diffLine(line, options.paint))];
  const lines = [...rows(from, options), ...diff];
  return lines.length === 0 ? ["  None."] : lines;
}

function diffLine(line: string, paint: Paint): string {
  if (/^ {2}(\+\+\+|---) /.test(line)) return paint("dim", line);
  if (line.startsWith("  +")) return paint("green", line);
  if (line.startsWith("  -")) return paint("red", line);
  return line.startsWith("  @@") ? paint("cyan", line) : line;
}

function reachLines(reach: Statement["blast_radius"], options: PageOptions): string[] {
  const { percent_max, effects_max } = reach;
  const all: Row[] = [
    ["hosts", list(reach.hosts)],
    ["methods", list(reach.methods)],
    ["apps", list(reach.apps)],
    ["effects", effects_max === null ? "not counted" : `at most ${effects_max}`],
    ["percent", percent_max === null ? "does not apply" : `at most ${percent_max}`],
    ["reversible", reach.reversible ? "yes" : "no"],
    ["undone by", reach.rollback],
  ];
  return rows(all, options);
}

const similar_columns: Column<NonNullable<Approval["similar"]>[number]>[] = [
  { title: "WHEN", cell: ({ decided_at }) => minute(decided_at) },
  { title: "STATUS", cell: ({ status }) => oneLine(status) },
  { title: "APPROVAL", cell: ({ id }) => oneLine(id) },
  { title: "TARGET", cell: ({ target }) => oneLine(target ?? "") },
];

function similarLines({ similar = [] }: Approval, { paint }: PageOptions): string[] {
  if (similar.length === 0) return ["  Nothing yet."];
  return indented(table(similar, similar_columns, paint));
}

const vote_columns: Column<Approval["votes"][number]>[] = [
  { title: "VOTE", cell: ({ vote }) => oneLine(vote) },
  { title: "BY", cell: ({ actor }) => oneLine(actor) },
  { title: "WHEN", cell: ({ at }) => minute(at) },
  { title: "NOTE", cell: ({ note }) => oneLine(note ?? "") },
];

function voteLines({ votes, statement, excluded, break_glass }: Approval, options: PageOptions): string[] {
  const approvals = votes.filter(({ vote }) => vote === "approve").length;
  const glass: Row[] =
    break_glass === null
      ? []
      : [
          ["glass broken", `by ${break_glass.actor} until ${instant(break_glass.until_at)}: ${break_glass.reason}`],
          ["review", break_glass.debt === "open" ? `open: gantry reviews close ${break_glass.id}` : "closed"],
        ];
  return [
    ...indented(table(votes, vote_columns, options.paint)),
    ...rows(
      [["approvals", `${approvals} of ${statement.quorum}`], ["may not vote", list(excluded)], ...glass],
      options,
    ),
  ];
}

/** Names and texts in two columns; a long text goes on under itself. */
function rows(all: readonly Row[], { paint, width }: PageOptions): string[] {
  const names = Math.max(0, ...all.map(([name]) => oneLine(name).length));
  return all.map(([name, text]) => {
    const indent = " ".repeat(names + 4);
    return `  ${paint("dim", oneLine(name).padEnd(names))}  ${wrap(oneLine(text), width, indent).slice(indent.length)}`;
  });
}

function block(text: string): string[] {
  return visible(text.trimEnd())
    .split("\n")
    .map((line) => `  ${line}`);
}

function indented(lines: string): string[] {
  return lines === ""
    ? []
    : lines
        .trimEnd()
        .split("\n")
        .map((line) => `  ${line}`);
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.join(", ");
}

/** `45 s`, `3 min`, `5 h 20 min`, `2 d 3 h`; nothing is left of what is over. */
export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? `${days} d` : `${days} d ${hours % 24} h`;
}
