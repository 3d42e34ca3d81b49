import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import type { AuditLine, AuditProgress, AuditReport } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, dataDirectory, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { Failure, usage } from "../failure.ts";
import { reasonOf } from "../input.ts";
import { demandServer, type Installation } from "../installation.ts";
import { startProgress } from "../progress.ts";
import type { Terminal } from "../terminal.ts";
import { count, oneLine, type Paint, paintFor, wrap } from "../text.ts";

/** Bytes of a saved checkpoint; of a longer file, as a witness appends to it, the end is read. */
const SAVED_BYTES_MAX = 131_072;

/** `gantry evidence audit` */
export function auditCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "compare the whole store with its ledger",
    args: {
      checkpoint: {
        type: "string",
        valueHint: "SAVED",
        description: "a checkpoint that you saved or that a witness holds: the log must agree with it",
      },
      store: {
        type: "string",
        valueHint: "DIR|URL",
        description: "read this store itself, with no server up: a data directory, or postgres://…",
      },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "With --store nothing is changed; keys and checkpoint.latest are read from the data directory, which --data names " +
        "where the store does not.",
      "Without --checkpoint, a log that somebody with the key has made anew passes.",
      "Exit codes: 0 all is well; 1 something is wrong: it says what, and at which entry; 2 it cannot be judged.",
    ],
    examples: [
      ["gantry evidence audit --checkpoint saved", "the running server, against a checkpoint that you kept"],
      ["gantry evidence audit --store ./.gantry", "a data directory that no server runs on"],
      ["gantry evidence audit --store postgres://… --data /var/lib/gantry", "a database"],
    ],
    async run(given) {
      const progress = startProgress(io.stderr, "auditing");
      const say = ({ part, done, total }: AuditProgress): void => progress.say(`auditing ${part}: ${done} of ${total}`);
      const report = await reportOf(given, say, io, installation).finally(() => progress.stop());
      if (given.json === true) io.stdout.write(`${JSON.stringify(report)}\n`);
      else io.stdout.write(auditText(report, paintFor(io.stdout, io.env), io.stdout.columns));
      return report.ok ? EXIT.completed : EXIT.threw;
    },
  });
}

interface Given {
  checkpoint?: string | undefined;
  store?: string | undefined;
  data?: string | undefined;
}

async function reportOf(
  given: Given,
  progress: (progress: AuditProgress) => void,
  io: Terminal,
  installation: Installation,
): Promise<AuditReport> {
  const { checkpoint, store, data } = given;
  if (store !== undefined) {
    const is_url = /^[a-z]+:\/\//.test(store);
    const args = [
      demandServer(installation),
      "audit",
      "--store",
      is_url || store === "sqlite" ? store : resolve(io.cwd, store),
    ];
    // A directory says where its keys are, a database does not.
    if (data !== undefined || is_url || store === "sqlite") args.push("--data", dataDirectory(data, io));
    if (checkpoint !== undefined) args.push("--checkpoint", resolve(io.cwd, checkpoint));
    return ofStore(args, progress, io);
  }
  const saved = checkpoint === undefined ? undefined : await savedNote(checkpoint, io);
  const gantry = await connect(data, io);
  const left = new AbortController();
  const release = io.onInterrupt(() => left.abort());
  try {
    const options = saved === undefined ? {} : { checkpoint: saved };
    return await gantry.evidence.audit({ ...options, progress, signal: left.signal });
  } catch (error) {
    if (left.signal.aborted) throw new Failure(EXIT.cancelled, "The audit was ended before it had an answer.");
    throw error;
  } finally {
    release();
  }
}

async function savedNote(file: string, io: Terminal): Promise<string> {
  try {
    return (await readFile(resolve(io.cwd, file))).subarray(-SAVED_BYTES_MAX).toString("utf8");
  } catch (error) {
    throw usage(`${file} cannot be read: ${reasonOf(error)}.`);
  }
}

/** What the server's own command says of a store. Its standard error goes to ours. */
async function ofStore(
  args: readonly string[],
  progress: (progress: AuditProgress) => void,
  io: Terminal,
): Promise<AuditReport> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], cwd: io.cwd, env: io.env });
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  const exited = new Promise<number | null>((settle, reject) => {
    child.once("error", reject);
    child.once("close", settle);
  });
  // An interrupt reaches the child, which has nothing to put in order.
  const release = io.onInterrupt((signal) => child.kill(signal));
  let report: AuditReport | undefined;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { progress: told, result } = JSON.parse(line) as AuditLine;
      if (told !== undefined) progress(told);
      report = result ?? report;
    }
    const code = await exited;
    if (report !== undefined) return report;
    if (code === null) throw new Failure(EXIT.cancelled, "The audit was ended before it had an answer.");
    throw usage(
      said
        .join("")
        .replace(/^gantry: /, "")
        .trim() || "The store could not be read.",
    );
  } finally {
    release();
  }
}

/** The verdict, what it rests on, and what was not proved. Ends with a newline. */
export function auditText(report: AuditReport, paint: Paint, columns: number): string {
  const { counts, compared, first_bad, size } = report;
  const width = Math.min(100, columns);
  const lines: string[] = [];
  if (first_bad === null) {
    lines.push(`${paint("green", "ok")} ${count(size, "sealed entry", "sealed entries")}, ${counts.pending} waiting`);
  } else {
    const { check, index, entry, detail } = first_bad;
    const place = [index === null ? "" : ` at index ${index}`, entry === null ? "" : `, entry ${oneLine(entry)}`].join(
      "",
    );
    lines.push(`${paint("red", "bad")} ${check}${place}`, wrap(oneLine(detail), width, "  "));
  }
  const looked = [
    count(counts.tiles, "tile"),
    count(counts.checkpoints, "checkpoint"),
    count(counts.rows, "audited row"),
    count(counts.values, "private value"),
  ];
  lines.push(`  ${paint("dim", "looked at")}  ${looked.join(", ")}`);
  if (first_bad === null) lines.push(`  ${paint("dim", "root")}       ${report.root}`);
  if (compared.saved !== null) lines.push(`  ${paint("dim", "saved")}      compared with ${compared.saved} entries`);
  if (compared.latest !== null) lines.push(`  ${paint("dim", "latest")}     compared with ${compared.latest} entries`);
  if (compared.saved === null && first_bad === null) {
    const warning = "no saved checkpoint was given: a log made anew by somebody who has the key would pass as well.";
    lines.push("", wrap(`${paint("yellow", "warning")} ${warning}`, width));
  }
  return `${lines.join("\n")}\n`;
}
