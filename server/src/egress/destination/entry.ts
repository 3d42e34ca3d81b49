import { GantryError, type Problem } from "../../kernel/errors.ts";
import { isExactHost, isHostPattern } from "../../kernel/hosts.ts";
import { CONTRACT_ITEMS_MAX, DATA_CLASSES, isMethod, isName } from "../../policy/contract.ts";
import { egress_errors, PROTOCOLS, type ServiceEntry } from "../contract.ts";

const NAME = "has 1 to 63 of a-z, 0-9 and -, and starts with a letter";
const HOST =
  "is a name in lower case without scheme, port and trailing dot, e.g. api.example.com; * is one label, ** one or more, and an address stands whole";

/**
 * An entry of the catalogue as it is kept: what a rule of a contract could say itself, its lists in one order.
 * @throws EGRESS_SERVICE with every problem.
 */
export function readEntry(entry: ServiceEntry): ServiceEntry {
  const problems = problemsOf(entry);
  if (problems.length > 0) {
    const count = problems.length === 1 ? "one problem" : `${problems.length} problems`;
    const detail = `The service has ${count}. ${problems[0]?.text ?? ""}`;
    throw new GantryError(egress_errors.SERVICE, { detail, problems });
  }
  const { name, class: kind, environment, hosts, protocol, ports, methods, data_class } = entry;
  return {
    name,
    class: kind,
    environment,
    hosts: [...hosts].sort(),
    protocol,
    ...(ports === undefined ? {} : { ports: [...ports].sort((a, b) => a - b) }),
    ...(methods === undefined ? {} : { methods: [...methods].sort() }),
    ...(data_class === undefined ? {} : { data_class }),
  };
}

function problemsOf(entry: ServiceEntry): Problem[] {
  const problems: Problem[] = [];
  const add = (at: string, text: string) => void problems.push({ at, text });
  for (const key of ["name", "class", "environment"] as const) {
    if (!isName(entry[key])) add(`/${key}`, `${key} ${NAME}.`);
  }
  if (!PROTOCOLS.includes(entry.protocol)) add("/protocol", `protocol is ${PROTOCOLS.join(" or ")}.`);
  if (entry.data_class !== undefined && !DATA_CLASSES.includes(entry.data_class)) {
    add("/data_class", `data_class is ${DATA_CLASSES.join(" or ")}.`);
  }
  judgeList("hosts", entry.hosts, CONTRACT_ITEMS_MAX.hosts, isHostPattern, HOST, add);
  judgeList("ports", entry.ports, CONTRACT_ITEMS_MAX.ports, isPort, "is a whole number from 1 to 65535", add);
  judgeList("methods", entry.methods, CONTRACT_ITEMS_MAX.methods, isMethod, "is a method in capitals, e.g. GET", add);
  const { protocol } = entry;
  if (protocol === "tcp" || protocol === "tls") {
    if (!entry.hosts.every(isExactHost))
      add("/hosts", `A service of ${protocol} names its hosts exactly, without a star.`);
    if (entry.ports === undefined) add("/ports", `A service of ${protocol} names its ports, e.g. 5432.`);
  }
  if (entry.methods !== undefined && protocol !== "http" && protocol !== "https") {
    add("/methods", `methods is for http and https; ${protocol} has none.`);
  }
  return problems;
}

function judgeList<T extends string | number>(
  key: string,
  items: readonly T[] | undefined,
  max: number,
  isRight: (item: T) => boolean,
  right: string,
  add: (at: string, text: string) => void,
): void {
  if (items === undefined) return;
  if (items.length < 1 || items.length > max) {
    add(`/${key}`, `${key} has ${items.length} items; it takes 1 to ${max}.`);
    return;
  }
  for (const [i, item] of items.entries()) {
    if (!isRight(item)) add(`/${key}/${i}`, `An item of ${key} ${right}.`);
    if (items.indexOf(item) !== i) add(`/${key}/${i}`, `An item stands twice in ${key}.`);
  }
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
