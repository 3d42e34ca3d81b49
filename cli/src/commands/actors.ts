import type { Actor, ActorKind } from "@gantry/sdk";
import { actorNamed } from "../actor_named.ts";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { limit_arg, parseLimit, take } from "../pages.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { minute, oneLine, paintFor } from "../text.ts";
import { printTable } from "./runs.ts";

const KINDS = ["human", "agent", "service"] as const;
const actor_arg = {
  actor: { type: "positional", required: true, description: "an id, act_…, a name or a subject" },
} as const;

/** `gantry actors …` */
export function actorsGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "humans, agents and services, and who answers for whom",
    commands: {
      list: listCommand(io),
      show: showCommand(io),
      create: createCommand(io),
      suspend: stateCommand(io, "suspended"),
      resume: stateCommand(io, "active"),
    },
  };
}

const columns: Column<Actor>[] = [
  { title: "ACTOR", cell: ({ id }) => id },
  { title: "KIND", cell: ({ kind }) => kind },
  { title: "NAME", cell: ({ name }) => oneLine(name), shrink: true },
  { title: "STATE", cell: ({ state }) => state },
  { title: "TEAM", cell: ({ team }) => oneLine(team ?? "") },
  { title: "OWNER", cell: ({ owner }) => owner ?? "", shrink: true },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "who there is in the tenant",
    args: {
      kind: { type: "enum", options: [...KINDS], description: "only of this kind" },
      state: { type: "enum", options: ["active", "suspended"], description: "only in this state" },
      ...limit_arg,
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry actors list", "the first 20, oldest first"],
      ["gantry actors list --kind human", "who can approve, if they log in"],
    ],
    async run(given) {
      const limit = parseLimit(given.limit);
      const gantry = await connect(given.data, io);
      const { items, more } = await take(limit, (page_limit) =>
        gantry.actors.pages({
          limit: page_limit,
          ...(given.kind === undefined ? {} : { kind: given.kind as ActorKind }),
          ...(given.state === undefined ? {} : { state: given.state as Actor["state"] }),
        }),
      );
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more })}\n`);
      else printTable(items, columns, more, ["actor", "actors"], io);
      return EXIT.completed;
    },
  });
}

function showCommand(io: Terminal): Command {
  return command({
    summary: "one actor",
    args: { ...actor_arg, ...data_arg, ...json_arg },
    examples: [["gantry actors show local", "the agent that every installation has"]],
    async run(given) {
      const gantry = await connect(given.data, io);
      print(await actorNamed(gantry, given.actor), given.json === true, io);
      return EXIT.completed;
    },
  });
}

function createCommand(io: Terminal): Command {
  return command({
    summary: "add a human, an agent or a service",
    args: {
      kind: { type: "enum", options: [...KINDS], description: "what it is" },
      name: { type: "string", valueHint: "NAME", description: "what people call it" },
      subject: {
        type: "string",
        valueHint: "TEXT",
        description: "whom it stands for, once per kind (default: the name)",
      },
      owner: {
        type: "string",
        valueHint: "ACTOR",
        description: "who answers for an agent or a service (default: you)",
      },
      team: { type: "string", valueHint: "NAME", description: "by which reports group" },
      ceiling: {
        type: "string",
        valueHint: "SCOPE ...",
        description: "no token of it has more than these (repeatable)",
      },
      ...data_arg,
      ...json_arg,
    },
    notes: ["One person is one human here: the subject decides, so that nobody votes twice."],
    examples: [
      [
        "gantry actors create --kind human --name Ada --subject ada@example.com",
        "then gantry admin login-link --actor ada@example.com",
      ],
      ["gantry actors create --kind agent --name bot --ceiling run:submit", "an agent of yours"],
    ],
    async run(given, repeated) {
      const kind = KINDS.find((each) => each === given.kind);
      if (kind === undefined) throw usage(`--kind is missing: ${KINDS.join(", ")}.`);
      if (given.name === undefined) throw usage("--name is missing: what people call it.");
      const gantry = await connect(given.data, io);
      const ceiling = repeated("ceiling");
      const made = await gantry.actors.create({
        kind,
        name: given.name,
        ...(given.subject === undefined ? {} : { subject: given.subject }),
        ...(given.owner === undefined ? {} : { owner: (await actorNamed(gantry, given.owner)).id }),
        ...(given.team === undefined ? {} : { team: given.team }),
        ...(ceiling.length === 0 ? {} : { ceiling }),
      });
      print(made, given.json === true, io);
      return EXIT.completed;
    },
  });
}

function stateCommand(io: Terminal, state: "active" | "suspended"): Command {
  const is_stop = state === "suspended";
  return command({
    summary: is_stop ? "let an actor do nothing, at once" : "let a suspended actor act again",
    args: { ...actor_arg, ...data_arg, ...json_arg },
    examples: [
      is_stop
        ? ["gantry actors suspend deployer", "every token that has it in its chain is refused"]
        : ["gantry actors resume deployer", "its tokens are good again, as far as they live"],
    ],
    async run(given) {
      const gantry = await connect(given.data, io);
      const { id } = await actorNamed(gantry, given.actor);
      print(await gantry.actors.setState(id, state), given.json === true, io);
      return EXIT.completed;
    },
  });
}

function print(actor: Actor, json: boolean, io: Terminal): void {
  if (json) {
    io.stdout.write(`${JSON.stringify(actor)}\n`);
    return;
  }
  const paint = paintFor(io.stdout, io.env);
  const rows: [string, string][] = [
    ["kind", actor.kind],
    ["name", actor.name],
    ["subject", actor.subject],
    ["state", actor.state],
    ["owner", actor.owner ?? "answers for itself"],
    ["team", actor.team ?? "none"],
    ["ceiling", actor.ceiling === null ? "none" : actor.ceiling.join(" ")],
    ["since", minute(actor.created_at)],
  ];
  const lines = rows.map(([name, value]) => `  ${paint("dim", name.padEnd(8))}  ${oneLine(value)}`);
  io.stdout.write(`${[paint("bold", actor.id), ...lines].join("\n")}\n`);
}
