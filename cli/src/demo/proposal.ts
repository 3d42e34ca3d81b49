import { ruleLines } from "../rule_text.ts";

/** An egress rule as the server names it. */
export type Rule = Readonly<Record<string, unknown>>;

/**
 * Rules that differ in nothing but their methods are one rule with all of them: what an agent proposes should be short
 * enough to be read.
 */
export function mergeRules(rules: readonly Rule[]): Rule[] {
  const merged = new Map<string, Rule>();
  for (const rule of rules) {
    const { methods, ...rest } = rule;
    const key = JSON.stringify(rest);
    const before = merged.get(key);
    // The members stay in the order that the server gave them.
    const all = [...new Set([...listOf(before?.["methods"]), ...listOf(methods)])];
    merged.set(key, { ...(before ?? rule), methods: all });
  }
  return [...merged.values()];
}

/**
 * The document that the agent proposes: `base`, and below it the rules, each with the secret whose lease it needs.
 * @param base  a contract without `egress`, YAML
 */
export function proposalOf(base: string, rules: readonly Rule[], secret: { name: string; slot: string }): string {
  const lines = rules.flatMap((rule) => [
    ...ruleLines(rule),
    `  secret: {name: ${JSON.stringify(secret.name)}, slot: ${JSON.stringify(secret.slot)}}`,
  ]);
  return `${withoutRemarks(base)}egress:\n${lines.map((line) => `  ${line}`).join("\n")}\n`;
}

/** A document without its lines of remarks: what a person compares should be what holds. Ends with a newline. */
export function withoutRemarks(document: string): string {
  const lines = document.split("\n").filter((line) => !line.startsWith("#"));
  return `${lines
    .join("\n")
    .replaceAll(/\n{2,}/g, "\n")
    .trim()}\n`;
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** A credential, so that one sees what it is and cannot use it: `gl_rqb8… (42 characters)`. */
export function masked(secret: string): string {
  return `${secret.slice(0, 7)}… (${secret.length} characters)`;
}
