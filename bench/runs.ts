/**
 * `npm run bench -- runs`: raw `load()` (the floor), other ways to run a program, and every isolation that the server
 * offers, in interleaved rounds of one run, through clients of the same kind. `runs-<part>` is one of its parts.
 */
import { openGantry } from "./parts/gantry.ts";
import { printMachine } from "./parts/measure.ts";
import { quiet } from "./parts/processes.ts";
import { fresh } from "./parts/runs_fresh.ts";
import { idle } from "./parts/runs_idle.ts";
import { warmLane } from "./parts/runs_lanes.ts";
import { sideBySide } from "./parts/runs_peers.ts";
import { runawayFresh, runawayPooled } from "./parts/runs_runaway.ts";

const what = process.argv[2] ?? "";
const parts = ["peers", "fresh", "pooled", "session", "runaway", "idle"];
if (what !== "" && !parts.includes(what)) {
  console.error(`runs-${what} is not known; the parts of runs are ${parts.join(", ")}`);
  process.exit(2);
}
const asked = (part: string): boolean => what === "" || what === part;

process.setMaxListeners(64); // each process that is opened is ended with this one
printMachine();
const gantry = await openGantry({ warm_runners: 8 });
await quiet(gantry.pid); // until the pool is warm
if (asked("peers")) await sideBySide(gantry);
if (asked("fresh")) await fresh(gantry);
if (asked("pooled")) await warmLane(gantry, "pooled");
if (asked("session")) await warmLane(gantry, "session");
if (asked("runaway")) await runawayFresh(gantry);
if (asked("runaway")) await runawayPooled(gantry);
if (asked("idle")) await idle(gantry);
await gantry.close();
process.exit();
