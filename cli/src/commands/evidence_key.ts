import type { Gantry } from "@gantry/sdk";
import { parseKeys } from "@gantry/sdk/verify";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { Failure, usage } from "../failure.ts";
import type { Terminal } from "../terminal.ts";
import { visible } from "../text.ts";

/** `gantry evidence key [rotate]` */
export function keyCommand(io: Terminal): Command {
  return command({
    summary: "print the log's public keys, or give it a new one",
    args: {
      action: { type: "positional", required: false, description: "rotate: give the log a new key" },
      pem: { type: "boolean", description: "only the newest key, as PEM, for openssl" },
      statement: { type: "boolean", description: "the key of statements about runs instead, as PEM" },
      yes: { type: "boolean", description: "rotate without a person at the terminal" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "One line for each key that has signed the log, the newest last. Hand them to whoever is to verify, by a way that " +
        "you trust: a key that comes with a bundle proves nothing.",
      "After a rotation the old private key is gone; what it signed verifies with its line for ever.",
    ],
    examples: [
      ["gantry evidence key > log.pub", "for gantry evidence verify --key log.pub"],
      ["gantry evidence key --pem > log.pem", "for openssl"],
      ["gantry evidence key rotate --yes", "a new key, announced in the ledger"],
    ],
    async run(given) {
      const { action, pem = false, statement = false, json = false } = given;
      if (action !== undefined && action !== "rotate")
        throw usage(`There is rotate, and nothing else, not "${action}".`);
      if (action === "rotate") {
        if (pem || statement) throw usage("--pem and --statement print a key; rotate makes one.");
        if (!io.interactive && given.yes !== true)
          throw usage("Without a terminal, rotating takes --yes: the old key is gone then.");
        return rotate(await connect(given.data, io), json, io);
      }
      const gantry = await connect(given.data, io);
      io.stdout.write(statement ? await statementText(gantry, json) : await logText(gantry, pem, json));
      return EXIT.completed;
    },
  });
}

async function rotate(gantry: Gantry, json: boolean, io: Terminal): Promise<number> {
  const rotated = await gantry.proofs.rotate();
  if (json) {
    io.stdout.write(`${JSON.stringify(rotated)}\n`);
    return EXIT.completed;
  }
  io.stdout.write(visible(`old    ${rotated.old}\nnew    ${rotated.new}\nentry  ${rotated.entry}\n`));
  io.stderr.write("Hand the new line to whoever verifies; the old one stays good for what it signed.\n");
  return EXIT.completed;
}

async function statementText(gantry: Gantry, json: boolean): Promise<string> {
  const key = await gantry.proofs.statementKey();
  return json ? `${JSON.stringify(key)}\n` : visible(key.public_key);
}

async function logText(gantry: Gantry, pem: boolean, json: boolean): Promise<string> {
  const keys = await gantry.proofs.keys();
  const newest = keys.at(-1);
  if (newest === undefined) throw new Failure(EXIT.capacity, "The log has no key yet: nothing is in it.");
  if (pem) {
    const text = pemOf(newest);
    return json ? `${JSON.stringify({ vkey: newest, pem: text })}\n` : text;
  }
  return json ? `${JSON.stringify({ keys })}\n` : visible(keys.map((key) => `${key}\n`).join(""));
}

function pemOf(vkey: string): string {
  const [parsed] = parseKeys(vkey, "The server's answer");
  if (parsed === undefined) throw new Failure(EXIT.lost, "The server's answer is no key.");
  return parsed.key.export({ format: "pem", type: "spki" }).toString();
}
