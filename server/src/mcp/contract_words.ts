import type { ContractSummary } from "@gantry/sdk";

type Fields = Record<string, unknown>;

/** What a contract allows, in sentences. The document says it exactly; this says what to look at. */
export function wordsOf(summary: ContractSummary): string[] {
  const { name, version, class: its_class, built_in, state, suspension, pending, contract } = summary;
  const lines = [
    `${name}@${version} is ${built_in ? "a built-in contract" : `an heir of ${String(contract["extends"])}`} of the class ${its_class}.`,
  ];
  if (state === "suspended") {
    lines.push(
      `It is SUSPENDED${suspension === null ? "" : ` (${suspension.metric})`}: its runs are refused until people lift that.`,
    );
  }
  if (pending !== null) lines.push(`Version ${pending.version} waits for people: ${pending.approval}.`);
  return [...lines, ...actsOn(contract), ...calls(contract, built_in), ...asksFor(contract), ...gates(contract)];
}

function actsOn({ targets, tools, data }: Fields): string[] {
  const lines = [];
  const named = texts(targets);
  lines.push(named.length === 0 ? "Runs act on no environment: leave `target` out." : `Targets: ${named.join(", ")}.`);
  const tool_names = list(tools).map(({ name }) => String(name));
  if (tool_names.length > 0) lines.push(`Tools: ${tool_names.join(", ")}.`);
  const { reads, writes } = fieldsOf(data);
  if (texts(reads).length > 0) lines.push(`Reads data of the classes: ${texts(reads).join(", ")}.`);
  if (texts(writes).length > 0) lines.push(`Writes data of the classes: ${texts(writes).join(", ")}.`);
  return lines;
}

function calls({ egress, budgets }: Fields, built_in: boolean): string[] {
  const rules = list(egress);
  if (rules.length === 0) {
    const heir = built_in ? " A contract that extends it may, where its class has a network." : "";
    return [`Runs call nothing outside.${heir}`];
  }
  const { egress_calls_max } = fieldsOf(budgets);
  const most = egress_calls_max === undefined ? "" : `, at most ${String(egress_calls_max)} calls`;
  return [`Runs may call${most}:`, ...rules.map(ruleInWords)];
}

function ruleInWords(rule: Fields): string {
  const { id, hosts, protocol, ports, methods, paths, secret, effect } = rule;
  const where = texts(hosts).join(", ");
  const which = texts(ports).length === 0 ? "" : `, port ${texts(ports).join(", ")}`;
  const how = texts(methods).length === 0 ? "GET, HEAD" : texts(methods).join(", ");
  const paths_said = texts(paths).length === 0 ? "" : `, paths ${texts(paths).join(", ")}`;
  const { name, slot } = fieldsOf(secret);
  const credential =
    name === undefined
      ? ""
      : `; env.${String(name).toUpperCase().replaceAll("-", "_")} is its credential (${String(slot)})`;
  const changes = effect === true ? "; each call is recorded before it leaves" : "";
  return `- ${id === undefined ? "" : `${String(id)}: `}${how} ${where} by ${String(protocol)}${which}${paths_said}${credential}${changes}`;
}

function asksFor({ require, isolation, limits }: Fields): string[] {
  const asked = texts(require);
  const ceilings = Object.entries(fieldsOf(limits)).map(([limit, most]) => `${limit} ${String(most)}`);
  return [
    ...(asked.length === 0 ? [] : [`A request must carry: ${asked.join(", ")}.`]),
    `Isolation: ${String(isolation)}. Ceilings: ${ceilings.join(", ")}.`,
  ];
}

function gates({ gates: rules }: Fields): string[] {
  const lines = list(rules).map(({ on, name, quorum }) => {
    const action = on === "*" ? "Every action" : String(on);
    return `${action} waits until ${String(quorum)} ${quorum === 1 ? "person approves" : "people approve"} (gate ${String(name)}).`;
  });
  return lines.length === 0 ? ["No action under it waits for people."] : lines;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
