import { spawn } from "node:child_process";
import { type Command, command } from "../arguments.ts";
import { data_arg, dataDirectory, json_arg, store_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { Failure } from "../failure.ts";
import { demandServer, type Installation } from "../installation.ts";
import type { Terminal } from "../terminal.ts";
import { type Paint, paintFor, visible, widthOf, wrap } from "../text.ts";

/** What `server.js doctor --json` prints. */
interface DoctorReport {
  /** False when a required check failed. */
  ok: boolean;
  checks: DoctorCheck[];
}

interface DoctorCheck {
  name: string;
  ok: boolean | "warn";
  detail: string;
  /** What makes it right, as a command or a sentence. */
  fix?: string;
}

/** `gantry doctor` */
export function doctorCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "check that this machine can hold code in; name the fix",
    args: {
      ...data_arg,
      ...store_arg,
      config: { type: "string", valueHint: "FILE", description: "the configuration file that `up` would be given" },
      ...json_arg,
    },
    notes: ["Exit codes: 0 all required checks pass, 1 one fails."],
    examples: [
      ["gantry doctor", "each check, and what to do about a shortfall"],
      ["gantry doctor --store postgres://gantry@db.example/gantry", "the database as well"],
    ],
    async run(given) {
      const args = [demandServer(installation), "doctor", "--json"];
      // Left out beside a config file, the server decides: the file may name a directory.
      if (given.data !== undefined || given.config === undefined) args.push("--data", dataDirectory(given.data, io));
      if (given.store !== undefined) args.push("--store", given.store);
      if (given.config !== undefined) args.push("--config", given.config);
      const report = parseReport(await outputOf(args, io));
      if (given.json === true) io.stdout.write(`${JSON.stringify(report)}\n`);
      else io.stdout.write(reportText(report, paintFor(io.stdout, io.env), io.stdout.columns));
      return report.ok ? EXIT.completed : EXIT.threw;
    },
  });
}

/** Standard output of a Node program; its standard error goes to ours. */
function outputOf(args: readonly string[], io: Terminal): Promise<string> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], cwd: io.cwd, env: io.env });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => io.stderr.write(chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve(Buffer.concat(chunks).toString()));
  });
}

/** @throws Failure when the server said something else, as when it crashed. */
function parseReport(text: string): DoctorReport {
  try {
    const report = JSON.parse(text) as Partial<DoctorReport> | null;
    if (typeof report?.ok === "boolean" && Array.isArray(report.checks)) return report as DoctorReport;
  } catch {
    // The sentence below covers it.
  }
  throw new Failure(EXIT.lost, "The server's own checks ended without a report.");
}

/** One line for each check, details aligned; the fix stands under what falls short. */
function reportText(report: DoctorReport, paint: Paint, columns: number): string {
  const marks = {
    true: paint("green", "ok  "),
    warn: paint("yellow", "warn"),
    false: paint("red", "fail"),
  } as const;
  const name_width = Math.max(0, ...report.checks.map(({ name }) => widthOf(name)));
  const indent = " ".repeat(4 + 2 + name_width + 2);
  const lines = report.checks.flatMap((check) => {
    const detail = wrap(visible(check.detail), columns, indent).slice(indent.length);
    const line = `${marks[`${check.ok}`]}  ${visible(check.name).padEnd(name_width)}  ${detail}`;
    if (check.ok === true || check.fix === undefined) return [line];
    return [line, wrap(`fix: ${visible(check.fix)}`, columns, indent)];
  });
  const failed = report.checks.filter(({ ok }) => ok === false).length;
  const end = report.ok
    ? paint("green", "This machine can run code.")
    : paint("red", `${failed === 1 ? "One check fails" : `${failed} checks fail`}: this machine cannot run code yet.`);
  return `${[...lines, "", end].join("\n")}\n`;
}
