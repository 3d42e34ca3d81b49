import { parseArgs as nodeParseArgs } from "node:util";
import { type ArgsDef, parseArgs as cittyParseArgs, type ParsedArgs } from "citty";
import { typeThis, usage } from "./failure.ts";

/** A command as the rest of the program sees it: its types are closed inside `start`. */
export interface Command {
  readonly kind: "command";
  /** One line for lists. */
  readonly summary: string;
  readonly args: ArgsDef;
  /** Paragraphs that help prints under the options. */
  readonly notes: readonly string[];
  /** Each with a word on what it does. */
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** Resolves to the exit code. */
  start(raw: readonly string[]): Promise<number>;
}

/** Commands under one noun. */
export interface Group {
  readonly kind: "group";
  readonly summary: string;
  readonly commands: Readonly<Record<string, Command | Group>>;
}

/** Values of a flag that may stand several times. */
export type Repeated = (name: string) => string[];

/**
 * Defines a command with typed arguments. A flag whose `valueHint` ends in `...` may be repeated: read it
 * with `repeated`, because the typed value is only the last one.
 */
export function command<const T extends ArgsDef>(spec: {
  summary: string;
  args: T;
  notes?: readonly string[];
  /** Said of a word too many, which is then not repeated: it may be a secret. */
  surplus?: string;
  examples: readonly (readonly [string, string])[];
  run(args: ParsedArgs<T>, repeated: Repeated, raw: readonly string[]): Promise<number>;
}): Command {
  return {
    kind: "command",
    summary: spec.summary,
    args: spec.args,
    notes: spec.notes ?? [],
    examples: spec.examples,
    async start(raw) {
      const values = checkArguments(raw, spec.args, spec.surplus);
      const parsed = cittyParseArgs<T>([...raw], spec.args);
      return spec.run(parsed, (name) => values.get(name) ?? [], raw);
    },
  };
}

/**
 * Refuses what the lenient parser would swallow: unknown flags, flags without their value, flags given twice,
 * values outside an enum, missing and surplus words.
 * @returns the values of each string flag, in order.
 * @throws Failure exit 2, naming the nearest flag that exists.
 */
export function checkArguments(raw: readonly string[], args: ArgsDef, surplus?: string): Map<string, string[]> {
  const flags = Object.entries(args).filter(([, def]) => def.type !== "positional");
  const words = Object.entries(args).filter(([, def]) => def.type === "positional");
  const options = Object.fromEntries(
    flags.map(([name, def]) => {
      const short = shortOf(def);
      const type = def.type === "boolean" ? ("boolean" as const) : ("string" as const);
      return [name, short === undefined ? { type } : { type, short }] as const;
    }),
  );
  const values = new Map<string, string[]>();
  let found = 0;
  for (const token of nodeParseArgs({ args: [...raw], options, strict: false, tokens: true }).tokens ?? []) {
    if (token.kind === "positional") {
      found += 1;
      if (found > words.length) throw usage(surplus ?? surplusWord(token.value, words.length));
    } else if (token.kind === "option") {
      const def = args[token.name];
      if (def === undefined || def.type === "positional") throw unknownFlag(token.rawName, flags);
      // The parser takes whatever follows as the value; another flag is hardly meant, and `--why=--x` remains.
      const swallowed = token.inlineValue === false && token.value.startsWith("--");
      checkFlag(token.rawName, def, swallowed ? undefined : token.value, values.has(token.name));
      values.set(token.name, [...(values.get(token.name) ?? []), token.value ?? ""]);
    }
  }
  const missing = words.find(([, def], at) => at >= found && def.required !== false);
  if (missing) throw usage(`${missing[0].toUpperCase()} is missing: ${missing[1].description ?? "give it"}.`);
  return values;
}

/** The letter that stands for a flag, as `o` in `-o FILE`. */
export function shortOf(def: ArgsDef[string]): string | undefined {
  const alias = "alias" in def ? def.alias : undefined;
  return typeof alias === "string" && alias.length === 1 ? alias : undefined;
}

function checkFlag(flag: string, def: ArgsDef[string], value: string | undefined, again: boolean): void {
  if (def.type === "boolean") {
    if (value !== undefined) throw usage(`${flag} takes no value.`);
    return;
  }
  if (value === undefined)
    throw usage(`${flag} needs a value: ${flag} ${(def.valueHint ?? "VALUE").replace(" ...", "")}`);
  if (again && !(def.valueHint ?? "").endsWith("...")) throw usage(`${flag} is given twice; once is enough.`);
  if (def.type === "enum" && !(def.options ?? []).includes(value)) {
    throw usage(`${flag} is one of ${(def.options ?? []).join(", ")}, not "${value}".`);
  }
}

function surplusWord(word: string, allowed: number): string {
  const takes = allowed === 0 ? "no words" : allowed === 1 ? "one word" : `${allowed} words`;
  return `"${word}" is one word too many: this command takes ${takes} besides its flags.`;
}

function unknownFlag(flag: string, flags: readonly (readonly [string, unknown])[]): Error {
  const close = nearest(flag.replace(/^-+/, ""), [...flags.map(([name]) => name), "help"]);
  const hint = close === undefined ? "" : ` Did you mean --${close}?`;
  return usage(`There is no flag ${flag}.${hint}`);
}

/** @throws Failure exit 2 for an unknown command, naming the nearest. */
export function unknownCommand(path: readonly string[], word: string, known: readonly string[]): Error {
  const close = nearest(word, known);
  const full = ["gantry", ...path].join(" ");
  const hint = close === undefined ? "" : ` Did you mean "${full} ${close}"?`;
  return usage(`"${full} ${word}" is no command.${hint}`, {
    next_steps: [typeThis("See what there is", ["npx gantry help", ...path].join(" "))],
  });
}

/** The known word with the fewest edits to `word`, if those are at most a third of its length (and at least one). */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const allowed = Math.max(1, Math.floor(word.length / 3));
  let best: { word: string; edits: number } | undefined;
  for (const candidate of known) {
    const edits = candidate.startsWith(word) && word.length > 1 ? 0 : editsBetween(word, candidate);
    if (edits <= allowed && (best === undefined || edits < best.edits)) best = { word: candidate, edits };
  }
  return best?.word;
}

/** Optimal string alignment distance: insert, delete, replace, swap neighbours. */
function editsBetween(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (before[j - 2] ?? 0) + 1);
      }
      next.push(least);
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
