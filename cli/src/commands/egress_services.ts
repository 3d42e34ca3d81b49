import type { EgressProtocol, EgressService } from "@gantry/sdk";
import { type Command, command, type Group, type Repeated } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { oneLine } from "../text.ts";
import { wholeNumber } from "../values.ts";
import { printTable } from "./runs.ts";

const name_arg = {
  name: { type: "positional", required: true, description: "a service's name, as github-api" },
} as const;

/** `gantry egress services …` */
export function servicesGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "the catalogue: names for rules to use instead of hosts",
    commands: { list: listCommand(io), set: setCommand(io), rm: removeCommand(io) },
  };
}

const columns: Column<EgressService>[] = [
  { title: "SERVICE", cell: ({ name }) => oneLine(name) },
  { title: "CLASS", cell: (service) => oneLine(service.class) },
  { title: "ENVIRONMENT", cell: ({ environment }) => oneLine(environment) },
  { title: "PROTOCOL", cell: ({ protocol, ports }) => [protocol, ...(ports ?? [])].join(" ") },
  { title: "METHODS", cell: ({ methods }) => oneLine((methods ?? []).join(" ")), shrink: true },
  { title: "HOSTS", cell: ({ hosts }) => oneLine(hosts.join(" ")), shrink: true },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "every service, with its environment and hosts",
    args: { ...data_arg, ...json_arg },
    examples: [["gantry egress services list", "what a rule may name as service:"]],
    async run(given) {
      const items = await (await connect(given.data, io)).egress.services.list();
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more: false })}\n`);
      else printTable(items, columns, false, ["service", "services"], io);
      return EXIT.completed;
    },
  });
}

function setCommand(io: Terminal): Command {
  return command({
    summary: "put a service into the catalogue, or change it",
    args: {
      ...name_arg,
      class: {
        type: "string",
        valueHint: "NAME",
        description: "what kind of service it is, as source-control (needed)",
      },
      environment: { type: "string", valueHint: "NAME", description: "where it belongs, as production (needed)" },
      host: {
        type: "string",
        valueHint: "HOST ...",
        description: "a host, or a pattern as *.example.com (repeatable)",
      },
      protocol: { type: "enum", options: ["http", "https", "ws", "wss", "tcp", "tls"], description: "default https" },
      port: { type: "string", valueHint: "N ...", description: "default: the protocol's (repeatable)" },
      method: { type: "string", valueHint: "METHOD ...", description: "what a rule gets that names none (repeatable)" },
      "data-class": {
        type: "enum",
        options: ["public", "internal", "confidential", "restricted"],
        description: "of what may be sent there",
      },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "A rule says service: NAME instead of hosts and protocol. It is filled in when the contract is applied: a later change " +
        "here reaches a contract when it is applied again.",
      "A service is refused to a contract whose targets do not name its environment (EGRESS_ENVIRONMENT).",
    ],
    examples: [
      [
        "gantry egress services set github-api --class source-control --environment production --host api.github.com",
        "rules then say service: github-api",
      ],
    ],
    async run(given, repeated) {
      const entry = entryOf(given, repeated);
      const set = await (await connect(given.data, io)).egress.services.set(entry);
      if (given.json === true) io.stdout.write(`${JSON.stringify(set)}\n`);
      else io.stdout.write(`${oneLine(set.name)} is in the catalogue\n`);
      return EXIT.completed;
    },
  });
}

/** @throws Failure exit 2 */
function entryOf(
  given: { name: string } & Partial<Record<"class" | "environment" | "protocol" | "data-class", string | undefined>>,
  repeated: Repeated,
): EgressService {
  const { name, environment, protocol = "https" } = given;
  const hosts = repeated("host");
  if (given.class === undefined) throw usage("--class is missing: say what kind of service it is, as source-control.");
  if (environment === undefined) throw usage("--environment is missing: say where it belongs, as production.");
  if (hosts.length === 0) throw usage("--host is missing: name at least one.");
  const ports = repeated("port").map((text) => wholeNumber("--port", text));
  const methods = repeated("method").map((text) => text.toUpperCase());
  const data_class = given["data-class"] as EgressService["data_class"];
  return {
    name,
    class: given.class,
    environment,
    hosts,
    protocol: protocol as EgressProtocol,
    ...(ports.length === 0 ? {} : { ports }),
    ...(methods.length === 0 ? {} : { methods }),
    ...(data_class === undefined ? {} : { data_class }),
  };
}

function removeCommand(io: Terminal): Command {
  return command({
    summary: "take a service out of the catalogue",
    args: { ...name_arg, ...data_arg, ...json_arg },
    notes: ["Contracts that were applied keep what they say; one that names it cannot be applied again."],
    examples: [["gantry egress services rm github-api", "no new contract names it"]],
    async run(given) {
      const { name } = given;
      await (await connect(given.data, io)).egress.services.remove(name);
      io.stdout.write(given.json === true ? `${JSON.stringify({ name })}\n` : `${oneLine(name)} removed\n`);
      return EXIT.completed;
    },
  });
}
