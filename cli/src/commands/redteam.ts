import { randomBytes } from "node:crypto";
import type { Gantry, RedteamRecord } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg, placeOf } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { Failure, typeThis, usage } from "../failure.ts";
import { startProgress } from "../progress.ts";
import { type Attacked, attack, leaksOf } from "../redteam/attack.ts";
import { type Canaries, openCanaries } from "../redteam/canaries.ts";
import { hostileUrls } from "../redteam/hostile_urls.ts";
import type { AttackInput, AttackProgram } from "../redteam/program.ts";
import { attack_programs } from "../redteam/programs.ts";
import { stepsText } from "../render.ts";
import { type Column, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { count, oneLine, type Paint, paintFor } from "../text.ts";

/** Random bytes in the path of the canary: nobody else on this machine asks for it. */
const TOKEN_BYTES = 8;

/** `gantry redteam` */
export function redteamCommand(io: Terminal): Command {
  return command({
    summary: "run hostile programs here, and record what held",
    args: {
      only: { type: "string", valueHint: "CLASS ...", description: "only this class of attacks (repeatable)" },
      contract: { type: "string", valueHint: "NAME", description: "under this contract; default scratch" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "Opens listeners on this machine that nothing may reach, shows that they notice a hit, and then runs programs that try " +
        "to reach them, the control plane, metadata services, files and other processes: real runs, under a contract that " +
        "grants nothing. Run it on the machine where the server runs: elsewhere, only the server's own rows can tell.",
      "The server adds up what the runs' rows say and enters it into the ledger, redteam.recorded. Needs run:submit, run:read " +
        "and egress:manage.",
      `Classes: ${attack_programs.map(({ name }) => name).join(", ")}.`,
      "Exit 0 when everything held, 1 when anything got through or a program could not be run to its end.",
    ],
    examples: [
      ["gantry redteam", "after an upgrade, and every night"],
      ["gantry redteam --only urls --only node-net", "two classes"],
      ["gantry redteam --json | jq .record.verdict", "for programs"],
    ],
    async run(given, repeated) {
      const programs = programsOf(repeated("only"));
      const gantry = await connect(given.data, io);
      const { url } = await placeOf(given.data, io);
      const all = await attackAll(gantry, programs, { url, contract: given.contract ?? "scratch" }, io);
      const hits = all.reduce((sum, each) => sum + leaksOf(each), 0);
      const record = await gantry.egress.recordRedteam({ runs: all.map(({ run }) => run.id), hits });
      if (given.json === true) io.stdout.write(`${JSON.stringify({ record, classes: all.map(viewOf(record)) })}\n`);
      else io.stdout.write(reportText(all, record, io));
      return record.verdict === "held" ? EXIT.completed : EXIT.threw;
    },
  });
}

/** @throws Failure exit 2 for a class that there is not. */
function programsOf(names: readonly string[]): readonly AttackProgram[] {
  const unknown = names.find((name) => !attack_programs.some((program) => program.name === name));
  if (unknown !== undefined) {
    throw usage(
      `There is no class ${oneLine(unknown)}: there are ${attack_programs.map(({ name }) => name).join(", ")}.`,
    );
  }
  return names.length === 0 ? attack_programs : attack_programs.filter(({ name }) => names.includes(name));
}

/** All programs, one after another. Ctrl-C ends it and records nothing. */
async function attackAll(
  gantry: Gantry,
  programs: readonly AttackProgram[],
  at: { url: string; contract: string },
  io: Terminal,
): Promise<Attacked[]> {
  const stop = new AbortController();
  const release = io.onInterrupt(() => stop.abort(new Failure(EXIT.cancelled, "Stopped; nothing was recorded.")));
  const progress = startProgress(io.stderr, "opening canaries");
  const canaries = await openCanaries().catch((error: unknown) => {
    release();
    progress.stop();
    throw error;
  });
  try {
    if (!isHere(at.url)) {
      progress.print(`${oneLine(at.url)} is another machine: the canaries of this one tell nothing about it.\n`);
    }
    const input = inputOf(canaries, at.url);
    const all: Attacked[] = [];
    for (const program of programs) {
      progress.say(`${program.name}: ${program.about}`);
      all.push(await attack(gantry, program, canaries, { input, contract: at.contract, signal: stop.signal }));
    }
    return all;
  } finally {
    release();
    progress.stop();
    await canaries.close();
  }
}

function inputOf({ host, port, socket }: Canaries, server: string): AttackInput {
  const path = `/canary-${randomBytes(TOKEN_BYTES).toString("hex")}`;
  return { host, port, path, socket, server, urls: hostileUrls(port, path) };
}

/** Does the URL name this machine's loopback? */
export function isHere(url: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);
}

interface ClassView {
  class: string;
  about: string;
  run: string;
  termination: string | undefined;
  /** Ways that the program tried, and calls of those that came to the door. */
  tried: number | undefined;
  attempts: number;
  blocked: number;
  completed: number;
  /** Of the canaries. */
  hits: number;
  /** Ways by which the program says that it got something. */
  escaped: string[];
  report: Record<string, string>;
}

function viewOf({ classes }: RedteamRecord): (attacked: Attacked) => ClassView {
  const rows = new Map(classes.map((one) => [one.run, one]));
  return ({ program, run, report, hits }) => {
    const { attempts = 0, blocked = 0, completed = 0 } = rows.get(run.id) ?? {};
    return {
      class: program.name,
      about: program.about,
      run: run.id,
      termination: run.termination,
      tried: report?.tried,
      attempts,
      blocked,
      completed,
      hits,
      escaped: report?.escaped ?? [],
      report: report?.report ?? {},
    };
  };
}

const columns: Column<ClassView>[] = [
  { title: "CLASS", cell: (view) => view.class },
  { title: "TRIED", cell: ({ tried }) => (tried === undefined ? "?" : String(tried)), align: "right" },
  { title: "CALLS", cell: ({ attempts }) => String(attempts), align: "right" },
  { title: "BLOCKED", cell: ({ blocked }) => String(blocked), align: "right" },
  { title: "GOT OUT", cell: ({ completed }) => String(completed), align: "right" },
  { title: "HITS", cell: ({ hits, escaped }) => String(hits + escaped.length), align: "right" },
  { title: "ENDED", cell: ({ termination }) => oneLine(termination ?? "") },
  { title: "RUN", cell: ({ run }) => run, shrink: true },
];

function reportText(all: readonly Attacked[], record: RedteamRecord, io: Terminal): string {
  const paint = paintFor(io.stdout, io.env);
  const views = all.map(viewOf(record));
  const width = io.stdout.tty ? io.stdout.columns : undefined;
  const tone = record.verdict === "held" ? "green" : record.verdict === "breached" ? "red" : "yellow";
  const tried = views.reduce((sum, view) => sum + (view.tried ?? 0), 0);
  const sum =
    `${count(tried, "way")} tried, ${count(record.attempts, "call")} counted, ${record.blocked.toLocaleString("en-US")} blocked, ` +
    `${count(record.hits, "hit")}`;
  const steps = [
    typeThis("See what was entered", `npx gantry evidence show ${record.entry}`),
    typeThis(
      "Take it with you, with a proof that it is in the log",
      `npx gantry evidence proof ${record.entry} -o redteam.proof`,
    ),
  ];
  return [
    table(views, columns, paint, width),
    `${paint(tone, record.verdict)}  ${sum}`,
    `${paint("dim", "entry")}  ${record.entry}`,
    ...views.flatMap((view) => wrongLines(view, paint)),
    "",
    stepsText(steps, undefined, paint),
    "",
  ].join("\n");
}

/** What a person looks at first: whatever is not as it should be. */
function wrongLines(
  { class: name, hits, escaped, report, completed, termination, run }: ClassView,
  paint: Paint,
): string[] {
  return [
    ...(hits === 0 ? [] : [`${paint("red", "reached")}  ${name}: a canary was hit ${count(hits, "time")}`]),
    ...escaped.map((way) => `${paint("red", "got")}  ${name}: ${oneLine(way)}: ${oneLine(report[way] ?? "")}`),
    ...(completed === 0 ? [] : [`${paint("red", "let out")}  ${name}: npx gantry runs calls ${run}`]),
    ...(termination === "completed"
      ? []
      : [`${paint("yellow", "ended")}  ${name}: ${oneLine(termination ?? "")}, ${run}`]),
  ];
}
