import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { type Command, command, type Group } from "../arguments.ts";
import { data_arg, dataDirectory, json_arg, store_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { Failure, usage } from "../failure.ts";
import { demandServer, type Installation } from "../installation.ts";
import type { Terminal } from "../terminal.ts";
import { instant, oneLine, wrap } from "../text.ts";

/** What `server.js login-link` prints. */
interface LinkAnswer {
  link: string;
  expires_at: number;
  tenant: string;
  actor: string;
  name: string;
  scopes: string[];
  /** Where the server listens, as its configuration says. */
  url: string;
}

/** `gantry admin …` */
export function adminGroup(io: Terminal, installation: Installation): Group {
  return {
    kind: "group",
    summary: "what is done on the store itself, by whoever has it",
    commands: { "login-link": loginLinkCommand(io, installation) },
  };
}

function loginLinkCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "a login link for a human: once, within 15 minutes",
    args: {
      actor: {
        type: "string",
        valueHint: "ACTOR",
        description: "the human's id or subject (default: the tenant's owner)",
      },
      tenant: { type: "string", valueHint: "SLUG", description: "the human's tenant (default: default)" },
      scope: {
        type: "string",
        valueHint: "SCOPE ...",
        description: "less than all that a login may have (repeatable)",
      },
      ...store_arg,
      config: { type: "string", valueHint: "FILE", description: "the configuration file that `up` is given" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "It opens the store and not the server: with SQLite stop the server first, with PostgreSQL servers may run on. The " +
        "ledger records that a link was made, not by whom: whoever can open the store can.",
      "Whoever has the link can become this human once. Give it to them over a channel that nobody else reads.",
    ],
    examples: [
      ["gantry admin login-link", "for the owner of the installation"],
      ["gantry admin login-link --actor ada@example.com", "for another human"],
      ["gantry admin login-link --store postgres://gantry@db.example/gantry", "beside servers that run"],
    ],
    async run(given, repeated) {
      const args = [demandServer(installation), "login-link"];
      if (given.data !== undefined || given.config === undefined) args.push("--data", dataDirectory(given.data, io));
      if (given.store !== undefined) args.push("--store", given.store);
      if (given.config !== undefined) args.push("--config", resolve(io.cwd, given.config));
      if (given.tenant !== undefined) args.push("--tenant", given.tenant);
      if (given.actor !== undefined) args.push("--actor", given.actor);
      const scopes = repeated("scope");
      if (scopes.length > 0) args.push("--scopes", scopes.join(","));
      const answer = parseAnswer(await outputOf(args, io));
      if (given.json === true) io.stdout.write(`${JSON.stringify(answer)}\n`);
      else io.stdout.write(`${answer.link}\n`);
      const { name, actor, tenant, expires_at, url } = answer;
      const said =
        `For ${oneLine(name)} (${actor}) of ${tenant}, once, until ${instant(expires_at)}: gantry login LINK, ` +
        `or in a browser ${url}/login?link=LINK. ` +
        "Whoever has it can decide as this human.";
      io.stderr.write(`${wrap(said, Math.min(100, io.stderr.columns))}\n`);
      return EXIT.completed;
    },
  });
}

/** Standard output of the server's command. @throws Failure exit 2 with what it said when it refused. */
async function outputOf(args: readonly string[], io: Terminal): Promise<string> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], cwd: io.cwd, env: io.env });
  const out: string[] = [];
  const said: string[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  const code = await new Promise<number | null>((settle, reject) => {
    child.once("error", reject);
    child.once("close", settle);
  });
  if (code === 0) return out.join("");
  const text = said
    .join("")
    .replace(/^gantry: /, "")
    .trim();
  throw usage(text || "The store could not be opened.");
}

function parseAnswer(text: string): LinkAnswer {
  try {
    const answer = JSON.parse(text) as Partial<LinkAnswer> | null;
    if (typeof answer?.link === "string" && typeof answer.expires_at === "number") return answer as LinkAnswer;
  } catch {
    // The sentence below covers it.
  }
  throw new Failure(EXIT.lost, "The server's command ended without a link.");
}
