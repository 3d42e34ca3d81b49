import { type Approval, type ApprovalStatus, type Gantry, isApiError } from "@gantry/sdk";
import { approvalPage, spanText } from "../approval_page.ts";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { limit_arg, parseLimit, take } from "../pages.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { count, minute, oneLine, paintFor } from "../text.ts";
import { printTable } from "./runs.ts";

const STATUSES = [
  "pending",
  "approved",
  "declined",
  "expired",
  "superseded",
  "executed",
  "broken_glass",
] as const satisfies readonly ApprovalStatus[];

/** `gantry approvals …` */
export function approvalsGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "see what waits for people",
    commands: { list: listCommand(io), show: showCommand(io) },
  };
}

function columns(now: number): Column<Approval>[] {
  return [
    { title: "APPROVAL", cell: ({ id }) => oneLine(id) },
    { title: "CREATED", cell: ({ created_at }) => minute(created_at) },
    { title: "STATUS", cell: ({ status }) => oneLine(status) },
    {
      title: "LEFT",
      cell: ({ status, statement }) => (status === "pending" ? spanText(statement.not_after - now) : ""),
      align: "right",
    },
    {
      title: "VOTES",
      cell: ({ votes, statement }) => `${votes.filter(({ vote }) => vote === "approve").length}/${statement.quorum}`,
      align: "right",
    },
    { title: "GATE", cell: ({ statement }) => oneLine(statement.gate), shrink: true },
    { title: "WHAT", cell: ({ preview }) => oneLine(preview.summary), shrink: true },
  ];
}

function listCommand(io: Terminal): Command {
  return command({
    summary: "what waits for people, newest first",
    args: {
      status: {
        type: "string",
        valueHint: "STATUS",
        description: `those that stand so: ${STATUSES.join(", ")} or all (default pending)`,
      },
      ...limit_arg,
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry approvals list", "what you might have to decide"],
      ["gantry approvals list --status all --json", "every one that there ever was, for a program"],
    ],
    async run(given) {
      const limit = parseLimit(given.limit);
      const status = statusOf(given.status ?? "pending");
      const gantry = await connect(given.data, io);
      const { items, more } = await take(limit, (page_limit) =>
        gantry.approvals.pages({ limit: page_limit, ...(status === "all" ? {} : { status }) }),
      );
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more })}\n`);
      else printTable(items, columns(Date.now()), more, ["approval", "approvals"], io);
      await warnOfDeadNotices(gantry, io);
      return EXIT.completed;
    },
  });
}

/** @throws Failure exit 2 */
function statusOf(text: string): ApprovalStatus | "all" {
  const found = ([...STATUSES, "all"] as const).find((one) => one === text);
  if (found !== undefined) return found;
  throw usage(`--status is one of ${STATUSES.join(", ")} or all, not "${text}".`);
}

/** Who counts on being told should hear that they were not. */
async function warnOfDeadNotices(gantry: Gantry, io: Terminal): Promise<void> {
  const webhooks = await gantry.webhooks.list().catch((error: unknown) => {
    // Whoever may see approvals may see webhooks; a server that has none says nothing.
    if (isApiError(error)) return [];
    throw error;
  });
  const dead = webhooks.reduce((sum, webhook) => sum + webhook.dead, 0);
  if (dead === 0) return;
  const warn = paintFor(io.stderr, io.env)("yellow", "warn");
  io.stderr.write(`${warn} ${count(dead, "notice")} could not be delivered: see gantry webhooks list.\n`);
}

function showCommand(io: Terminal): Command {
  return command({
    summary: "one approval, as whoever decides should read it",
    args: {
      id: { type: "positional", required: true, description: "an approval's id, apr_…" },
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry approvals show apr_01j…", "who wants what, what is new about it, the code, the reach, the votes"],
      ["gantry approvals show apr_01j… --json", "with the statement whose hash a vote names"],
    ],
    async run(given) {
      const gantry = await connect(given.data, io);
      const view = await gantry.approvals.get(given.id);
      if (given.json === true) io.stdout.write(`${JSON.stringify(view)}\n`);
      else io.stdout.write(pageOf(view, io));
      return EXIT.completed;
    },
  });
}

/** The page on this terminal, as wide as is still easy to read. */
export function pageOf(view: Approval, io: Terminal): string {
  const width = io.stdout.tty ? Math.max(40, Math.min(io.stdout.columns, 120)) : 80;
  return approvalPage(view, { paint: paintFor(io.stdout, io.env), width, now: Date.now() });
}
