import type { Visit } from "./schema.ts";

type Keywords = Record<string, unknown>;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const numeric = (schema: Keywords, keyword: string): number | undefined =>
  typeof schema[keyword] === "number" ? schema[keyword] : undefined;

const child = (at: string, name: string | number) =>
  `${at}/${String(name).replaceAll("~", "~0").replaceAll("/", "~1")}`;

/** Reports `low` or `high` when `size` is outside the bounds that the schema names. */
function checkSize(visit: Visit, schema: Keywords, size: number, low: string, high: string, at: string): void {
  if (size < (numeric(schema, low) ?? 0)) visit.report(at, low);
  if (size > (numeric(schema, high) ?? Number.POSITIVE_INFINITY)) visit.report(at, high);
}

export function checkString(visit: Visit, schema: Keywords, value: string, at: string): void {
  // Lengths count code points, so that an emoji is one character.
  checkSize(visit, schema, [...value].length, "minLength", "maxLength", at);
  if (typeof schema["pattern"] === "string" && !new RegExp(schema["pattern"], "u").test(value))
    visit.report(at, "pattern");
}

export function checkNumber(visit: Visit, schema: Keywords, value: number, at: string): void {
  const breaks: Record<string, (bound: number) => boolean> = {
    minimum: (bound) => value < bound,
    maximum: (bound) => value > bound,
    exclusiveMinimum: (bound) => value <= bound,
    exclusiveMaximum: (bound) => value >= bound,
    multipleOf: (step) => !Number.isInteger(value / step),
  };
  for (const [keyword, broken] of Object.entries(breaks)) {
    const bound = numeric(schema, keyword);
    if (bound !== undefined && broken(bound)) visit.report(at, keyword);
  }
}

export function checkArray(visit: Visit, schema: Keywords, value: unknown[], at: string): void {
  checkSize(visit, schema, value.length, "minItems", "maxItems", at);
  const prefix = Array.isArray(schema["prefixItems"]) ? schema["prefixItems"] : [];
  value.forEach((item, index) => {
    if (index < prefix.length) visit.check(prefix[index], item, child(at, index));
    else if ("items" in schema) visit.check(schema["items"], item, child(at, index));
  });
  const repeated = value.some((item, index) => value.slice(0, index).some((earlier) => deepEqual(earlier, item)));
  if (schema["uniqueItems"] === true && repeated) visit.report(at, "uniqueItems");
}

export function checkObject(visit: Visit, schema: Keywords, value: Record<string, unknown>, at: string): void {
  const names = Object.keys(value);
  checkSize(visit, schema, names.length, "minProperties", "maxProperties", at);
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  if (required.some((name) => !Object.hasOwn(value, String(name)))) visit.report(at, "required");
  const dependent = isObject(schema["dependentRequired"]) ? schema["dependentRequired"] : {};
  for (const [name, needs] of Object.entries(dependent)) {
    const missing = Array.isArray(needs) && needs.some((need) => !Object.hasOwn(value, String(need)));
    if (Object.hasOwn(value, name) && missing) visit.report(at, "dependentRequired");
  }
  const properties = isObject(schema["properties"]) ? schema["properties"] : {};
  for (const name of names) {
    if (Object.hasOwn(properties, name)) visit.check(properties[name], value[name], child(at, name));
    else if (schema["additionalProperties"] === false) visit.report(child(at, name), "additionalProperties");
    else if ("additionalProperties" in schema)
      visit.check(schema["additionalProperties"], value[name], child(at, name));
  }
}

/** Equality of JSON values: order of members does not count, order of items does. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => deepEqual(item, b[index]));
  }
  if (isObject(a) && isObject(b)) {
    const names = Object.keys(a);
    return (
      names.length === Object.keys(b).length &&
      names.every((name) => Object.hasOwn(b, name) && deepEqual(a[name], b[name]))
    );
  }
  return a === b;
}
