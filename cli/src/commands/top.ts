import { type Gantry, isConnectionError } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg, placeOf } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { openScreen } from "../screen.ts";
import type { Terminal } from "../terminal.ts";
import { duration, paintFor } from "../text.ts";
import { ageOf, entriesPerSecond, plainFrame, type TopData, topFrame } from "../top_frame.ts";
import { parseSpan, wholeNumber } from "../values.ts";
import { parseWindow, window_arg } from "./stats.ts";

const INTERVAL_MS = 1_000;
/** Running runs that are asked for; a screen has hardly room for more. */
const RUNS_MAX = 50;
const QUIT_KEYS = ["q", "Q", "\u0003", "\u001b"];

/** `gantry top` */
export function topCommand(io: Terminal): Command {
  return command({
    summary: "the same as stats, live, with the runs that go on",
    args: {
      ...window_arg,
      interval: { type: "string", valueHint: "SPAN", description: "time between two frames (default 1s)" },
      frames: { type: "string", valueHint: "N", description: "end after so many; default: when you do" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "On a terminal it takes the whole screen, until q, Escape or Ctrl-C; what stood there comes back. A server that goes " +
        "away is waited for. Elsewhere, each frame is one line, or one JSON object with --json.",
      "Runs per second are those of the last ten seconds; entries per second are new in the ledger since the frame before.",
    ],
    examples: [
      ["gantry top", "what goes on now"],
      ["gantry top --interval 10s --json >> top.ndjson", "kept for later"],
      ["gantry top --frames 1", "one line"],
    ],
    async run(given) {
      const window_ms = parseWindow(given.window);
      const interval_ms = given.interval === undefined ? INTERVAL_MS : parseSpan("--interval", given.interval);
      const frames = given.frames === undefined ? Number.POSITIVE_INFINITY : wholeNumber("--frames", given.frames);
      if (frames === 0) throw usage("--frames takes a number from 1 on.");
      const gantry = await connect(given.data, io);
      const look = lookingAt(gantry, window_ms);
      const pace = { interval_ms, frames };
      if (given.json === true) await printed(io, look, pace, (data) => JSON.stringify(wireOf(data)));
      else if (!io.stdout.tty) await printed(io, look, pace, plainFrame);
      else await live(io, look, pace, (await placeOf(given.data, io)).url);
      return EXIT.completed;
    },
  });
}

type Look = (signal: AbortSignal) => Promise<TopData>;
interface Pace {
  interval_ms: number;
  frames: number;
}

/** Each look knows the one before. */
function lookingAt(gantry: Gantry, window_ms: number | undefined): Look {
  let last: TopData["figures"] | undefined;
  return async (signal) => {
    const [figures, running] = await Promise.all([
      gantry.stats.get(window_ms === undefined ? {} : { window_ms }, { signal }),
      gantry.runs.list({ state: "running", limit: RUNS_MAX }, { signal }),
    ]);
    const before = last;
    last = figures;
    return { figures, before, running: running.items };
  };
}

/** What a program is given of a frame. */
function wireOf(data: TopData) {
  const { figures, running } = data;
  return {
    figures,
    entries_per_s: entriesPerSecond(data),
    running: running.map((run) => ({
      id: run.id,
      contract: run.contract,
      lane: run.lane,
      age_ms: ageOf(run, figures.at),
    })),
  };
}

/** A line for each frame, until as many were printed or somebody interrupts. */
async function printed(io: Terminal, look: Look, pace: Pace, line: (data: TopData) => string): Promise<void> {
  const end = new AbortController();
  const release = io.onInterrupt(() => end.abort());
  try {
    for (let frame = 1; !end.signal.aborted; frame++) {
      io.stdout.write(`${line(await look(end.signal))}\n`);
      if (frame >= pace.frames) return;
      await pause(pace.interval_ms, end.signal);
    }
  } catch (error) {
    if (!end.signal.aborted) throw error;
  } finally {
    release();
  }
}

/** The whole screen, until a key, an interrupt, or as many frames. The first look may fail; later ones are tried again. */
async function live(io: Terminal, look: Look, pace: Pace, place: string): Promise<void> {
  const end = new AbortController();
  const paint = paintFor(io.stdout, io.env);
  let data = await look(end.signal);
  const screen = openScreen(io);
  const draw = (): void => screen.draw(topFrame(data, io.stdout, place, paint));
  const releases = [
    io.onKey((key) => {
      if (QUIT_KEYS.includes(key)) end.abort();
    }),
    io.onInterrupt(() => end.abort()),
    io.onResize(draw),
  ];
  try {
    draw();
    for (let frame = 1; frame < pace.frames && !end.signal.aborted; frame++) {
      await pause(pace.interval_ms, end.signal);
      data = await look(end.signal).catch((error: unknown) => stale(data, error));
      if (!end.signal.aborted) draw();
    }
  } finally {
    for (const release of releases) release();
    screen.close();
  }
}

/** The frame before, with what is wrong; what only a person can make right ends the command. */
function stale(data: TopData, error: unknown): TopData {
  if (!isConnectionError(error) && !isAbort(error)) throw error;
  const age = duration(Math.max(0, Date.now() - data.figures.at));
  return { ...data, complaint: `The server does not answer. These figures are ${age} old; it is asked again.` };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
