import { parseArgs } from "node:util";
import { type Config, readConfig, UsageError } from "../config.ts";
import { ORIGIN_CHARS_MAX, SUCCESSION_REASON_CHARS_MAX } from "../evidence/contract.ts";
import { isNoteName } from "../evidence/log/note.ts";
import { type Succeeded, succeedLog } from "../evidence/log/succession.ts";
import { forgetSinks } from "../evidence/witness/store.ts";
import { createLogger } from "../http/logging.ts";
import { systemClock } from "../kernel/clock.ts";
import { type Held, heldByFile, heldByWitnesses, publicKeysOf } from "./checkpoints_known.ts";
import { placed, print, say, told } from "./command_line.ts";
import { recordingAlone } from "./recording.ts";

/** Why, under which name, and by whom: a human's id or subject, default the owner. */
export interface SucceedAsked {
  reason: string;
  origin: string | undefined;
  actor: string | undefined;
}

export type SucceedResult = Succeeded & {
  /** Checkpoints that are quoted, the largest first. */
  seen: Omit<Held, "note">[];
  by: string;
  operator: string;
};

/**
 * `server.js succeed`: ends the log of a store that no server runs on, and begins its successor. What is recorded is who
 * was named and the account of the machine: whoever has the store in their hands is not asked for more.
 * @throws UsageError
 */
export async function succeed(args: string[]): Promise<number> {
  const { config, asked } = readOptions(args);
  return told(async () => {
    say("witnesses", 0, config.witnesses.length);
    const remembered = await heldByFile(config.data);
    const { held } = await heldByWitnesses(config, await publicKeysOf(config.data), systemClock());
    print({ result: await succeedOn(config, [...remembered, ...held], asked) });
  });
}

/** @param held  checkpoints that anybody holds; those of other logs are left out. @throws UsageError */
export async function succeedOn(
  config: Pick<Config, "store" | "data" | "blobs">,
  held: readonly Held[],
  { reason, origin, actor: named }: SucceedAsked,
): Promise<SucceedResult> {
  return recordingAlone(config, named, async ({ human, operator, ...ground }) => {
    const { id, tenant, name } = human;
    const seen = largestFirst(held);
    const log = createLogger({ level: "error" });
    const done = await succeedLog(
      { ...ground, log, owner: `succeed-${process.pid}` },
      { tenant, actor: [{ actor: id, kind: "human" }], reason, seen, origin, operator, also: forgetSinks },
    );
    return { ...done, seen: seen.map(({ note: _, ...rest }) => rest), by: name, operator };
  });
}

/** Who holds the same size and root is named once. */
function largestFirst(held: readonly Held[]): Held[] {
  const distinct = new Map<string, Held>();
  for (const one of held) {
    const key = `${one.origin} ${one.size} ${one.root}`;
    const known = distinct.get(key);
    distinct.set(key, known === undefined ? one : { ...known, where: `${known.where}, ${one.where}`.slice(0, 300) });
  }
  return [...distinct.values()].sort((a, b) => b.size - a.size);
}

/** @throws UsageError  what a successor cannot be told. */
export function checkedAsked(given: { reason?: string; origin?: string; actor?: string }): SucceedAsked {
  const { reason = "", origin, actor } = given;
  if (reason.trim() === "" || reason.length > SUCCESSION_REASON_CHARS_MAX) {
    throw new UsageError(
      `--reason says why the log is ended, in up to ${SUCCESSION_REASON_CHARS_MAX} characters: it is recorded for good.`,
    );
  }
  if (origin !== undefined && !isNoteName(origin)) {
    throw new UsageError(`--origin is a name of up to ${ORIGIN_CHARS_MAX} characters, without spaces and plus signs.`);
  }
  return { reason, origin, actor };
}

/** @throws UsageError */
function readOptions(args: string[]): { config: Config; asked: SucceedAsked } {
  const text = { type: "string" } as const;
  const options = { data: text, store: text, config: text, reason: text, origin: text, actor: text };
  try {
    const { values } = parseArgs({ args, strict: true, options });
    return { config: readConfig(placed(values)), asked: checkedAsked(values) };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${(error as Error).message}. Options are --reason TEXT, --origin NAME, --actor ACTOR.`);
  }
}
