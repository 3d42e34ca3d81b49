/**
 * A process with effects over a real store, which does step by step what it is told on its input, and says what came of it.
 * Arguments: data directory, name of the node; for PostgreSQL the directory knows the database.
 */
import { existsSync, writeSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { EgressIdentity } from "../../server/src/egress/contract.ts";
import type { DoorEffects, Intended } from "../../server/src/egress/parts.ts";
import { isGantryError } from "../../server/src/kernel/errors.ts";
import { HONOURED, intentOf, openEffects, RULE } from "../fixtures/effects_ground.ts";
import { engine, URL_FILE } from "../fixtures/engine.ts";
import type { PostgresServer } from "../fixtures/postgres.ts";

/** One step. `url` is where `send` goes; the effects are those of `HOST`, whoever answers. */
export type Step =
  | { do: "attempt"; subject: string; epoch: number }
  | { do: "intend"; honoured: boolean; body: string }
  | { do: "send"; url: string }
  | { do: "settle" };

const [, , directory = "", node = ""] = process.argv;
// The test made the schema; what names it is all that is needed.
if (existsSync(join(directory, URL_FILE))) engine.server = {} as PostgresServer;
const ground = await openEffects({ directory, node: { id: node, boot: `boot_${process.pid}` } });
const recovered = await ground.book.recover();

let who: EgressIdentity;
let effects: DoorEffects;
let intended: Intended;
let status = 0;

function post(url: string, header: [string, string] | null): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = header === null ? {} : { [header[0]]: header[1] };
    request(url, { method: "POST", headers, agent: false }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
    })
      .on("error", reject)
      .end();
  });
}

async function take(step: Step): Promise<object> {
  switch (step.do) {
    case "attempt":
      who = ground.who({ subject: step.subject, epoch: step.epoch });
      effects = ground.book.open(who);
      return {};
    case "intend":
      intended = await effects.intend(intentOf(who, { body: step.body, rule: step.honoured ? HONOURED : RULE }));
      return intended.kind === "send" ? { kind: "send", key: intended.effect.key } : { kind: intended.kind };
    case "send":
      status = intended.kind === "send" ? await post(step.url, intended.header) : 0;
      return { status };
    case "settle":
      if (intended.kind === "send") effects.settle(intended.effect, { state: "done", status });
      await effects.flush();
      return {};
  }
}

const say = (line: object) => void writeSync(1, `${JSON.stringify(line)}\n`);
say({ recovered });
for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line) as Step;
  try {
    say({ did: step.do, ...(await take(step)) });
  } catch (error) {
    if (!isGantryError(error)) throw error;
    say({ did: step.do, code: error.code });
  }
}
// Whoever told it what to do is gone.
process.exit();
