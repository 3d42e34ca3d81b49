import type { Token } from "@gantry/sdk";
import { actorNamed } from "../actor_named.ts";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { out_arg, writeOut } from "../out_file.ts";
import { limit_arg, parseLimit, take } from "../pages.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { count, instant } from "../text.ts";
import { parseSpan } from "../values.ts";
import { printTable } from "./runs.ts";

const actor_flag = {
  actor: { type: "string", valueHint: "ACTOR", description: "an id, act_…, a name or a subject" },
} as const;

/** `gantry tokens …` */
export function tokensGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "bearer tokens: mint, list and revoke",
    commands: { list: listCommand(io), mint: mintCommand(io), revoke: revokeCommand(io) },
  };
}

const columns: Column<Token>[] = [
  { title: "TOKEN", cell: ({ id }) => id },
  { title: "KIND", cell: ({ kind }) => kind },
  { title: "ENDS IN", cell: ({ last4 }) => `…${last4}` },
  { title: "STATE", cell: ({ state }) => state },
  { title: "EXPIRES", cell: ({ expires_at }) => instant(expires_at) },
  { title: "ACTOR", cell: ({ actor }) => actor, shrink: true },
  { title: "SCOPES", cell: ({ scopes }) => scopes.join(" "), shrink: true },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "tokens without their secrets, ended ones too",
    args: { ...actor_flag, ...limit_arg, ...data_arg, ...json_arg },
    notes: ["Without the scope actor:manage one sees one's own."],
    examples: [
      ["gantry tokens list", "the first 20, oldest first"],
      ["gantry tokens list --actor local --json", "those of one actor"],
    ],
    async run(given) {
      const limit = parseLimit(given.limit);
      const gantry = await connect(given.data, io);
      const narrowed = given.actor === undefined ? {} : { actor: (await actorNamed(gantry, given.actor)).id };
      const { items, more } = await take(limit, (page_limit) =>
        gantry.tokens.pages({ limit: page_limit, ...narrowed }),
      );
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more })}\n`);
      else printTable(items, columns, more, ["token", "tokens"], io);
      return EXIT.completed;
    },
  });
}

function mintCommand(io: Terminal): Command {
  return command({
    summary: "a token with some of your scopes, for an agent or a run",
    args: {
      scope: { type: "string", valueHint: "SCOPE ...", description: "what it may do (repeatable)" },
      ...actor_flag,
      life: { type: "string", valueHint: "SPAN", description: "how long it lives: 90s, 10m, 2h, 7d (default 30d)" },
      run: { type: "string", valueHint: "RUN", description: "a live run that it starts further runs for" },
      ...out_arg,
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "The secret is shown now and never again: alone on standard output, or in a file of mode 0600.",
      "It never has more than you have, nor lives longer; revoking yours revokes it. gate:approve and gate:break_glass " +
        "go to the human alone who logged in.",
    ],
    examples: [
      ["gantry tokens mint --actor local --scope run:submit --scope run:read --life 2h", "for an agent"],
      ["gantry tokens mint --run run_01j… --scope run:submit -o child.token", "for what a run starts"],
    ],
    async run(given, repeated) {
      const scopes = repeated("scope");
      if (scopes.length === 0) throw usage("--scope is missing: say what it may do, as --scope run:submit.");
      const gantry = await connect(given.data, io);
      const minted = await gantry.tokens.mint({
        scopes,
        ...(given.actor === undefined ? {} : { actor: (await actorNamed(gantry, given.actor)).id }),
        ...(given.life === undefined ? {} : { life_ms: parseSpan("--life", given.life) }),
        ...(given.run === undefined ? {} : { run: given.run }),
      });
      const text = given.json === true ? `${JSON.stringify(minted)}\n` : `${minted.secret}\n`;
      if (given.output === undefined) io.stdout.write(text);
      else await writeSecret(given.output, text, io);
      io.stderr.write(`${minted.id}, until ${instant(minted.expires_at)}.\n`);
      return EXIT.completed;
    },
  });
}

async function writeSecret(file: string, text: string, io: Terminal): Promise<void> {
  await writeOut(
    file,
    (async function* () {
      yield text;
    })(),
    io,
    0o600,
  );
}

function revokeCommand(io: Terminal): Command {
  return command({
    summary: "end a token, and all that it minted",
    args: {
      id: { type: "positional", required: true, description: "a token's id, tok_…" },
      ...data_arg,
      ...json_arg,
    },
    notes: ["An agent's token that a human ends before its time is recorded as an override."],
    examples: [["gantry tokens revoke tok_01j…", "refused from now on; by other nodes within 5 seconds"]],
    async run(given) {
      const revoked = await (await connect(given.data, io)).tokens.revoke(given.id);
      if (given.json === true) io.stdout.write(`${JSON.stringify({ revoked })}\n`);
      else io.stdout.write(revoked === 0 ? "It had ended before.\n" : `${count(revoked, "token")} revoked.\n`);
      return EXIT.completed;
    },
  });
}
