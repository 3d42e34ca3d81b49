import type { RunRequest, RunView } from "../../server/src/intent/contract.ts";
import type { TestServer } from "../fixtures/server.ts";
import type { Dice } from "./dice.ts";

/** Programs of the load. Each says in its result which request it answers. */
const PROGRAMS = {
  answers: `export default async ({ n, wait_ms, pad }) => {
    console.log("run", n);
    if (wait_ms > 0) await new Promise((done) => setTimeout(done, wait_ms));
    return { n, twice: 2 * n, pad: "x".repeat(pad) };
  };`,
  throws: "export default ({ n }) => { throw new RangeError('told to, by ' + n); };",
  loops: "export default () => { for (;;); };",
};
type Program = keyof typeof PROGRAMS;

/** How a program ends when nobody interferes. */
const NATURAL = { answers: "completed", throws: "threw", loops: "cpu_exceeded" } as const;

/** What one client asks for; `n` is unlike every other's. */
export interface Ask {
  n: number;
  program: Program;
  request: RunRequest;
  key?: string;
}

/** What a client was told, by a whole answer that it has read. */
export interface Told {
  ask: Ask;
  /** 200: the run has ended. 202: it was accepted. */
  status: 200 | 202;
  view: RunView;
}

/** What the clients know, over all lives of the server. */
export class Diary {
  readonly told: Told[] = [];
  /** Asks with a key whose answer never came: they are asked again. */
  unanswered: Ask[] = [];
  /** How many of those were asked again. */
  repeated = 0;
  /** Refusals by code. */
  readonly refused = new Map<string, number>();
  /** Answers that no server may give. */
  readonly strange: string[] = [];
  #next = 0;

  number(): number {
    this.#next += 1;
    return this.#next;
  }
}

/** The result that the run of an ask has when it completes. */
export function resultOf({ n, request }: Ask): unknown {
  return { n, twice: 2 * n, pad: "x".repeat((request.input as { pad: number }).pad) };
}

export function naturalEnd(ask: Ask): (typeof NATURAL)[Program] {
  return NATURAL[ask.program];
}

const REFUSALS = ["RUN_CAPACITY", "RUN_CONCURRENCY"];
/** Larger than what is kept in a row, so that the result is a blob. */
const LARGE = 100_000;

/**
 * Clients that ask one thing after another until their connection breaks.
 * @param on_told  called when a client has read an answer, before it goes on.
 * @returns when the last client has given up.
 */
export async function load(
  server: TestServer,
  diary: Diary,
  o: { clients: number; dice: (client: number) => Dice; on_told: () => void },
): Promise<void> {
  const again = diary.unanswered;
  diary.unanswered = [];
  const client = async (dice: Dice): Promise<void> => {
    for (;;) {
      const repeat = again.pop();
      if (repeat !== undefined) diary.repeated += 1;
      const ask = repeat ?? askOf(diary.number(), dice);
      if (!(await tell(server, diary, ask))) {
        if (ask.key !== undefined) diary.unanswered.push(ask);
        return;
      }
      o.on_told();
    }
  };
  await Promise.all(Array.from({ length: o.clients }, (_, index) => client(o.dice(index))));
  diary.unanswered.push(...again);
}

/** Sends one ask and writes down what it is told. @returns false when the connection broke. */
async function tell(server: TestServer, diary: Diary, ask: Ask): Promise<boolean> {
  let status: number;
  let text: string;
  try {
    const answer = await server.request("/v1/runs", {
      json: ask.request,
      headers: ask.key === undefined ? {} : { "idempotency-key": ask.key },
    });
    status = answer.status;
    text = await answer.text();
  } catch {
    return false;
  }
  if (status === 200 || status === 202) {
    diary.told.push({ ask, status, view: JSON.parse(text) as RunView });
    return true;
  }
  const { code = "none" } = JSON.parse(text) as { code?: string };
  diary.refused.set(code, (diary.refused.get(code) ?? 0) + 1);
  if (!REFUSALS.includes(code)) diary.strange.push(`${status} to ask ${ask.n}: ${text}`);
  return true;
}

function askOf(n: number, dice: Dice): Ask {
  const kind = dice.weighted({
    ...{ quick: 25, keyed: 20, large: 5, throws: 5, loops: 5 },
    ...{ async: 10, queued: 15, again: 15 },
  });
  const key = `key-${n}`;
  const later = { wait_ms: 0 };
  switch (kind) {
    case "quick":
      return {
        n,
        program: "answers",
        request: request(n, "answers", { on_busy: dice.chance(0.7) ? "delay" : "reject" }),
      };
    case "keyed":
      return { n, program: "answers", key, request: request(n, "answers", { on_busy: "delay" }, dice.whole(0, 40)) };
    case "large":
      return { n, program: "answers", request: request(n, "answers", { on_busy: "delay" }, 0, LARGE) };
    case "throws":
      return { n, program: "throws", key, request: request(n, "throws", { on_busy: "delay" }) };
    case "loops":
      return { n, program: "loops", request: request(n, "loops", { on_busy: "delay", limits: { cpu_ms: 30 } }) };
    case "async":
      return { n, program: "answers", key, request: request(n, "answers", later, dice.whole(0, 60)) };
    case "queued": {
      const more = { ...later, lane: "batch", on_busy: "delay" } as const;
      return { n, program: "answers", request: request(n, "answers", more, dice.whole(20, 120)) };
    }
    case "again": {
      const more = { ...later, lane: "batch", retry: "if_lost" } as const;
      return { n, program: "answers", key, request: request(n, "answers", more, dice.whole(20, 200)) };
    }
  }
}

function request(n: number, program: Program, more: Partial<RunRequest>, wait_ms = 0, pad = 0): RunRequest {
  return { code: { source: PROGRAMS[program] }, input: { n, wait_ms, pad }, ...more };
}
