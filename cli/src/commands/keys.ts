import { resolve } from "node:path";
import {
  type Actor,
  type ActorKey,
  actOf,
  audienceOf,
  type Gantry,
  generateKey,
  type KeyUse,
  type PublicJwk,
  type SigningKey,
} from "@gantry/sdk";
import { actorNamed } from "../actor_named.ts";
import { type Command, command, type Group, type Repeated } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { parseJson } from "../input.ts";
import { readSmall } from "../key_file.ts";
import { out_arg, writeOut } from "../out_file.ts";
import { limit_arg, parseLimit, take } from "../pages.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { minute, oneLine } from "../text.ts";
import { printTable } from "./runs.ts";

const USES = ["task", "code"] as const satisfies KeyUse[];
/** Actors that answer for each other. */
const CHAIN_MAX = 8;

const actor_flag = {
  actor: {
    type: "string",
    valueHint: "ACTOR",
    description: "whose key it is: an id, a name or a subject (default: you)",
  },
} as const;
const use_flag = {
  use: {
    type: "string",
    valueHint: "USE ...",
    description: "what it may sign: task or code (repeatable; default both)",
  },
} as const;

/** `gantry keys …` */
export function keysGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "keys by which actors sign tasks and code",
    commands: {
      list: listCommand(io),
      create: createCommand(io),
      register: registerCommand(io),
      revoke: revokeCommand(io),
    },
  };
}

const columns: Column<ActorKey>[] = [
  { title: "KEY", cell: ({ kid }) => kid },
  { title: "ACTOR", cell: ({ actor }) => actor, shrink: true },
  { title: "USES", cell: ({ uses }) => uses.join(" ") },
  { title: "STATE", cell: ({ state }) => state },
  { title: "SINCE", cell: ({ created_at }) => minute(created_at) },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "registered public keys, revoked ones too",
    args: {
      actor: { type: "string", valueHint: "ACTOR", description: "only of this one" },
      ...limit_arg,
      ...data_arg,
      ...json_arg,
    },
    examples: [["gantry keys list", "the first 20, oldest first"]],
    async run(given) {
      const limit = parseLimit(given.limit);
      const gantry = await connect(given.data, io);
      const narrowed = given.actor === undefined ? {} : { actor: (await actorNamed(gantry, given.actor)).id };
      const { items, more } = await take(limit, (page_limit) => gantry.keys.pages({ limit: page_limit, ...narrowed }));
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more })}\n`);
      else printTable(items, columns, more, ["key", "keys"], io);
      return EXIT.completed;
    },
  });
}

function createCommand(io: Terminal): Command {
  return command({
    summary: "make a key pair and register its public half",
    args: { ...out_arg, ...actor_flag, ...use_flag, ...data_arg, ...json_arg },
    notes: [
      "The private key is made here and sent nowhere. The file has mode 0600 and says for whom and for which server it " +
        "signs; gantry tasks takes it with --key.",
    ],
    examples: [
      ["gantry keys create -o deployer.key --actor deployer --use task", "an agent that needs no token"],
      ["gantry keys create -o mine.key --use code", "to sign what you wrote"],
    ],
    async run(given, repeated) {
      if (given.output === undefined) throw usage("--output is missing: the file for the private key.");
      const uses = usesOf(repeated);
      const gantry = await connect(given.data, io);
      const me = await gantry.session.me();
      const actor =
        given.actor === undefined ? await gantry.actors.get(me.actor.id) : await actorNamed(gantry, given.actor);
      const act = actOf(await accountable(gantry, actor));
      const { public_jwk, private_jwk } = await generateKey();
      const registered = await gantry.keys.register({ actor: actor.id, public_jwk, uses });
      const key: SigningKey = { kid: registered.kid, actor: actor.id, ...audienceOf(me), act, private_jwk };
      try {
        await writeKey(given.output, key, io);
      } catch (error) {
        // A key that nobody has is better not registered.
        await gantry.keys.revoke(registered.kid);
        throw error;
      }
      print(registered, given.json === true, io);
      return EXIT.completed;
    },
  });
}

async function writeKey(file: string, key: SigningKey, io: Terminal): Promise<void> {
  const text = `${JSON.stringify(key, null, 2)}\n`;
  await writeOut(
    file,
    (async function* () {
      yield text;
    })(),
    io,
    0o600,
  );
}

/** The actor and who answers for it, principal first. */
async function accountable(gantry: Gantry, actor: Actor): Promise<string[]> {
  const chain = [actor.id];
  for (let { owner } = actor; owner !== null && chain.length < CHAIN_MAX; ) {
    chain.unshift(owner);
    owner = (await gantry.actors.get(owner)).owner;
  }
  return chain;
}

function registerCommand(io: Terminal): Command {
  return command({
    summary: "register a public key that was made elsewhere",
    args: {
      file: { type: "positional", required: true, description: "a public Ed25519 key as a JWK (RFC 8037)" },
      ...actor_flag,
      ...use_flag,
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry keys register builder.pub.json --actor builder --use code", "the private half stays where it is"],
    ],
    async run(given, repeated) {
      const uses = usesOf(repeated);
      const jwk = parseJson(await readSmall(resolve(io.cwd, given.file), given.file), given.file) as Record<
        string,
        unknown
      > | null;
      if (jwk !== null && "d" in jwk) throw usage(`${given.file} holds a private key: give the public half alone.`);
      if (jwk?.["kty"] !== "OKP" || jwk["crv"] !== "Ed25519" || typeof jwk["x"] !== "string") {
        throw usage(`${given.file} is no public Ed25519 key: {"kty":"OKP","crv":"Ed25519","x":…}.`);
      }
      const public_jwk: PublicJwk = { kty: "OKP", crv: "Ed25519", x: jwk["x"] };
      const gantry = await connect(given.data, io);
      const actor = given.actor === undefined ? {} : { actor: (await actorNamed(gantry, given.actor)).id };
      print(await gantry.keys.register({ ...actor, public_jwk, uses }), given.json === true, io);
      return EXIT.completed;
    },
  });
}

function revokeCommand(io: Terminal): Command {
  return command({
    summary: "refuse what a key signs from now on",
    args: { kid: { type: "positional", required: true, description: "a key's id, key_…" }, ...data_arg, ...json_arg },
    examples: [["gantry keys revoke key_01j…", "a revoked key is never registered again"]],
    async run(given) {
      await (await connect(given.data, io)).keys.revoke(given.kid);
      if (given.json === true) io.stdout.write(`${JSON.stringify({ kid: given.kid, state: "revoked" })}\n`);
      else io.stdout.write(`${oneLine(given.kid)} is revoked.\n`);
      return EXIT.completed;
    },
  });
}

/** @throws Failure exit 2 */
function usesOf(repeated: Repeated): KeyUse[] {
  const asked = repeated("use");
  const stranger = asked.find((use) => !USES.some((known) => known === use));
  if (stranger !== undefined) throw usage(`--use is ${USES.join(" or ")}, not "${stranger}".`);
  return asked.length === 0 ? [...USES] : USES.filter((use) => asked.includes(use));
}

function print(key: ActorKey, json: boolean, io: Terminal): void {
  if (json) io.stdout.write(`${JSON.stringify(key)}\n`);
  else io.stdout.write(`${key.kid} signs ${key.uses.join(" and ")} as ${key.actor}.\n`);
}
