import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { BundleRequest } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { type BundlePassed, wholeBundle } from "../bundle_check.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { Failure, typeThis, usage } from "../failure.ts";
import { reasonOf } from "../input.ts";
import { out_arg, writeOut } from "../out_file.ts";
import { startProgress } from "../progress.ts";
import { stepsText } from "../render.ts";
import type { Terminal } from "../terminal.ts";
import { count, oneLine, paintFor } from "../text.ts";
import { parseSince, wholeNumber } from "../values.ts";

/** Opened values are for whoever may open them: nobody else on this machine. */
const MODE_OPEN = 0o600;
const MODE = 0o666;
/** A saved checkpoint, or the file that a witness appends to: its end is read. */
const SAVED_BYTES_MAX = 131_072;

/** `gantry evidence export` */
export function exportCommand(io: Terminal): Command {
  return command({
    summary: "entries with their proofs, as a file",
    args: {
      run: { type: "string", valueHint: "RUN ...", description: "what names this run (repeatable)" },
      ref: { type: "string", valueHint: "ID ...", description: "what names this run, actor or snapshot (repeatable)" },
      since: { type: "string", valueHint: "WHEN", description: "everything since: 10m, 2h, 7d, or a date" },
      from: { type: "string", valueHint: "INDEX", description: "with --to: this part of the log, gapless" },
      to: { type: "string", valueHint: "INDEX", description: "the index after the last one" },
      open: {
        type: "string",
        valueHint: "FIELD ...",
        description: "open this private field, as why (repeatable); the opening is recorded",
      },
      checkpoint: {
        type: "string",
        valueHint: "SAVED",
        description: "prove too that the log extends this checkpoint, which you saved",
      },
      ...out_arg,
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "A part of the log in which other tenants have entries takes the scope evidence:audit.",
      "The file holds its own proofs, and no key that counts: verify it with a key from elsewhere.",
    ],
    examples: [
      ["gantry evidence export --run run_01j… -o run.bundle", "one run's story, proved"],
      ["gantry evidence export --since 7d -o week.bundle", "the last seven days of your tenant"],
      ["gantry evidence export --from 0 --to 5000 -o first.bundle", "a part of the log, nothing left out"],
      ["gantry evidence export --run run_01j… --open why -o run.bundle", "with what the agent gave as its reason"],
    ],
    async run(given, repeated) {
      const { output } = given;
      if (output === undefined) throw usage("-o FILE is missing: a bundle is a file.");
      const request = await requestOf(given, repeated, io);
      const gantry = await connect(given.data, io);
      const progress = startProgress(io.stderr, "exporting");
      const left = new AbortController();
      const release = io.onInterrupt(() => left.abort());
      let passed: BundlePassed | undefined;
      try {
        const chunks = wholeBundle(gantry.proofs.bundle(request, { signal: left.signal }), (now) => {
          passed = now;
          progress.say(`exporting ${now.entries} of ${count(now.count, "entry", "entries")}`);
        });
        const bytes = await writeOut(output, chunks, io, request.open === undefined ? MODE : MODE_OPEN);
        progress.stop();
        tell({ file: output, bytes, ...(passed as BundlePassed | undefined) }, given.json === true, io);
      } catch (error) {
        if (left.signal.aborted) throw new Failure(EXIT.cancelled, "The export was ended; nothing was written.");
        throw error;
      } finally {
        release();
        progress.stop();
      }
      return EXIT.completed;
    },
  });
}

interface Given {
  since?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
  checkpoint?: string | undefined;
}

/** @throws Failure exit 2 unless exactly one way of asking is used. */
async function requestOf(
  { since, from, to, checkpoint }: Given,
  repeated: (name: string) => string[],
  io: Terminal,
): Promise<BundleRequest> {
  const refs = [...repeated("run"), ...repeated("ref")];
  const asks: BundleRequest[] = [];
  if (refs.length > 0) asks.push({ refs });
  if (since !== undefined) asks.push({ since: parseSince(since, Date.now()) });
  if (from !== undefined || to !== undefined) {
    if (from === undefined || to === undefined) throw usage("--from and --to go together: from which index to which.");
    asks.push({ range: { from: wholeNumber("--from", from), to: wholeNumber("--to", to) } });
  }
  const [ask, more] = asks;
  if (ask === undefined) throw usage("Say what to export: --run, --ref, --since, or --from with --to.");
  if (more !== undefined)
    throw usage("One bundle is asked for in one way: --run and --ref, --since, or --from with --to.");
  const fields = [...new Set(repeated("open"))];
  if (fields.length > 0) ask.open = fields;
  if (checkpoint !== undefined) ask.consistency_from = await sizeOf(checkpoint, io);
  return ask;
}

/** The size in a saved checkpoint; its signature is the verifier's to judge. */
async function sizeOf(file: string, io: Terminal): Promise<number> {
  let text: string;
  try {
    text = (await readFile(resolve(io.cwd, file))).subarray(-SAVED_BYTES_MAX).toString("utf8");
  } catch (error) {
    throw usage(`${file} cannot be read: ${reasonOf(error)}.`);
  }
  // A note ends with its signatures; of several, the last one counts.
  const last = /(?:^|\n)[^\n]+\n(\d{1,16})\n[A-Za-z0-9+/]{43}=\n\n(?:— [^\n]+\n)+\s*$/.exec(text);
  if (last === null) throw usage(`${file} holds no checkpoint: an origin, a size and a root, then signatures.`);
  return Number(last[1]);
}

function tell(exported: { file: string; bytes: number } & Partial<BundlePassed>, is_json: boolean, io: Terminal): void {
  const { file, bytes, entries = 0, origin = "", size = 0 } = exported;
  if (is_json) {
    io.stdout.write(`${JSON.stringify({ file, bytes, entries, origin, size })}\n`);
    return;
  }
  const shown = oneLine(origin);
  io.stdout.write(
    `${file}: ${count(entries, "entry", "entries")} of the log ${shown}, proved at its size ${size} (${count(bytes, "byte")})\n`,
  );
  const step = typeThis(
    "Verify it, with the log's key from elsewhere",
    `npx gantry evidence verify ${file} --key log.pub`,
  );
  io.stderr.write(`\n${stepsText([step], undefined, paintFor(io.stderr, io.env))}\n`);
}
