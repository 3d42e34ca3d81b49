// Reads a Markdown page as something to do: its blocks in order, and in them the commands and what each should print.
import { spawnSync } from "node:child_process";

/**
 * One command of a page.
 * @typedef {{ line: number, text: string, expected: string[] | null, exit: number }} Step
 *   `expected` is null where nothing is said of the output.
 */
/**
 * A block of a page. `file` is written, `program` is run by Node, `steps` by the shell, one after the other.
 * @typedef {{ kind: "file", line: number, name: string, text: string }
 *   | { kind: "program", line: number, text: string, expected: string[] | null }
 *   | { kind: "steps", line: number, steps: Step[], background: boolean }} Block
 */
/**
 * How a page wants to be followed: `<!-- follow: clone server login -->`. With `here`, what stands above is somebody else's to follow.
 * What nobody sees stands between `<!-- follow` and `-->`: shell, or with `<!-- follow console background` what stays.
 * @typedef {{ blocks: Block[], in_clone: boolean, wants_server: boolean, wants_login: boolean }} Page
 */

const FENCE = /^(\s*)```+\s*(.*?)\s*$/;
const DIRECTIVE = /^<!-- follow: ([a-z ]+) -->$/;
const HIDDEN = /^<!-- follow(?: (console\b.*))?$/;
const NAMED_FILE = /^(?:#|\/\/) file: (\S+)$/;
const WORDS = ["clone", "here", "login", "server"];

/**
 * @param {string} text
 * @returns {Page}
 * @throws {Error} that names the line which cannot be followed.
 */
export function readPage(text) {
  const lines = text.split("\n");
  /** @type {Block[]} */
  const blocks = [];
  const words = new Set();
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const asked = DIRECTIVE.exec(line)?.[1];
    if (asked !== undefined) for (const word of asked.split(" ")) words.add(known(word, at));
    if (asked?.split(" ").includes("here")) blocks.length = 0;
    const fence = FENCE.exec(line);
    const hidden = asked === undefined ? HIDDEN.exec(line) : null;
    const is_hidden = hidden !== null;
    if (fence === null && !is_hidden) continue;
    const end = lines.findIndex((one, n) => n > at && (is_hidden ? one === "-->" : isEnd(one)));
    if (end < 0) throw new Error(`line ${at + 1}: what begins here has no end`);
    const indent = fence?.[1]?.length ?? 0;
    const body = lines
      .slice(at + 1, end)
      .map((one) => one.slice(Math.min(indent, one.length - one.trimStart().length)));
    addBlock(blocks, is_hidden ? (hidden[1] ?? "sh") : (fence?.[2] ?? ""), body, at + 2);
    at = end;
  }
  return { blocks, in_clone: words.has("clone"), wants_server: words.has("server"), wants_login: words.has("login") };
}

/** @param {string} line */
function isEnd(line) {
  return /^\s*```+\s*$/.test(line);
}

/** @param {string} word @param {number} at */
function known(word, at) {
  if (!WORDS.includes(word)) throw new Error(`line ${at + 1}: follow knows ${WORDS.join(", ")}, and not ${word}`);
  return word;
}

/**
 * The languages of a page's blocks that are not only read.
 * @param {string} info  what stands behind the fence.
 */
export function isFollowed(info) {
  return /^(sh|console|ts run)\b/.test(info);
}

/** @param {Block[]} blocks @param {string} info @param {string[]} body @param {number} line */
function addBlock(blocks, info, body, line) {
  const name = NAMED_FILE.exec(body[0] ?? "")?.[1];
  if (info === "text output") return setExpected(blocks, body, line);
  if (info === "ts run") blocks.push({ kind: "program", line, text: `${body.join("\n")}\n`, expected: null });
  else if (info === "sh") blocks.push({ kind: "steps", line, steps: shellSteps(body, line), background: false });
  else if (/^console\b/.test(info)) blocks.push(consoleBlock(info, body, line));
  else if (name !== undefined) blocks.push({ kind: "file", line, name, text: `${body.join("\n")}\n` });
}

/** @param {Block[]} blocks @param {string[]} body @param {number} line */
function setExpected(blocks, body, line) {
  const last = blocks.at(-1);
  if (last?.kind === "program") last.expected = body;
  else if (last?.kind === "steps" && last.steps.length > 0) {
    const step = last.steps.at(-1);
    if (step !== undefined) step.expected = body;
  } else throw new Error(`line ${line}: there is no command before this output`);
}

/** @param {string} info @param {string[]} body @param {number} line @returns {Block} */
function consoleBlock(info, body, line) {
  const background = /\bbackground\b/.test(info);
  const exit = Number(/\bexit (\d+)\b/.exec(info)?.[1] ?? 0);
  const steps = consoleSteps(body, line);
  const last = steps.at(-1);
  if (last === undefined) throw new Error(`line ${line}: a console block without a line that begins with "$ "`);
  if (background && steps.length > 1)
    throw new Error(`line ${line}: one command can go on in the background, not several`);
  last.exit = exit;
  return { kind: "steps", line, steps, background };
}

/** @param {string[]} body @param {number} line @returns {Step[]} */
function consoleSteps(body, line) {
  /** @type {Step[]} */
  const steps = [];
  for (let at = 0; at < body.length; ) {
    const one = body[at] ?? "";
    if (!one.startsWith("$ ")) {
      const step = steps.at(-1);
      if (step === undefined) throw new Error(`line ${line + at}: output before any command`);
      step.expected?.push(one);
      at += 1;
      continue;
    }
    const taken = takeCommand(body, at, (text, n) => (n === 0 ? text.slice(2) : text.replace(/^> /, "")));
    steps.push({ line: line + at, text: taken.text, expected: [], exit: 0 });
    at = taken.next;
  }
  return steps;
}

/** @param {string[]} body @param {number} line @returns {Step[]} */
function shellSteps(body, line) {
  /** @type {Step[]} */
  const steps = [];
  for (let at = 0; at < body.length; ) {
    if (/^\s*(#.*)?$/.test(body[at] ?? "")) {
      at += 1;
      continue;
    }
    const taken = takeCommand(body, at, (text) => text);
    steps.push({ line: line + at, text: taken.text, expected: null, exit: 0 });
    at = taken.next;
  }
  return steps;
}

/**
 * A command goes on for as many lines as bash needs to see its end.
 * @param {string[]} body @param {number} from @param {(line: string, n: number) => string} strip
 */
function takeCommand(body, from, strip) {
  let text = strip(body[from] ?? "", 0);
  let next = from + 1;
  while (next < body.length && goesOn(text)) {
    text += `\n${strip(body[next] ?? "", next - from)}`;
    next += 1;
  }
  return { text, next };
}

/** @param {string} text */
function goesOn(text) {
  if (text.endsWith("\\")) return true;
  // Most lines hold nothing that could stay open: bash need not be asked about them.
  if (!/['"`({]|<<|\b(if|for|while|until|case|do|then)\b/.test(text)) return false;
  const { stderr } = spawnSync("bash", ["--norc", "-n"], { input: text, encoding: "utf8" });
  return /unexpected (end of file|EOF)|here-document/.test(stderr);
}
