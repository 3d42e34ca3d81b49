import type { RunState, RunView, Termination } from "@gantry/sdk";
import type { Tone } from "./parts.tsx";

interface Words {
  tone: Tone;
  /** What it is called in a list of choices. */
  name: string;
  /** What it means, whole. */
  sentence: string;
}

/** How a run ended, in words. */
export const TERMINATIONS: Record<Termination, Words> = {
  completed: { tone: "good", name: "completed", sentence: "It completed." },
  threw: { tone: "bad", name: "threw", sentence: "Its code threw an error." },
  load_failed: { tone: "bad", name: "load failed", sentence: "Its code could not be loaded." },
  cpu_exceeded: {
    tone: "bad",
    name: "CPU limit passed",
    sentence: "It used more CPU time than its limit, and was stopped from outside.",
  },
  memory_exceeded: {
    tone: "bad",
    name: "memory limit passed",
    sentence: "It took more memory than its limit, and was stopped from outside.",
  },
  wall_exceeded: {
    tone: "bad",
    name: "time limit passed",
    sentence: "It took longer than its limit, and was stopped from outside.",
  },
  output_exceeded: { tone: "bad", name: "output limit passed", sentence: "Its result was larger than its limit." },
  log_exceeded: {
    tone: "bad",
    name: "log limit passed",
    sentence: "It wrote far more log than its limit, and was stopped from outside.",
  },
  denied: { tone: "warn", name: "denied", sentence: "It was not let run: the rules that it fell under denied it." },
  approval_declined: { tone: "warn", name: "declined", sentence: "It waited for people, and they declined it." },
  expired: { tone: "warn", name: "expired", sentence: "It had not started by the time that it had to." },
  cancelled: { tone: "warn", name: "cancelled", sentence: "Somebody cancelled it." },
  capacity: { tone: "warn", name: "no room", sentence: "There was no room for it, so that it never started." },
  node_lost: {
    tone: "bad",
    name: "server lost",
    sentence: "The server that ran it went away before it was over. What it had done until then is not known.",
  },
  runner_lost: {
    tone: "bad",
    name: "process lost",
    sentence: "The process that held it died before it was over.",
  },
};

/** Where a run stands, in words. */
export const STATES: Record<RunState, Words> = {
  waiting_approval: { tone: "wait", name: "waits for people", sentence: "It waits for people: one must approve it." },
  queued: { tone: "wait", name: "queued", sentence: "It waits for a free slot." },
  starting: { tone: "wait", name: "starting", sentence: "It is being started." },
  running: { tone: "wait", name: "running", sentence: "It runs." },
  ended: { tone: "plain", name: "ended", sentence: "It has ended." },
};

/** How it ended, or where it stands. */
export function wordsOf({ state, termination }: Pick<RunView, "state" | "termination">): Words {
  return termination === undefined ? STATES[state] : TERMINATIONS[termination];
}
