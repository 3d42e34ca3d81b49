import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { out_arg, putText } from "../out_file.ts";
import type { Terminal } from "../terminal.ts";
import { count } from "../text.ts";

/** `gantry evidence statement` */
export function statementCommand(io: Terminal): Command {
  return command({
    summary: "what the ledger says of a run, signed (in-toto)",
    args: {
      run: { type: "positional", required: true, description: "a run's id, run_…" },
      ...out_arg,
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "A DSSE envelope over an in-toto Statement v1 of the type urn:gantry:run:v1. It is the server's word, by a key of its " +
        "own (gantry evidence key --statement); that the entries are in the log, a bundle proves.",
    ],
    examples: [["gantry evidence statement run_01j… -o run.dsse", "for attestation stores and policy engines"]],
    async run(given) {
      const envelope = await (await connect(given.data, io)).proofs.statement(given.run);
      return put(given.output, `${JSON.stringify(envelope)}\n`, given.json === true, io);
    },
  });
}

/** `gantry evidence proof` */
export function proofCommand(io: Terminal): Command {
  return command({
    summary: "that one entry is in the log, as a tlog-proof",
    args: {
      entry: { type: "positional", required: true, description: "an entry's id, ent_…" },
      ...out_arg,
      ...data_arg,
      ...json_arg,
    },
    notes: ["The proof holds the entry's bytes, the path to the root, and the checkpoint that signs the root."],
    examples: [
      ["gantry evidence proof ent_01j… -o entry.proof", "and gantry evidence verify entry.proof --key log.pub"],
    ],
    async run(given) {
      const proof = await (await connect(given.data, io)).proofs.proof(given.entry);
      const is_json = given.json === true;
      return put(
        given.output,
        is_json && given.output === undefined ? `${JSON.stringify({ proof })}\n` : proof,
        is_json,
        io,
      );
    },
  });
}

/** To the file, and says so; to the terminal as it is. */
async function put(file: string | undefined, text: string, is_json: boolean, io: Terminal): Promise<number> {
  await putText(file, text, io);
  if (file === undefined) return EXIT.completed;
  const bytes = Buffer.byteLength(text);
  io.stdout.write(is_json ? `${JSON.stringify({ file, bytes })}\n` : `${file}: ${count(bytes, "byte")}\n`);
  return EXIT.completed;
}
