import { setTimeout as later } from "node:timers/promises";
import type { Terminal } from "../terminal.ts";
import { type Paint, paintFor, widthOf, wrap } from "../text.ts";

/** Columns of the story. */
export const WIDTH = 80;
/** Columns before each line of a scene. */
const INDENT = "     ";
const LABEL = 11;
/** Columns that a scene's lines may have. */
export const ROOM = WIDTH - INDENT.length;
const LOOK_MS = 20;

/** One thing that the story says, and what was found when it was looked at. */
export interface Claim {
  says: string;
  held: boolean;
  /** What was found instead. */
  found?: string;
}

/** What became of one scene. */
export interface SceneReport {
  number: number;
  name: string;
  title: string;
  /** What the server answered, by name: for programs. */
  facts: Record<string, unknown>;
  claims: Claim[];
}

/** Something did not happen as the story says. */
export class Differs extends Error {
  readonly claim: Claim;
  /** Where to look, as a sentence. */
  readonly look: string;

  constructor(claim: Claim, look: string) {
    super(`It is not so that ${claim.says}${claim.found === undefined ? "" : `: ${claim.found}`}.`);
    this.name = "Differs";
    this.claim = claim;
    this.look = look;
  }
}

export function isDiffers(error: unknown): error is Differs {
  return error instanceof Differs;
}

/** How a scene speaks: lines for a reader, facts for a program, and claims that must hold. */
export interface Stage {
  readonly paint: Paint;
  /** A line; the empty one separates. */
  say(text?: string): void;
  /** A label and a text that goes on under itself. */
  row(label: string, text: string): void;
  /** Lines that stand as they are. */
  block(lines: readonly string[]): void;
  /** What is copied whole, as a URL: one line, however wide. */
  wide(text: string): void;
  fact(name: string, value: unknown): void;
  /**
   * Says what was seen to be so.
   * @param says  a clause that goes on after "It is not so that".
   * @param found  what there is instead, said when it does not hold.
   * @param look  where to look then.
   * @throws Differs
   */
  claim(says: string, held: boolean, found: unknown, look: string): void;
  /** Looks until it holds. @returns whether it did in time. */
  until(holds: () => boolean | Promise<boolean>, within_ms: number): Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Opens a scene: its heading is printed, and what it says from then on goes into the report. */
export function openScene(
  io: Terminal,
  scene: { number: number; of: number; name: string; title: string },
  o: { quiet: boolean; signal: AbortSignal },
): { stage: Stage; report: SceneReport } {
  const { number, of, name, title } = scene;
  const report: SceneReport = { number, name, title, facts: {}, claims: [] };
  const paint = paintFor(io.stdout, io.env);
  const print = (text: string): void => {
    if (!o.quiet) io.stdout.write(`${text}\n`);
  };
  print(`\n${paint("bold", `${String(number).padStart(2)}/${of}`)}  ${paint("bold", title)}`);
  const stage: Stage = {
    paint,
    signal: o.signal,
    say: (text = "") => print(text === "" ? "" : wrap(text, WIDTH, INDENT)),
    row: (label, text) => print(rowText(label, text, paint)),
    block: (lines) => {
      for (const line of lines) print(line === "" ? "" : INDENT + line);
    },
    wide: (text) => print(`  ${text}`),
    fact: (fact, value) => {
      report.facts[fact] = value;
    },
    claim(says, held, found, look) {
      o.signal.throwIfAborted();
      const claim: Claim = { says, held, ...(held ? {} : { found: foundText(found) }) };
      report.claims.push(claim);
      if (!held) throw new Differs(claim, look);
      print(INDENT + paint("green", "✓") + wrap(says, WIDTH, `${INDENT}  `).slice(INDENT.length + 1));
    },
    async until(holds, within_ms) {
      const end = performance.now() + within_ms;
      while (!(await holds())) {
        if (performance.now() > end) return false;
        await later(LOOK_MS, undefined, { signal: o.signal });
      }
      return true;
    },
  };
  return { stage, report };
}

/** `label      text`, wrapped under itself; words that are longer than the line stand as they are. */
export function rowText(label: string, text: string, paint: Paint): string {
  const indent = INDENT + " ".repeat(LABEL);
  const gap = " ".repeat(Math.max(1, LABEL - widthOf(label)));
  return INDENT + paint("dim", label) + gap + wrap(text, WIDTH, indent).slice(indent.length);
}

function foundText(found: unknown): string {
  const text = typeof found === "string" ? found : (JSON.stringify(found) ?? "nothing");
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
