/**
 * What a Cedar policy of a contract does, read off its text. Nothing is evaluated: doubt says `unclear`, and that is
 * never a proof.
 */
export type CedarEffect = "permit" | "forbid" | "unclear";

/** Comments, annotations and space in front of the effect (Cedar's grammar: `{Annotation} ('permit' | 'forbid') '('`). */
const LEADING = /^(?:\s+|\/\/[^\n]*(?:\n|$)|@[A-Za-z_][A-Za-z0-9_]*(?:\s*\(\s*"(?:[^"\\]|\\.)*"\s*\))?)+/;
const EFFECT = /^(permit|forbid)\s*\(/;
/** Text in quotes, and comments: neither is evaluated. */
const SILENT = /"(?:[^"\\]|\\.)*"|\/\/[^\n]*/g;
/** What can fail although it has passed the schema's check: arithmetic, and values that are made from text. */
const MAY_FAIL = /[+*-]|\b(?:ip|decimal|datetime|duration)\s*\(/;

export function cedarEffect(text: string): CedarEffect {
  const effect = EFFECT.exec(text.replace(LEADING, ""))?.[1];
  return effect === "permit" || effect === "forbid" ? effect : "unclear";
}

/**
 * A permit that fails denies everything that it is asked about, so taking one away tightens only when it cannot fail.
 */
export function cannotFail(text: string): boolean {
  return !MAY_FAIL.test(text.replace(SILENT, '""'));
}
