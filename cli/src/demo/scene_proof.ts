import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Entry, Timeline } from "@gantry/sdk";
import { parseKeys, type Report, verify } from "@gantry/sdk/verify";
import { wholeBundle } from "../bundle_check.ts";
import { count } from "../text.ts";
import type { Cast, Opening } from "./cast.ts";
import { flipOneByte } from "./flip.ts";
import { ledgerLines } from "./ledger_lines.ts";
import { sizeOf } from "./scene_task.ts";
import { ROOM, type Stage } from "./stage.ts";

const SEALED_MS = 20_000;
/** What an installation begins with: told in one line. */
const BEGINNING = ["tenant.created", "actor.created", "link.made", "token.minted"];

/** Scene 7: the story by the ledger alone, proved to somebody who trusts neither the server nor who runs it. */
export async function playProof(
  stage: Stage,
  { house, desk, names }: Cast,
  opening: Opening,
  innocents: ReadonlySet<string>,
): Promise<Entry[]> {
  let timeline: Timeline | undefined;
  const sealed = await stage.until(async () => {
    timeline = await house.owner.timelines.get({ since: 0 }, { signal: stage.signal });
    return timeline.lines.every(({ index }) => index !== undefined);
  }, SEALED_MS);
  const lines = timeline?.lines ?? [];
  stage.block(ledgerLines({ lines }, { names, group: (line) => groupOf(line, innocents) }, ROOM));
  stage.claim(
    `all ${count(lines.length, "entry", "entries")} are sealed into the signed log`,
    sealed && lines.length > 0,
    "some wait to be sealed",
    "gantry evidence list",
  );
  const entries: Entry[] = [];
  for await (const page of house.owner.evidence.pages()) entries.push(...page.items);
  const note = await readFile(opening.checkpoint_file, "utf8");
  const request = { range: { from: 0, to: lines.length }, consistency_from: sizeOf(note) };
  const parts: Uint8Array[] = [];
  for await (const part of wholeBundle(house.owner.proofs.bundle(request, { signal: stage.signal }), () => undefined)) {
    parts.push(part);
  }
  const bundle = Buffer.concat(parts);
  const file = join(desk, "story.bundle");
  await writeFile(file, bundle);
  await house.stop();
  const gone = await fetch(`${house.url}/healthz`).then(
    () => false,
    () => true,
  );
  stage.claim("the server is gone; what is left are three files", gone, "it still answers", house.url);
  await judgeBundle(stage, { bundle, count: lines.length, note, opening });
  await judgeCopy(stage, { bundle, entries, opening });
  stage.fact("bundle", { bytes: bundle.byteLength, entries: lines.length });
  return entries;
}

/** Neighbours that are told together. */
function groupOf({ kind, text }: Timeline["lines"][number], innocents: ReadonlySet<string>): string | undefined {
  const run = /run_[0-9a-z]{26}/.exec(text)?.[0];
  if (run !== undefined && innocents.has(run)) return "the innocent runs";
  return BEGINNING.includes(kind) ? "who there is, their tokens and links" : undefined;
}

async function judge(bytes: Buffer, opening: Opening, saved?: string): Promise<Report> {
  const keys = parseKeys(await readFile(opening.key_file, "utf8"), "The saved key");
  const once = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    yield bytes;
  };
  return verify(once(), saved === undefined ? { keys } : { keys, saved });
}

async function judgeBundle(
  stage: Stage,
  part: { bundle: Buffer; count: number; note: string; opening: Opening },
): Promise<void> {
  const report = await judge(part.bundle, part.opening, part.note);
  stage.claim(
    `verified offline: ${count(report.bundle?.count ?? 0, "entry", "entries")}, without a gap, by the key saved in scene 1`,
    report.verdict === "verified" && report.bundle?.count === part.count && report.bundle.gap_count === 0,
    report.problem ?? report,
    "gantry evidence verify story.bundle --key log.pub",
  );
  stage.claim(
    `since the checkpoint saved in scene 1, entries were only appended: ${report.saved?.size} became ${report.log?.size}`,
    report.saved?.relation === "extends",
    report.saved,
    "gantry evidence verify story.bundle --key log.pub --checkpoint saved.checkpoint",
  );
  stage.fact("verified", { verdict: report.verdict, log: report.log, saved: report.saved });
}

/** The entry of the person's vote, with one byte changed. */
async function judgeCopy(stage: Stage, part: { bundle: Buffer; entries: Entry[]; opening: Opening }): Promise<void> {
  const vote = part.entries.find(({ kind }) => kind === "approval.voted");
  const index = vote?.index ?? 0;
  // The bundle begins with index 0, below its header.
  const { copy, at } = flipOneByte(part.bundle, index + 2);
  const report = await judge(copy, part.opening);
  stage.claim(
    `one byte of a copy changed (byte ${at}, in the vote): ${report.verdict}, ${report.problem?.check} at index ${report.problem?.index}`,
    vote !== undefined && report.verdict === "bad" && report.problem?.index === index,
    report.problem ?? report.verdict,
    "gantry evidence verify story.bundle --key log.pub",
  );
  stage.fact("tampered", { byte: at, index, verdict: report.verdict, problem: report.problem });
}
