import type { z } from "@hono/zod-openapi";
import { type ErrorKind, GantryError, type Problem } from "../kernel/errors.ts";
import { errors, NAME_EDITS_MAX, PROBLEMS_MAX } from "./contract.ts";

type Issue = z.core.$ZodIssue;
type Schema = z.core.$ZodType;
type Path = readonly PropertyKey[];

/**
 * What a schema's issues say, as one error with a problem for each place.
 * An issue may carry a kind of its own (`params.kind`); the first such kind is the answer's.
 * @param where  `json`, `query`, `param` or `header`; places outside a body are told by name.
 * @param schema  to find the known names near an unknown one.
 */
export function invalidRequest(issues: readonly Issue[], where: string, schema?: Schema): GantryError {
  const flat = issues.flatMap((issue) => flatten(issue, []));
  const coded = flat.map(({ issue }) => kindOf(issue)).find((kind) => kind !== undefined);
  const chosen = coded === undefined ? flat : flat.filter(({ issue }) => kindOf(issue) === coded);
  const problems = chosen.flatMap(({ issue, path }) => problemsOf(issue, path, where, schema)).slice(0, PROBLEMS_MAX);
  const detail = problems.map(({ at, text }) => `${at || "The body"} ${text}`).join("; ");
  return new GantryError(coded ?? errors.INVALID, { detail: detail.slice(0, 1_000), problems });
}

interface Placed {
  issue: Issue;
  path: Path;
}

/** Of a union's alternatives, the one that the input came nearest to. */
function flatten(issue: Issue, above: Path): Placed[] {
  const path = [...above, ...issue.path];
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return [{ issue, path }];
  const strangers = (each: readonly Issue[]) =>
    each.reduce((sum, one) => sum + (one.code === "unrecognized_keys" ? one.keys.length : 0), 0);
  const [nearest = []] = [...issue.errors].sort((a, b) => strangers(a) - strangers(b) || a.length - b.length);
  return nearest.flatMap((each) => flatten(each, path));
}

function kindOf(issue: Issue): ErrorKind | undefined {
  if (issue.code !== "custom") return undefined;
  const kind: unknown = issue.params?.["kind"];
  return typeof kind === "object" && kind !== null && "code" in kind ? (kind as ErrorKind) : undefined;
}

function problemsOf(issue: Issue, path: Path, where: string, schema: Schema | undefined): Problem[] {
  if (issue.code !== "unrecognized_keys") return [{ at: placeOf(path, where), text: textOf(issue) }];
  const known = schema === undefined ? [] : knownNames(schema, path);
  return issue.keys.map((key) => {
    const near = nearestName(key, known);
    const text = near === undefined ? "is not known here" : `is not known here; did you mean ${JSON.stringify(near)}?`;
    return { at: placeOf([...path, key], where), text };
  });
}

function textOf(issue: Issue): string {
  const message = issue.message.replace(/^(Invalid input|Invalid option|Invalid string|Too big|Too small): /, "");
  return message === issue.message || message === "" ? issue.message : `is not valid: ${message}`;
}

/** A JSON pointer (RFC 6901) into a body, else the name of a parameter or header. */
function placeOf(path: Path, where: string): string {
  if (where !== "json") return path.map(String).join(".");
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** The members that a schema knows at a path, of every alternative. */
function knownNames(schema: Schema, path: Path): string[] {
  let at: Schema[] = alternatives(schema);
  for (const part of path) {
    at = at.flatMap((each) => {
      const { def } = each._zod as { def: Shaped };
      const next = def.shape?.[String(part)] ?? def.valueType ?? def.element;
      return next === undefined ? [] : alternatives(next);
    });
  }
  return at.flatMap((each) => Object.keys((each._zod as { def: Shaped }).def.shape ?? {}));
}

/** The parts of zod's definitions that lead further down: objects, records, arrays, wrappers, pipes, unions. */
interface Shaped {
  shape?: Record<string, Schema>;
  valueType?: Schema;
  element?: Schema;
  innerType?: Schema;
  out?: Schema;
  options?: Schema[];
}

function alternatives(schema: Schema): Schema[] {
  const { def } = schema._zod as { def: Shaped };
  const inner = def.innerType ?? def.out;
  if (inner !== undefined) return alternatives(inner);
  return def.options === undefined ? [schema] : def.options.flatMap(alternatives);
}

/** Characters that a beginning must have to stand for the whole name. */
const PREFIX_MIN = 3;

/** The known name with the fewest edits, if it is near enough to be what was meant; a beginning of it is. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  let best = name.length < PREFIX_MIN ? undefined : known.find((each) => each.startsWith(name));
  let fewest = Math.min(NAME_EDITS_MAX, Math.floor(name.length / 2)) + 1;
  for (const each of known) {
    if (Math.abs(each.length - name.length) >= fewest) continue;
    const edits = editsBetween(name, each);
    if (edits >= fewest) continue;
    best = each;
    fewest = edits;
  }
  return best;
}

/** Levenshtein distance, one row at a time. The names are short: a longer one than any known is not compared. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
