import type { OwnTenant, PendingSettings, Tenant, TenantSettings } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { typeThis, usage } from "../failure.ts";
import { limit_arg, parseLimit, take } from "../pages.ts";
import { stepsText } from "../render.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { instant, minute, oneLine, paintFor } from "../text.ts";
import { parsePairs, wholeNumber } from "../values.ts";
import { printTable } from "./runs.ts";

const id_arg = { id: { type: "positional", required: true, description: "a tenant's id, ten_…" } } as const;

/** `gantry tenants …` */
export function tenantsGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "your tenant's settings, and for operators all tenants",
    commands: {
      show: showCommand(io),
      set: setCommand(io),
      list: listCommand(io),
      create: createCommand(io),
      suspend: stateCommand(io, "suspended"),
      resume: stateCommand(io, "active"),
    },
  };
}

const columns: Column<Tenant>[] = [
  { title: "TENANT", cell: ({ id }) => id },
  { title: "SLUG", cell: ({ slug }) => oneLine(slug) },
  { title: "STATE", cell: ({ state }) => state },
  { title: "CREATED", cell: ({ created_at }) => minute(created_at) },
];

function showCommand(io: Terminal): Command {
  return command({
    summary: "your own tenant and its settings",
    args: { ...data_arg, ...json_arg },
    examples: [["gantry tenants show", "who may not approve, and the day's budget"]],
    async run(given) {
      const own = await (await connect(given.data, io)).tenants.own();
      if (given.json === true) io.stdout.write(`${JSON.stringify(own)}\n`);
      else io.stdout.write(ownText(own, io));
      return EXIT.completed;
    },
  });
}

function setCommand(io: Terminal): Command {
  return command({
    summary: "change settings of your own tenant",
    args: {
      setting: {
        type: "positional",
        required: true,
        description: "approval_independence=principal|independent, run_ms_day=MS|none or egress_deny=HOST,…|none",
      },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "What tightens holds at once. What loosens waits until people have approved it: independent -> principal, a " +
        "larger budget, and a host that is denied no longer.",
      "egress_deny is the whole list, and wins over every contract; calls under way to a host that is added are cut.",
    ],
    examples: [
      ["gantry tenants set approval_independence=independent", "who an agent acts for may not approve for it"],
      ["gantry tenants set run_ms_day=3600000", "an hour of run time in a UTC day"],
      ["gantry tenants set egress_deny=pastebin.example,**.ngrok.example", "no run calls these, or what is under them"],
    ],
    async run(given) {
      const settings = settingsOf(given.setting);
      const gantry = await connect(given.data, io);
      const answer = await gantry.tenants.change(settings, (await gantry.tenants.own()).settings_rev);
      if (given.json === true) io.stdout.write(`${JSON.stringify(answer)}\n`);
      else if (isPending(answer)) {
        io.stdout.write(`It loosens, so it waits for people: ${answer.approval}\n`);
        io.stderr.write(stepsText(answer.next_steps, undefined, paintFor(io.stderr, io.env)));
      } else io.stdout.write(ownText(answer, io));
      return EXIT.completed;
    },
  });
}

function isPending(answer: OwnTenant | PendingSettings): answer is PendingSettings {
  return answer.state === "pending";
}

/** @throws Failure exit 2 */
function settingsOf(text: string): Partial<TenantSettings> {
  const [[name = "", value = ""] = []] = Object.entries(parsePairs("a setting", [text]));
  if (name === "approval_independence" && (value === "principal" || value === "independent")) return { [name]: value };
  if (name === "run_ms_day") return { run_ms_day: value === "none" ? null : wholeNumber(name, value) };
  if (name === "egress_deny" && value !== "") return { egress_deny: value === "none" ? [] : value.split(",") };
  throw usage(
    `"${text}" is no setting; there are approval_independence=principal|independent, run_ms_day=MS|none and ` +
      "egress_deny=HOST,…|none.",
  );
}

function ownText({ id, slug, state, settings, settings_rev }: OwnTenant, io: Terminal): string {
  const paint = paintFor(io.stdout, io.env);
  const { approval_independence, run_ms_day, egress_deny = [] } = settings;
  const rows: [string, string][] = [
    ["state", state],
    ["approval_independence", approval_independence],
    ["run_ms_day", run_ms_day === null ? "none" : String(run_ms_day)],
    ["egress_deny", egress_deny.length === 0 ? "none" : oneLine(egress_deny.join(" "))],
    ["revision", String(settings_rev)],
  ];
  const lines = rows.map(([name, value]) => `  ${paint("dim", name.padEnd(21))}  ${value}`);
  return `${[`${paint("bold", oneLine(slug))} ${id}`, ...lines].join("\n")}\n`;
}

function listCommand(io: Terminal): Command {
  return command({
    summary: "every tenant of the installation; for its operator",
    args: { ...limit_arg, ...data_arg, ...json_arg },
    examples: [["gantry tenants list", "the first 20, oldest first"]],
    async run(given) {
      const limit = parseLimit(given.limit);
      const gantry = await connect(given.data, io);
      const { items, more } = await take(limit, (page_limit) => gantry.tenants.pages({ limit: page_limit }));
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more })}\n`);
      else printTable(items, columns, more, ["tenant", "tenants"], io);
      return EXIT.completed;
    },
  });
}

function createCommand(io: Terminal): Command {
  return command({
    summary: "a further tenant, with a human owner; for the operator",
    args: {
      slug: { type: "positional", required: true, description: "its name, 1-63 of a-z, 0-9 and -" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "The owner's token is shown now and never again, alone on standard output. It approves nothing: its owner logs in " +
        "with a link, gantry admin login-link --tenant SLUG.",
    ],
    examples: [["gantry tenants create acme > acme.token", "and keep the token private"]],
    async run(given) {
      const made = await (await connect(given.data, io)).tenants.create(given.slug);
      io.stdout.write(given.json === true ? `${JSON.stringify(made)}\n` : `${made.token.secret}\n`);
      const { tenant, owner, token } = made;
      io.stderr.write(`${tenant.id}, owner ${owner.id}; the token ends ${instant(token.expires_at)}.\n`);
      const step = typeThis("Let its owner in", `npx gantry admin login-link --tenant ${tenant.slug}`);
      io.stderr.write(stepsText([step], undefined, paintFor(io.stderr, io.env)));
      return EXIT.completed;
    },
  });
}

function stateCommand(io: Terminal, state: "active" | "suspended"): Command {
  const is_stop = state === "suspended";
  return command({
    summary: is_stop ? "do nothing more for a tenant" : "serve a suspended tenant again",
    args: { ...id_arg, ...data_arg, ...json_arg },
    examples: [
      is_stop
        ? ["gantry tenants suspend ten_01j…", "all its tokens are refused"]
        : ["gantry tenants resume ten_01j…", "its tokens are good again"],
    ],
    async run(given) {
      const tenant = await (await connect(given.data, io)).tenants.setState(given.id, state);
      if (given.json === true) io.stdout.write(`${JSON.stringify(tenant)}\n`);
      else io.stdout.write(`${oneLine(tenant.slug)} (${tenant.id}) is ${tenant.state}.\n`);
      return EXIT.completed;
    },
  });
}
