import type { ToolRule } from "../contract.ts";
import { matchesPattern } from "./wildcard.ts";

/** The place of the first rule that grants it; or whether it was the name that no rule has, or the arguments. */
export type ToolMatch = { place: number } | { stopped: "name" | "args" };

/**
 * Which rule grants this tool?
 * @param args  of a call. An argument that a rule names must be there and match one of its patterns; others are free.
 *   `undefined`: the tool is only looked up, and arguments are not judged.
 */
export function matchTool(
  rules: readonly ToolRule[],
  name: string,
  args: Readonly<Record<string, string>> | undefined,
): ToolMatch {
  let stopped: "name" | "args" = "name";
  for (const [place, rule] of rules.entries()) {
    if (!matchesPattern(rule.name, name)) continue;
    if (args === undefined || argumentsFit(rule, args)) return { place };
    stopped = "args";
  }
  return { stopped };
}

function argumentsFit(rule: ToolRule, args: Readonly<Record<string, string>>): boolean {
  return Object.entries(rule.args).every(([name, patterns]) => {
    const value = Object.hasOwn(args, name) ? args[name] : undefined;
    return typeof value === "string" && patterns.some((pattern) => matchesPattern(pattern, value));
  });
}
