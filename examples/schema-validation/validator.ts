import { checkArray, checkNumber, checkObject, checkString, deepEqual, isObject } from "./keywords.ts";
import type { Fault, Schema, Visit } from "./schema.ts";

/** Every fault of `document`, in the order of the schema's keywords. Empty when it is valid. */
export function validate(root: Schema, document: unknown): Fault[] {
  const faults: Fault[] = [];
  const visit: Visit = {
    root,
    report: (at, keyword) => faults.push({ at, keyword }),
    check: (schema, value, at) => checkValue(visit, schema, value, at),
    passes: (schema, value) => {
      // A trial is judged on its own: what it finds is no fault of the document.
      let ok = true;
      const trial: Visit = { ...visit, report: () => (ok = false), check: (s, v, at) => checkValue(trial, s, v, at) };
      trial.check(schema, value, "");
      return ok;
    },
  };
  visit.check(root, document, "");
  return faults;
}

function checkValue(visit: Visit, schema: unknown, value: unknown, at: string): void {
  if (schema === false) visit.report(at, "false");
  if (typeof schema === "boolean") return;
  if (!isObject(schema)) throw new Error("A schema is an object or a boolean.");
  if (typeof schema["$ref"] === "string") visit.check(resolve(visit.root, schema["$ref"]), value, at);
  if ("type" in schema && ![schema["type"]].flat().some((type) => hasType(value, type))) visit.report(at, "type");
  if ("const" in schema && !deepEqual(schema["const"], value)) visit.report(at, "const");
  if (Array.isArray(schema["enum"]) && !schema["enum"].some((one) => deepEqual(one, value))) visit.report(at, "enum");
  if (typeof value === "string") checkString(visit, schema, value, at);
  if (typeof value === "number") checkNumber(visit, schema, value, at);
  if (Array.isArray(value)) checkArray(visit, schema, value, at);
  else if (isObject(value)) checkObject(visit, schema, value, at);
  checkCombined(visit, schema, value, at);
}

function checkCombined(visit: Visit, schema: Record<string, unknown>, value: unknown, at: string): void {
  const branches = (keyword: string): unknown[] => (Array.isArray(schema[keyword]) ? schema[keyword] : []);
  const passing = (keyword: string) => branches(keyword).filter((branch) => visit.passes(branch, value)).length;
  for (const branch of branches("allOf")) visit.check(branch, value, at);
  if ("anyOf" in schema && passing("anyOf") === 0) visit.report(at, "anyOf");
  if ("oneOf" in schema && passing("oneOf") !== 1) visit.report(at, "oneOf");
  if ("not" in schema && visit.passes(schema["not"], value)) visit.report(at, "not");
  if ("if" in schema) {
    const branch = visit.passes(schema["if"], value) ? "then" : "else";
    if (branch in schema) visit.check(schema[branch], value, at);
  }
}

function hasType(value: unknown, type: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isObject(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

/** `#/$defs/money` within the schema itself. Anything else would need a network, which there is not. */
function resolve(root: Schema, ref: string): unknown {
  if (!ref.startsWith("#")) throw new Error(`Only references within the schema are followed, not ${ref}`);
  return ref
    .slice(1)
    .split("/")
    .slice(1)
    .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce<unknown>((node, part) => {
      if (isObject(node) && Object.hasOwn(node, part)) return node[part];
      throw new Error(`${ref} leads nowhere.`);
    }, root);
}
