import type { Lease } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { minute, oneLine } from "../text.ts";
import { printTable } from "./runs.ts";

/** `gantry leases …` */
export function leasesGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "which runs may use which secrets",
    commands: { list: listCommand(io), revoke: revokeCommand(io) },
  };
}

const columns: Column<Lease>[] = [
  { title: "LEASE", cell: ({ id }) => oneLine(id) },
  { title: "SECRET", cell: ({ secret }) => oneLine(secret) },
  { title: "RUN", cell: ({ subject }) => oneLine(subject) },
  { title: "STATE", cell: stateText },
  { title: "UNTIL", cell: ({ not_after_at }) => minute(not_after_at) },
  { title: "SLOT", cell: ({ slot }) => oneLine(slot) },
  { title: "METHODS", cell: ({ methods }) => oneLine(methods.join(" ")), shrink: true },
  { title: "HOSTS", cell: ({ hosts }) => oneLine(hosts.join(" ")), shrink: true },
];

/** A lease ends with its run, or when somebody ends it, and else at its time. Times are the server's. */
function stateText({ revoked_at, not_after_at }: Lease): string {
  if (revoked_at !== null) return "ended";
  return not_after_at > Date.now() ? "good" : "expired";
}

function listCommand(io: Terminal): Command {
  return command({
    summary: "leases whose time has not run out",
    args: { ...data_arg, ...json_arg },
    notes: [
      "A lease ends with its run. What a run finds in its environment is the lease's word, which is not shown here.",
    ],
    examples: [["gantry leases list", "who could use what, and for how long"]],
    async run(given) {
      const items = await (await connect(given.data, io)).leases.list();
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more: false })}\n`);
      else printTable(items, columns, false, ["lease", "leases"], io);
      return EXIT.completed;
    },
  });
}

function revokeCommand(io: Terminal): Command {
  return command({
    summary: "end a lease before its time",
    args: { id: { type: "positional", required: true, description: "a lease's id, lse_…" }, ...data_arg, ...json_arg },
    notes: ["The run goes on without it: its calls get LEASE_REVOKED, and those under way with it are cut."],
    examples: [["gantry leases revoke lse_01j…", "that run alone; gantry secrets rm does it for all"]],
    async run(given) {
      const { id } = given;
      await (await connect(given.data, io)).leases.revoke(id);
      io.stdout.write(given.json === true ? `${JSON.stringify({ id })}\n` : `${oneLine(id)} revoked\n`);
      return EXIT.completed;
    },
  });
}
