import type { Delivery, Gantry, Webhook, WebhookEvent } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { limit_arg, parseLimit, take } from "../pages.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { minute, oneLine, paintFor } from "../text.ts";
import { printTable } from "./runs.ts";

/** How long `test` looks for what became of its notice; an attempt takes 10 s at most. */
const TEST_MS = 15_000;
const LOOK_MS = 100;

/** `gantry webhooks …` */
export function webhooksGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "have programs told what happens to approvals",
    commands: {
      list: listCommand(io),
      add: addCommand(io),
      test: testCommand(io),
      deliveries: deliveriesCommand(io),
      rm: removeCommand(io),
    },
  };
}

const id_arg = { id: { type: "positional", required: true, description: "a webhook's id, whk_…" } } as const;

const columns: Column<Webhook>[] = [
  { title: "WEBHOOK", cell: ({ id }) => oneLine(id) },
  { title: "URL", cell: ({ url }) => oneLine(url), shrink: true },
  { title: "WAITING", cell: ({ waiting }) => String(waiting), align: "right" },
  { title: "DEAD", cell: ({ dead }) => String(dead), align: "right" },
  { title: "EVENTS", cell: eventsText, shrink: true },
];

/** Those that there are, in this version; a webhook that is told of all stays with those that there were. */
const EVENTS_ALL = 9;

function eventsText({ events }: Webhook): string {
  return events.length === EVENTS_ALL ? "all" : oneLine(events.join(" "));
}

function listCommand(io: Terminal): Command {
  return command({
    summary: "who is told, and what could not be delivered",
    args: { ...data_arg, ...json_arg },
    examples: [["gantry webhooks list", "with the notices that wait, and those that were given up"]],
    async run(given) {
      const items = await (await connect(given.data, io)).webhooks.list();
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more: false })}\n`);
      else printTable(items, columns, false, ["webhook", "webhooks"], io);
      return EXIT.completed;
    },
  });
}

function addCommand(io: Terminal): Command {
  return command({
    summary: "have a URL told, and get the secret that signs",
    args: {
      url: { type: "positional", required: true, description: "where to send notices, https://…" },
      event: { type: "string", valueHint: "NAME ...", description: "only this one; may be repeated (default all)" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "The secret is shown once. Notices are signed as standard-webhooks says; docs/approvals.md has a verifier. To change " +
        "a secret, add a second webhook and remove the first.",
    ],
    examples: [
      ["gantry webhooks add https://hooks.example.com/in", "told everything"],
      ["gantry webhooks add https://hooks.example.com/in --event glass.broken", "told this alone"],
    ],
    async run(given, repeated) {
      const events = repeated("event") as WebhookEvent[];
      const gantry = await connect(given.data, io);
      const made = await gantry.webhooks.add({ url: given.url, ...(events.length === 0 ? {} : { events }) });
      if (given.json === true) {
        io.stdout.write(`${JSON.stringify(made)}\n`);
        return EXIT.completed;
      }
      io.stderr.write(`${oneLine(made.id)} is told of ${oneLine(made.events.join(", "))}. Its secret, shown once:\n`);
      io.stdout.write(`${oneLine(made.secret)}\n`);
      return EXIT.completed;
    },
  });
}

const delivery_columns: Column<Delivery>[] = [
  { title: "NOTICE", cell: ({ id }) => oneLine(id) },
  { title: "CREATED", cell: ({ created_at }) => minute(created_at) },
  { title: "EVENT", cell: ({ event }) => oneLine(event) },
  { title: "STATE", cell: ({ state }) => oneLine(state) },
  { title: "TRIES", cell: ({ attempts }) => String(attempts), align: "right" },
  { title: "NEXT", cell: ({ due_at }) => (due_at === null ? "" : minute(due_at)) },
  { title: "ERROR", cell: ({ error }) => oneLine(error ?? ""), shrink: true },
];

function deliveriesCommand(io: Terminal): Command {
  return command({
    summary: "what became of the notices to a webhook",
    args: { ...id_arg, ...limit_arg, ...data_arg, ...json_arg },
    examples: [["gantry webhooks deliveries whk_01j…", "the newest, with what was wrong"]],
    async run(given) {
      const limit = parseLimit(given.limit);
      const gantry = await connect(given.data, io);
      const { items, more } = await take(limit, (page) => gantry.webhooks.deliveryPages(given.id, { limit: page }));
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more })}\n`);
      else printTable(items, delivery_columns, more, ["notice", "notices"], io);
      return EXIT.completed;
    },
  });
}

function testCommand(io: Terminal): Command {
  return command({
    summary: "send one notice, and see whether it arrives",
    args: { ...id_arg, ...data_arg, ...json_arg },
    examples: [["gantry webhooks test whk_01j…", "exits 1 when it does not arrive at the first try"]],
    async run(given) {
      const gantry = await connect(given.data, io);
      const sent = await gantry.webhooks.test(given.id);
      const tried = await firstTry(gantry, given.id, sent);
      const paint = paintFor(io.stdout, io.env);
      const has_arrived = tried.state === "delivered";
      if (given.json === true) io.stdout.write(`${JSON.stringify(tried)}\n`);
      else if (has_arrived) io.stdout.write(`${paint("green", "delivered")}  status ${tried.status}\n`);
      else io.stdout.write(`${paint("red", "not delivered")}  ${oneLine(tried.error ?? "it was not tried yet")}\n`);
      return has_arrived ? EXIT.completed : EXIT.threw;
    },
  });
}

/** The notice after its first attempt, or as it is after a while. */
async function firstTry(gantry: Gantry, webhook: string, sent: Delivery): Promise<Delivery> {
  let seen = sent;
  for (const end = performance.now() + TEST_MS; performance.now() < end; ) {
    const { items } = await gantry.webhooks.deliveries(webhook);
    seen = items.find(({ id }) => id === sent.id) ?? seen;
    if (seen.attempts > 0 || seen.state !== "waiting") return seen;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return seen;
}

function removeCommand(io: Terminal): Command {
  return command({
    summary: "tell a webhook nothing more",
    args: { ...id_arg, ...data_arg, ...json_arg },
    examples: [["gantry webhooks rm whk_01j…", "what waited for it is dropped, too"]],
    async run(given) {
      await (await connect(given.data, io)).webhooks.remove(given.id);
      io.stdout.write(given.json === true ? `${JSON.stringify({ id: given.id })}\n` : `${oneLine(given.id)} removed\n`);
      return EXIT.completed;
    },
  });
}
