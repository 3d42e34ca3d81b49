import { rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EffectsGround, openEffects } from "../fixtures/effects_ground.ts";
import { type EffectsProcess, startEffects } from "../fixtures/effects_process.ts";
import { engine } from "../fixtures/engine.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { openReceiver, type Receiver } from "../fixtures/receiver.ts";

/** How far an attempt comes before its process is killed with `kill -9`. */
type Arrow = "intended" | "sent" | "answered" | "ended";
interface Case {
  arrow: Arrow;
  /** Does the destination make a call once that it is sent twice? */
  honoured: boolean;
}
const PLAIN: readonly Case[] = (["intended", "sent", "answered", "ended"] as const).map((arrow) => ({
  arrow,
  honoured: false,
}));
const HONOURED: readonly Case[] = (["intended", "sent", "answered"] as const).map((arrow) => ({
  arrow,
  honoured: true,
}));

let upstream: Receiver;
let child: EffectsProcess | undefined;
let directory: string | undefined;

beforeEach(async () => {
  upstream = await openReceiver();
});
afterEach(async () => {
  await child?.kill();
  await upstream.close();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  await engine.server?.remove();
  engine.server = undefined;
});

const subjectOf = ({ arrow, honoured }: Case) => `run_${arrow}_${honoured ? "honoured" : "plain"}`;
const arrivedFor = (of: Case) => upstream.received.filter(({ url }) => url === `/${subjectOf(of)}`);
const sending = (of: Case) => ({ do: "send", url: `${upstream.url}/${subjectOf(of)}` }) as const;
const intending = (of: Case) => ({ do: "intend", honoured: of.honoured, body: of.arrow }) as const;

/** A store that a server knows, and stopped. */
async function prepared(): Promise<string> {
  const ground = await openEffects();
  await ground.stop();
  directory = ground.directory;
  return ground.directory;
}

/** The first attempt, as far as it comes. */
async function first(of: Case, going: EffectsProcess): Promise<void> {
  await going.do({ do: "attempt", subject: subjectOf(of), epoch: 1 });
  expect((await going.do(intending(of))).kind).toBe("send");
  if (of.arrow === "sent") {
    // It arrives, and is never answered.
    upstream.answer = () => {};
    going.tell(sending(of));
    await eventually(() => arrivedFor(of).length > 0, "the call to arrive");
  }
  if (of.arrow === "answered" || of.arrow === "ended") await going.do(sending(of));
  if (of.arrow === "ended") await going.do({ do: "settle" });
  await going.kill();
  upstream.answer = (_, response) => void response.writeHead(204).end();
}

/** The next attempt, by the process that was started after the kill. */
async function second(of: Case, going: EffectsProcess): Promise<void> {
  expect(going.recovered).toBe(of.arrow === "ended" ? 0 : 1);
  await going.do({ do: "attempt", subject: subjectOf(of), epoch: 2 });
  const { kind, code } = await going.do(intending(of));
  if (of.arrow === "ended") expect(code).toBe("EGRESS_EFFECT_DONE");
  else if (!of.honoured) expect(code).toBe("EGRESS_EFFECT_UNKNOWN");
  else {
    expect(kind).toBe("send");
    await going.do(sending(of));
    await going.do({ do: "settle" });
  }
}

/** What the ledger says, and what the destination was told. */
async function check(of: Case, ground: EffectsGround): Promise<void> {
  const is_resent = of.honoured && of.arrow !== "ended";
  const arrived = arrivedFor(of);
  expect(arrived, subjectOf(of)).toHaveLength((of.arrow === "intended" ? 0 : 1) + (is_resent ? 1 : 0));
  const keys = arrived.map(({ headers }) => headers[of.honoured ? "idempotency-key" : "gantry-idempotency-key"]);
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(keys).size).toBeLessThanOrEqual(1);
  const told = await ground.told(subjectOf(of));
  expect(told.map(({ kind, data }) => [kind, data["state"]])).toEqual([
    ["effect.intended", undefined],
    ["effect.ended", of.arrow === "ended" ? "done" : "unknown"],
    ...(is_resent
      ? [
          ["effect.intended", undefined],
          ["effect.ended", "done"],
        ]
      : []),
  ]);
  expect(new Set(told.map(({ data }) => data["key"])).size).toBe(1);
}

/** One process after another: each goes on where the one before it was killed, and is killed at the next case's arrow. */
async function walk(cases: readonly Case[]): Promise<void> {
  const at = await prepared();
  let before: Case | undefined;
  for (const next of [...cases, undefined]) {
    child = await startEffects(at, "node_a");
    if (before !== undefined) await second(before, child);
    if (next === undefined) await child.kill();
    else await first(next, child);
    before = next;
  }
  const ground = await openEffects({ directory: at });
  for (const of of cases) await check(of, ground);
  await ground.stop();
}

describe("a call that may change something, of a process that is killed at each arrow of intended, sent, answered, ended", () => {
  it("is never made twice, and its intent is unknown after the restart unless its end was recorded", () => walk(PLAIN));

  it("is made again under the same key where the destination makes such a call once", () => walk(HONOURED));

  it("is neither lost nor made twice with PostgreSQL, too", async (context) => {
    need(context, "postgres", postgresMissing());
    engine.server = await startPostgres();
    await walk([PLAIN[1]!, HONOURED[1]!]);
  });
});
