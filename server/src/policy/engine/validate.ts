import { CEDAR_BYTES_MAX, CEDAR_DEPTH_MAX } from "../contract.ts";
import { Cedar, type PolicyJson } from "./cedar.ts";
import { CEDAR_SCHEMA, codeOf } from "./schema.ts";

/** What is wrong with a policy that a contract brings, and what would be right. `index` is its place in the list. */
export interface CedarProblem {
  index: number;
  text: string;
}

const CODE = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/;
const CODE_LENGTH_MAX = 64;
/** Codes of the product say what the product decided. */
const OURS = /^(POLICY|CONTRACT|SNAPSHOT|GATE|APPROVAL|REVIEW|BREAK_GLASS|RUN|TASK|TOKEN|SCOPE|EGRESS|LEASE)_/;
/** Functions that work on addresses, in Cedar's JSON form. */
const ADDRESS_FUNCTIONS = ["ip", "isIpv4", "isIpv6", "isLoopback", "isMulticast", "isInRange"];

/**
 * Is each text one policy that the schema admits, named by a `@code`? Strictly validated, a forbid cannot fail for a
 * missing member of the context, which would make it apply to nothing.
 * An instance of Cedar is made for the occasion: a text that breaks it, and some do, must not reach the one that decides.
 */
export function cedarProblems(texts: readonly string[]): CedarProblem[] {
  if (texts.length === 0) return [];
  const cedar = new Cedar(CEDAR_SCHEMA);
  const problems: CedarProblem[] = [];
  const readable: Record<string, string> = {};
  for (const [index, text] of texts.entries()) {
    const found = readingProblems(cedar, text);
    problems.push(...found.map((each) => ({ index, text: each })));
    // One more instance for each text that breaks one would be a way to keep the server busy.
    if (cedar.generation > 0) return problems;
    if (found.length === 0) readable[index] = text;
  }
  const invalid = cedar.validate(readable);
  if (invalid === undefined) problems.push({ index: 0, text: "The policies could not be validated together." });
  for (const [id, problem] of invalid ?? []) {
    problems.push({ index: Number(id), text: `The schema does not admit it: ${problem}.` });
  }
  return problems.sort((a, b) => a.index - b.index);
}

function readingProblems(cedar: Cedar, text: string): string[] {
  const too_deep = `Its expressions may nest ${CEDAR_DEPTH_MAX} deep, a chain of operators counting one for each.`;
  if (Buffer.byteLength(text) > CEDAR_BYTES_MAX) return [`A policy has at most ${CEDAR_BYTES_MAX} bytes.`];
  if (!text.isWellFormed() || text.includes("\0")) return ["The text has characters that no text may have."];
  if (bracketDepth(text) > CEDAR_DEPTH_MAX) return [too_deep];
  const before = cedar.generation;
  const read = cedar.read(text);
  if (cedar.generation !== before) return [too_deep];
  if ("problem" in read) return [`It is not one Cedar policy: ${read.problem}.`];
  const { conditions } = read.json;
  if (depthOf(conditions.map(({ body }) => body)) > CEDAR_DEPTH_MAX) return [too_deep];
  const problems = annotationProblems(text, read.json);
  if (usesAddresses(conditions)) {
    problems.push("Addresses are judged by the egress rules, not in Cedar: ip() ranges miss mapped addresses.");
  }
  return problems;
}

function annotationProblems(text: string, { annotations }: PolicyJson): string[] {
  const { code, description: _, ...others } = annotations ?? {};
  const problems: string[] = [];
  const wrong = Object.keys(others);
  if (wrong.length > 0) {
    problems.push(`@${wrong[0]} means nothing here: a policy has a @code and may have a @description.`);
  }
  if (code === undefined || code === null) {
    problems.push('It has no @code. Begin it with one, e.g. @code("CHANGE_FREEZE").');
  } else if (!CODE.test(code) || code.length > CODE_LENGTH_MAX) {
    problems.push(`A @code is ${CODE_LENGTH_MAX} capitals, digits and single underscores at most, e.g. CHANGE_FREEZE.`);
  } else if (OURS.test(code)) {
    problems.push(`A @code that begins with ${OURS.exec(code)?.[0]} is one of Gantry's own. Choose another.`);
  } else if (codeOf(text) !== code) {
    problems.push("The @code must be the first that the text speaks of, comments included.");
  }
  return problems;
}

/** Brackets inside each other, outside texts and comments: seen before the parser, whose recursion would not come back. */
function bracketDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const bracket of text.replace(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*/g, "").match(/[()[\]{}]/g) ?? []) {
    depth += "([{".includes(bracket) ? 1 : -1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

/**
 * Expressions inside each other: in Cedar's JSON form each is an object of one member, whose parts are one level below. The
 * parser comes back from depths at which a recursion of ours would not, and so does this.
 */
function depthOf(bodies: readonly unknown[]): number {
  const waiting = bodies.map((value) => ({ value, levels: 1 }));
  let deepest = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, levels } = next;
    if (typeof value !== "object" || value === null) continue;
    deepest = Math.max(deepest, levels);
    for (const part of Object.values(value)) waiting.push({ value: part, levels: levels + 1 });
  }
  return Math.ceil(deepest / 2);
}

function usesAddresses(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(usesAddresses);
  return Object.entries(value).some(
    ([name, parts]) =>
      (ADDRESS_FUNCTIONS.includes(name) && Array.isArray(parts)) ||
      // Members of a record have names of the author's choice.
      (name === "Record" ? Object.values(parts as object).some(usesAddresses) : usesAddresses(parts)),
  );
}
