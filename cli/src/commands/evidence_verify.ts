import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import {
  CONSISTENCY_CHARS_MAX,
  isProblem,
  KEY_FILE_CHARS_MAX,
  type PublicKey,
  parseKeys,
  type Report,
  verify,
} from "@gantry/sdk/verify";
import { type Command, command } from "../arguments.ts";
import { json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { typeThis, usage } from "../failure.ts";
import { reasonOf } from "../input.ts";
import type { Terminal } from "../terminal.ts";
import { paintFor } from "../text.ts";
import { reportText } from "./evidence_verify_text.ts";

/** Bytes of a saved checkpoint; of a longer file, as a witness appends to it, the end is read. */
const SAVED_BYTES_MAX = 131_072;

const READ_BYTES = 262_144;

const EXITS: Record<Report["verdict"], number> = {
  verified: EXIT.completed,
  bad: EXIT.threw,
  unusable: EXIT.usage,
};

/** `gantry evidence verify` */
export function verifyCommand(io: Terminal): Command {
  return command({
    summary: "judge a bundle, proof, checkpoint or statement",
    args: {
      file: { type: "positional", required: true, description: "what to judge; - for standard input" },
      key: {
        type: "string",
        valueHint: "FILE ...",
        description: "the public key that you trust, from elsewhere than FILE: vkey lines or PEM (repeatable)",
      },
      checkpoint: {
        type: "string",
        valueHint: "SAVED",
        description: "a checkpoint that you saved or that a witness holds: FILE must be of the same history",
      },
      consistency: {
        type: "string",
        valueHint: "PROOF",
        description: "the answer of /v1/evidence/consistency between the two, when FILE does not carry the proof",
      },
      ...json_arg,
    },
    notes: [
      "Needs neither server, data directory nor network. Which of the four FILE is, its content says.",
      "Exit codes: 0 verified; 1 bad: it says what, and at which index; 2 unusable: it cannot be judged.",
      "docs/evidence.md says what each of them proves, and what not.",
    ],
    examples: [
      ["gantry evidence verify run.bundle --key log.pub", "every entry, every path, every opened value"],
      [
        "gantry evidence verify run.bundle --key log.pub --checkpoint saved",
        "and that it is the history that you saved",
      ],
      ["curl -s $URL/log/checkpoint | gantry evidence verify - --key log.pub", "one checkpoint"],
    ],
    async run(given, repeated) {
      const report = await judge(given, repeated("key"), io);
      if (given.json === true) io.stdout.write(`${JSON.stringify(report)}\n`);
      else io.stdout.write(reportText(report, paintFor(io.stdout, io.env), io.stdout.columns));
      return EXITS[report.verdict];
    },
  });
}

interface Given {
  file: string;
  checkpoint?: string | undefined;
  consistency?: string | undefined;
}

async function judge(given: Given, key_files: readonly string[], io: Terminal): Promise<Report> {
  if (key_files.length === 0) {
    throw usage("--key is missing: the public key that you trust, from elsewhere than the file.", {
      next_steps: [typeThis("Who has the server prints it with", "npx gantry evidence key")],
    });
  }
  try {
    const keys: PublicKey[] = [];
    for (const file of key_files) {
      keys.push(...parseKeys(await contentOf(file, KEY_FILE_CHARS_MAX, io), `The key file ${file}`));
    }
    const { checkpoint, consistency } = given;
    const saved = checkpoint === undefined ? undefined : await contentOf(checkpoint, SAVED_BYTES_MAX, io, "end");
    const proof = consistency === undefined ? undefined : await contentOf(consistency, CONSISTENCY_CHARS_MAX, io);
    return await verify(bytesOf(given.file, io), { keys, saved, consistency: proof });
  } catch (error) {
    if (!isProblem(error)) throw error;
    return { verdict: error.verdict, problem: { check: error.check, detail: error.message }, warnings: [] };
  }
}

async function* bytesOf(file: string, io: Terminal, start = 0): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks: AsyncIterable<Uint8Array> =
    file === "-" ? io.stdinBytes() : createReadStream(resolve(io.cwd, file), { start, highWaterMark: READ_BYTES });
  try {
    yield* chunks;
  } catch (error) {
    throw usage(`${file === "-" ? "Standard input" : file} cannot be read: ${reasonOf(error)}.`);
  }
}

/**
 * A small file, or a pipe. What it has past `bytes_max` is a fault, or, when only its end counts, left out.
 * @throws Failure exit 2
 */
async function contentOf(file: string, bytes_max: number, io: Terminal, part: "all" | "end" = "all"): Promise<string> {
  let held = Buffer.alloc(0);
  for await (const chunk of bytesOf(file, io, part === "end" ? Math.max(0, (await sizeOf(file, io)) - bytes_max) : 0)) {
    held = Buffer.concat([held, chunk]);
    if (held.byteLength <= bytes_max) continue;
    if (part === "all") throw usage(`${file} has more than ${bytes_max} bytes.`);
    held = held.subarray(held.byteLength - bytes_max);
  }
  return held.toString("utf8");
}

/** In bytes; 0 for a pipe and for what is not there, which reading it will say. */
async function sizeOf(file: string, io: Terminal): Promise<number> {
  if (file === "-") return 0;
  return stat(resolve(io.cwd, file)).then(
    ({ size }) => size,
    () => 0,
  );
}
