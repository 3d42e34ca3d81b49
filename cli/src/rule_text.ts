import { visible } from "./text.ts";

/**
 * A rule as it is pasted under `egress:` of a contract. Values are JSON, which is YAML, too: nothing that a host or a path
 * holds is read as anything else.
 */
export function ruleLines(rule: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(rule).map(([name, value], at) => {
    const text = Array.isArray(value) ? `[${value.map((each) => JSON.stringify(each)).join(", ")}]` : scalar(value);
    return visible(`${at === 0 ? "- " : "  "}${name}: ${text}`);
  });
}

/** A plain word needs no quotes; YAML 1.2 reads these, and only these, as what they are. */
function scalar(value: unknown): string {
  if (typeof value === "string" && /^[a-z][a-z-]*$/.test(value) && !/^(true|false|null)$/.test(value)) return value;
  return JSON.stringify(value);
}
