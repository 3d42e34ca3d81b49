import { isMap, isSeq, parse, parseDocument } from "yaml";
import { GantryError } from "../kernel/errors.ts";
import { MCP_RULES_MAX, mcp_errors } from "./contract.ts";
import { ruleYaml } from "./parts.ts";

/**
 * A contract's document with rules in front of those that it has, so that they count first. What else stands in it stays,
 * comments included.
 * @param rules  objects, or YAML text of one rule or a list of them; `egress:` may stand above.
 * @throws MCP_ARGUMENTS
 */
export function withRules(source: string, rules: string | readonly Record<string, unknown>[]): string {
  const added = typeof rules === "string" ? rulesOf(rules) : rules;
  if (added.length === 0 || added.length > MCP_RULES_MAX) {
    throw unreadable(`it has ${added.length} rules where 1 to ${MCP_RULES_MAX} are expected`);
  }
  const document = parseDocument(source);
  if (document.errors.length > 0 || !isMap(document.contents)) {
    throw unreadable("the contract's own document cannot be added to: propose the whole `document`");
  }
  const egress = document.get("egress", true);
  const nodes = added.map((rule) => document.createNode(rule));
  if (isSeq(egress)) {
    // Between braces there is no room for blocks.
    egress.flow = false;
    egress.items.unshift(...nodes);
  } else document.set("egress", document.createNode(added));
  return document.toString({ lineWidth: 0 });
}

function rulesOf(text: string): Record<string, unknown>[] {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw unreadable(`it is not YAML: ${(error as Error).message.split("\n")[0] ?? ""}`);
  }
  const inner = isRecord(value) && "egress" in value ? value["egress"] : value;
  const rules = Array.isArray(inner) ? inner : [inner];
  if (rules.every(isRecord)) return rules;
  throw unreadable("it is not a list of rules");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unreadable(what: string): GantryError {
  const like = ruleYaml({ hosts: ["api.example.com"], protocol: "https", methods: ["GET"], paths: ["/v1/*"] });
  return new GantryError(mcp_errors.ARGUMENTS, {
    detail: `\`add_egress\` cannot be used: ${what}.`,
    next_steps: [{ kind: "change", text: `Rules look like this:\n${like}` }],
  });
}
