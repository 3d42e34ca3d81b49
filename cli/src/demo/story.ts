import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Entry, isApiError, isConnectionError } from "@gantry/sdk";
import { EXIT } from "../exit.ts";
import { Failure } from "../failure.ts";
import { demandServer, type Installation } from "../installation.ts";
import { no_sources, problemText } from "../render.ts";
import type { Terminal } from "../terminal.ts";
import { paintFor } from "../text.ts";
import type { Cast } from "./cast.ts";
import { type House, openHouse } from "./house.ts";
import { countsOf, nextText, recapText } from "./recap.ts";
import { playCredential } from "./scene_credential.ts";
import { playDecision } from "./scene_decision.ts";
import { playProof } from "./scene_proof.ts";
import { playProposal } from "./scene_proposal.ts";
import { playRefusal } from "./scene_refusal.ts";
import { playRunaway } from "./scene_runaway.ts";
import { playTask } from "./scene_task.ts";
import { isDiffers, openScene, type SceneReport, type Stage } from "./stage.ts";
import { openTracker } from "./tracker.ts";

const SCENES = [
  ["task", "An agent reports on 5,000 orders, within a read-only contract"],
  ["refusal", "Its next task reaches further, and is refused"],
  ["proposal", "The agent asks for exactly that, and nothing of it holds yet"],
  ["decision", "A person decides"],
  ["credential", "The same task again, with a credential that it never sees"],
  ["runaway", "A runaway beside eight innocent runs"],
  ["proof", "What happened, by the ledger, and the proof of it"],
] as const;

type SceneName = (typeof SCENES)[number][0];

/** The flags of `gantry demo`. */
export interface StoryOptions {
  keep: boolean;
  json: boolean;
  yes: boolean;
}

/** What went wrong, and in which scene. */
interface Trouble {
  scene: string | undefined;
  says: string;
  look: string;
}

/** One telling under way. */
interface Telling {
  io: Terminal;
  quiet: boolean;
  /** Nobody can be asked, or nobody wants to be. */
  unattended: boolean;
  signal: AbortSignal;
  reports: SceneReport[];
  entries: Entry[];
}

/**
 * Tells the story on a fresh server and takes everything away again.
 * @returns the exit code: 0 if everything happened as the story says.
 * @throws Failure exit 6 when the server does not start, 130 when it was interrupted.
 */
export async function runStory(io: Terminal, installation: Installation, options: StoryOptions): Promise<number> {
  const program = demandServer(installation);
  const paint = paintFor(io.stdout, io.env);
  const stop = new AbortController();
  const release = io.onInterrupt(() => stop.abort(new Failure(EXIT.cancelled, "The demo was stopped.")));
  const began = performance.now();
  const asks = io.interactive && io.stdout.tty && !options.json && !options.yes;
  const telling: Telling = {
    io,
    quiet: options.json,
    unattended: !asks,
    signal: stop.signal,
    reports: [],
    entries: [],
  };
  const home = await mkdtemp(join(tmpdir(), "gantry-demo-"));
  const forget = io.onExit(() => {
    if (!options.keep) rmSync(home, { recursive: true, force: true });
  });
  try {
    const house = await openHouse(program, home, { ...io.env });
    let trouble: Trouble | undefined;
    try {
      if (!options.json) io.stdout.write(headText(house, { asks, yes: options.yes }));
      trouble = await tell(telling, house, { home, examples: installation.examples });
    } finally {
      await house.stop();
    }
    const took_ms = performance.now() - began;
    const counts = countsOf(telling.entries);
    const ok = trouble === undefined && telling.reports.length === SCENES.length;
    if (options.json) {
      const document = {
        ok,
        took_ms: Math.round(took_ms),
        scenes: telling.reports,
        counts,
        ...(ok ? {} : { trouble }),
      };
      io.stdout.write(`${JSON.stringify(document)}\n`);
    } else {
      io.stdout.write(recapText({ ok, took_ms, counts, reports: telling.reports, trouble }, paint));
      if (ok) io.stdout.write(nextText(paint));
    }
    return ok ? EXIT.completed : EXIT.threw;
  } finally {
    release();
    forget();
    if (options.keep) io.stderr.write(`The data stays in ${join(home, "data")}, what the auditor has in ${home}.\n`);
    else await rm(home, { recursive: true, force: true });
  }
}

function headText({ url, data }: House, { asks, yes }: { asks: boolean; yes: boolean }): string {
  const lines = [
    "Gantry demo: a task, a refusal, a decision of a person, and a signed record",
    `${url}, data in ${data}`,
  ];
  if (!asks) lines.push(yes ? "Nobody is asked (--yes)." : "There is no terminal to ask at: it goes on as with --yes.");
  return `${lines.join("\n")}\n`;
}

/** All scenes, until one differs. @returns what went wrong, if anything did. */
async function tell(
  telling: Telling,
  house: House,
  { home, examples }: { home: string; examples: string },
): Promise<Trouble | undefined> {
  const secret = `trk_${randomBytes(24).toString("base64url")}`;
  const tracker = await openTracker(join(examples, "first-hour/issues.json"), secret);
  try {
    await playAll(telling, { house, tracker, secret, examples, desk: home, names: new Map() });
    return undefined;
  } catch (error) {
    return troubleOf(error, telling);
  } finally {
    await tracker.close();
  }
}

async function playAll(telling: Telling, cast: Cast): Promise<void> {
  const { io, unattended } = telling;
  const play = <T>(name: SceneName, scene: (stage: Stage) => Promise<T>): Promise<T> => {
    const number = SCENES.findIndex(([each]) => each === name) + 1;
    const title = SCENES[number - 1]?.[1] ?? name;
    telling.signal.throwIfAborted();
    const { stage, report } = openScene(io, { number, of: SCENES.length, name, title }, telling);
    telling.reports.push(report);
    return scene(stage);
  };
  const opening = await play("task", (stage) => playTask(stage, cast));
  const rules = await play("refusal", (stage) => playRefusal(stage, cast, opening));
  const proposal = await play("proposal", (stage) => playProposal(stage, cast, opening, rules));
  await play("decision", (stage) => playDecision(stage, cast, opening, proposal, { io, unattended }));
  await play("credential", (stage) => playCredential(stage, cast, opening));
  const innocents = await play("runaway", (stage) => playRunaway(stage, cast, opening));
  telling.entries = await play("proof", (stage) => playProof(stage, cast, opening, new Set(innocents)));
}

/** @throws whatever is no answer of the server and no difference: it is told as every command tells it. */
function troubleOf(error: unknown, { io, quiet, signal, reports }: Telling): Trouble {
  const scene = reports.at(-1)?.name;
  // Whoever ends it ends the server as well, by the same key: what fails then is no news.
  if (signal.aborted) throw signal.reason;
  if (isDiffers(error)) return { scene, says: error.message, look: error.look };
  if (!isApiError(error) || isConnectionError(error)) throw error;
  const paint = paintFor(io.stdout, io.env);
  if (!quiet) io.stdout.write(problemText(error.problem, no_sources, paint));
  const [step] = error.problem.next_steps ?? [];
  const look = step?.command ?? "npx gantry doctor";
  return { scene, says: `The server refused what the story needs: ${error.message}`, look };
}
