import { isAddress, matchesPattern } from "../engine/wildcard.ts";

/** Whether one pattern matches nothing that another does not. Each says yes only when that is proved. */

/**
 * Text in which `*` stands for any characters: of tools, arguments, repositories, paths. The wide pattern is matched
 * against the narrow one as if that were text, in which only a `*` may stand for a `*`: whatever takes the place of the
 * narrow one's stars then lies within the wide one's.
 */
export function containsGlob(wide: string, narrow: string): boolean {
  return matchesPattern(wide, narrow);
}

/** Host names, in which the label `*` is exactly one label and `**` one or more. No star stands for an address. */
export function containsHost(wide: string, narrow: string): boolean {
  if (wide === narrow) return true;
  if (isAddress(narrow)) return false;
  return labelsWithin(wide.split("."), narrow.split("."));
}

function labelsWithin(wide: string[], narrow: string[]): boolean {
  const [first, ...rest] = wide;
  if (first === undefined) return narrow.length === 0;
  const [label, ...others] = narrow;
  if (label === undefined) return false;
  // More than one label may lie behind the narrow one's `**`, so it fits only where any number does.
  if (first === "**") return labelsWithin(rest, others) || labelsWithin(wide, others);
  if (first === "*" ? label !== "**" : label === first) return labelsWithin(rest, others);
  return false;
}
