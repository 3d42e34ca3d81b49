import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Limits, RunRequest, RunView, Termination } from "@gantry/sdk";
import { collect } from "../collect.ts";
import { usage } from "../failure.ts";
import { parseJson, readInput, reasonOf } from "../input.ts";

/** One program of `examples/demo.json`; paths are relative to that file. */
export interface DemoItem {
  name: string;
  title: string;
  file: string;
  /** `"@file"` as `--input` reads it, any other JSON as it is; absent: null. */
  input?: unknown;
  contract?: string;
  limits?: Partial<Limits>;
  /** Default: completed. */
  expect?: { termination?: Termination };
}

/** What `<directory of the program>/expected.json` may promise about the outcome. */
interface Expected {
  result?: unknown;
}

/** @throws Failure exit 2 if the list is missing or malformed. */
export async function readPlan(examples: string): Promise<DemoItem[]> {
  const at = join(examples, "demo.json");
  const text = await readFile(at, "utf8").catch((error: unknown) => {
    throw usage(`${at} cannot be read: ${reasonOf(error)}.`);
  });
  const list = parseJson(text, at);
  if (!Array.isArray(list) || list.length === 0) throw usage(`${at} is a list of programs, and it holds none.`);
  return list.map((item: Partial<DemoItem> | null, i) => {
    const { name, title, file } = item ?? {};
    if (typeof name === "string" && typeof title === "string" && typeof file === "string") return item as DemoItem;
    throw usage(`Program ${i + 1} of ${at} lacks a name, a title or a file.`);
  });
}

/** The request that an item stands for. */
export async function requestOf(item: DemoItem, examples: string): Promise<RunRequest> {
  const { entry, modules } = await collect(item.file, examples);
  const stdin = async (): Promise<string> => "null";
  const input =
    typeof item.input === "string" && item.input.startsWith("@")
      ? await readInput(item.input, { cwd: examples, stdin })
      : (item.input ?? null);
  return {
    code: { entry, modules },
    input,
    ...(item.contract === undefined ? {} : { contract: item.contract }),
    ...(item.limits === undefined ? {} : { limits: item.limits }),
  };
}

/** How the outcome differs from what the item promises, as a sentence; undefined if it does not. */
export async function findDifference(item: DemoItem, view: RunView, examples: string): Promise<string | undefined> {
  const termination = item.expect?.termination ?? "completed";
  if (view.termination !== termination) return `${item.name} ended ${view.termination}, expected ${termination}.`;
  const path = join(examples, dirname(item.file), "expected.json");
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const expected = parseJson(text, path) as Expected;
  if (expected.result === undefined) return undefined;
  const at = firstDifference(expected.result, view.result, "");
  return at === undefined ? undefined : `${item.name} gave another result than expected.json at "${at || "/"}".`;
}

/** The JSON pointer where `actual` lacks something of `expected`. Objects may have more members, lists not. */
export function firstDifference(expected: unknown, actual: unknown, at: string): string | undefined {
  if (typeof expected !== "object" || expected === null) return Object.is(expected, actual) ? undefined : at;
  if (typeof actual !== "object" || actual === null) return at;
  if (Array.isArray(expected) !== Array.isArray(actual)) return at;
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length !== actual.length) return at;
  for (const [name, value] of Object.entries(expected)) {
    const found = firstDifference(value, (actual as Record<string, unknown>)[name], `${at}/${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
