import { type CatalogueService, type ContractDocument, EGRESS_RULES_MAX, type EgressRule } from "../contract.ts";
import { methodsOf } from "../engine/egress_match.ts";
import { type Fields, NAME } from "./fields.ts";
import { Problems, readTree, type Tree } from "./yaml_tree.ts";

/** Entries of a tenant's catalogue by name, as they were found for one document. */
export type FoundServices = ReadonlyMap<string, CatalogueService>;

/** What the catalogue says of a rule, and the rule so cannot. */
const OF_CATALOGUE = ["hosts", "protocol", "ports"] as const;

type Taken = Pick<EgressRule, "hosts" | "protocol" | "ports" | "methods" | "data_class" | "service" | "environment">;

/**
 * What a rule has that names a service: where it goes is the catalogue's, and it may narrow the methods.
 * @param own  what the rule itself says, as far as it is right.
 * @returns undefined when there is no such service; that is said.
 */
export function takeService(
  fields: Fields<(typeof OF_CATALOGUE)[number] | "service" | "methods" | "data_class">,
  own: Pick<EgressRule, "methods" | "data_class">,
  services: FoundServices,
): Taken | undefined {
  for (const key of OF_CATALOGUE) {
    if (fields.has(key))
      fields.problem(key, `${key} is what the catalogue says of the service: leave it out, or service.`);
  }
  const service = fields.text("service", NAME);
  if (service === undefined) return undefined;
  const found = services.get(service);
  if (found === undefined) {
    fields.problem("service", `The tenant's catalogue has no service ${service}.`);
    return undefined;
  }
  const granted = methodsOf(found);
  const further = own.methods?.filter((method) => !granted.includes(method)) ?? [];
  if (further.length > 0) {
    fields.problem(
      "methods",
      `The service ${service} has ${granted.join(", ")}; a rule names fewer, and not ${further.join(", ")}.`,
    );
  }
  if (own.data_class !== undefined && found.data_class !== undefined && own.data_class !== found.data_class) {
    fields.problem("data_class", `data_class is ${found.data_class} in the catalogue: leave it out.`);
  }
  const methods = own.methods ?? found.methods;
  const data_class = own.data_class ?? found.data_class;
  return {
    hosts: [...found.hosts].sort(),
    protocol: found.protocol,
    ...(found.ports === undefined ? {} : { ports: [...found.ports].sort((a, b) => a - b) }),
    ...(methods === undefined ? {} : { methods: [...methods].sort() }),
    ...(data_class === undefined ? {} : { data_class }),
    service,
    environment: found.environment,
  };
}

/** The rule as a document says it that names a service. */
export function withoutTaken({ service, ...rule }: EgressRule): Partial<EgressRule> {
  if (service === undefined) return rule;
  const { hosts: _hosts, protocol: _protocol, ports: _ports, environment: _environment, ...own } = rule;
  return { service, ...own };
}

/** The services that a document names, before it is read in full; whatever is wrong with it is said then. */
export function namedServices({ text }: ContractDocument): string[] {
  if (!text.includes("service")) return [];
  const tree = readTree(text, new Problems());
  const rules = memberOf(tree, "egress")?.value;
  if (typeof rules !== "object" || rules?.type !== "list") return [];
  // A document with more rules than it may have is refused, whatever they name.
  const names = rules.items.slice(0, EGRESS_RULES_MAX).map((rule) => memberOf(rule, "service")?.value);
  return [...new Set(names.filter((name) => typeof name === "string"))].filter(NAME.is);
}

function memberOf(tree: Tree | undefined, key: string): Tree | undefined {
  const value = tree?.value;
  if (typeof value !== "object" || value?.type !== "map") return undefined;
  return value.members.find((member) => member.key.value === key)?.value;
}
