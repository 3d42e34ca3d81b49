import { readFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { isApiError, type PolicyDocument, type Problem } from "@gantry/sdk";
import { exitOfProblem } from "./exit.ts";
import { Failure, usage } from "./failure.ts";
import { reasonOf } from "./input.ts";
import type { Terminal } from "./terminal.ts";

/** The server's own maximum of a contract or a policy table. */
const DOCUMENT_BYTES_MAX = 256 * 1024;
/** A name at the left margin of YAML, or the member of a JSON document. */
const NAME_LINES = [
  /^name[ \t]*:[ \t]*["']?([a-z][a-z0-9-]{0,62})["']?[ \t]*(?:#.*)?$/m,
  /"name"\s*:\s*"([^"\\]{1,63})"/,
];

/** A file of the command line, `-` for standard input. @throws Failure exit 2 */
export async function readDocument(file: string, io: Pick<Terminal, "cwd" | "stdin">): Promise<PolicyDocument> {
  if (file === "-") return { name: "standard input", text: await io.stdin() };
  const path = resolve(io.cwd, file);
  const name = relative(io.cwd, path) || path;
  const bytes = await readFile(path).catch((error: unknown) => {
    throw usage(`${name} cannot be read: ${reasonOf(error)}.`);
  });
  if (bytes.length > DOCUMENT_BYTES_MAX) throw usage(`${name} has more than ${DOCUMENT_BYTES_MAX} bytes.`);
  try {
    return { name, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    throw usage(`${name} is not UTF-8 text.`);
  }
}

/**
 * What the document calls its contract. It is not read as YAML here: the server does that, and compares.
 * @throws Failure exit 2
 */
export function nameOf({ name, text }: PolicyDocument, said: string | undefined): string {
  if (said !== undefined) return said;
  const found = NAME_LINES.map((pattern) => pattern.exec(text)?.[1]).find((each) => each !== undefined);
  if (found !== undefined) return found;
  throw usage(`${name} does not say in a line of its own what the contract is called: write name: …, or say --name.`);
}

/**
 * Does `work`, and shows a refusal of documents in the files that they came from. A problem's place begins with what the
 * server was told the document is called.
 * @param called  documents by what the server calls them.
 */
export async function inFiles<T>(called: ReadonlyMap<string, PolicyDocument>, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isApiError(error) || error.problem.problems === undefined) throw error;
    const { problem } = error;
    const problems = (problem.problems ?? []).map((each) => placed(each, called));
    const sources = new Map([...called.values()].map(({ name, text }) => [name, text]));
    throw new Failure(exitOfProblem(problem), `${problem.detail} (${problem.code})`, { problems, sources });
  }
}

function placed(problem: Problem, called: ReadonlyMap<string, PolicyDocument>): Problem {
  const hash = problem.at.lastIndexOf("#");
  const document = called.get(problem.at.slice(0, Math.max(hash, 0)));
  if (document === undefined) return problem;
  const pointer = problem.at.slice(hash + 1);
  return { ...problem, at: document.name, text: pointer === "" ? problem.text : `${pointer}: ${problem.text}` };
}
