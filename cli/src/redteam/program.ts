/** One class of attacks: a module for a guest whose `ways` tell what there is to try. */
export interface AttackProgram {
  /** Lower case, digits and `-`. */
  name: string;
  /** What it tries, in a few words. */
  about: string;
  /**
   * JavaScript. It exports `ways(input, env, ctx)`: an object of functions, each of which throws, or gives back undefined,
   * when it has got nowhere, and otherwise what it got.
   */
  source: string;
}

/** What a program is told: where the canaries are that it must not reach. */
export interface AttackInput {
  host: string;
  port: number;
  /** Of HTTP; whoever asks for it is counted. */
  path: string;
  /** A unix socket; empty where there is none. */
  socket: string;
  /** Where Gantry itself answers. */
  server: string;
  urls: string[];
}

/** What a program says of itself. It is a guest: what counts are the canaries and the rows of its run. */
export interface AttackReport {
  tried: number;
  /** Names of the ways that got something. */
  escaped: string[];
  /** What became of each way. */
  report: Record<string, string>;
}

/** Beside each program: what an answer of the door looks like, and what one of somebody else's. */
const TOLD = `
export function answered(response) {
  const said = response.headers.get("gantry-egress");
  if (said !== null) throw new Error(said);
  return "answered " + response.status;
}
export function emitted(emitter, good) {
  return new Promise((resolve, reject) => {
    emitter.on(good, (value) => {
      const said = value && value.headers ? value.headers["gantry-egress"] : undefined;
      if (said !== undefined) reject(new Error(said));
      else resolve(good + " " + String((value && (value.statusCode || value.length)) || ""));
    });
    emitter.on("error", reject);
    emitter.on("close", () => reject(new Error("closed")));
  });
}
export const hidden = (scheme, name) => import([scheme, name].join(":"));
export const some = (list) => (list.length > 0 ? list.join() : undefined);
`;

/** Tries each way, some at a time and none for long, and never fails itself. */
const MAIN = `
import { ways } from "./ways.js";
const WAIT_MS = 400;
const AT_ONCE = 8;
async function outcome(way) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer")), WAIT_MS);
  });
  try {
    const found = await Promise.race([(async () => way())(), late]);
    return found === undefined ? "nothing" : "ESCAPED " + String(found).slice(0, 80);
  } catch (error) {
    return "refused: " + String(error).slice(0, 120);
  } finally {
    clearTimeout(timer);
  }
}
export default async function (input, env, ctx) {
  const all = Object.entries(await ways(input, env, ctx));
  const report = {};
  for (let at = 0; at < all.length; at += AT_ONCE) {
    await Promise.all(all.slice(at, at + AT_ONCE).map(async ([name, way]) => {
      report[name] = await outcome(way);
    }));
  }
  const escaped = Object.keys(report).filter((name) => report[name].startsWith("ESCAPED"));
  return { tried: all.length, escaped, report };
}
`;

/** The program as a run takes it. */
export function codeOf({ source }: AttackProgram): { entry: string; modules: Record<string, string> } {
  return { entry: "main.js", modules: { "main.js": MAIN, "ways.js": source, "told.js": TOLD } };
}
