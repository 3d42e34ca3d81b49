import type { Approval, Gantry } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { Failure, typeThis, usage } from "../failure.ts";
import type { Terminal } from "../terminal.ts";
import { count, instant, oneLine } from "../text.ts";
import { wholeNumber } from "../values.ts";
import { pageOf } from "./approvals.ts";

const GLASS_MINUTES = 30;

const id_arg = { id: { type: "positional", required: true, description: "an approval's id, apr_…" } } as const;
const hash_arg = {
  "statement-hash": {
    type: "string",
    valueHint: "HASH",
    description: "the hash of the statement that you have read; needed where nobody can be asked",
  },
} as const;
const SEEN =
  "What you decide about is what is shown: its hash is computed here, compared with the server's, and sent with your " +
  "decision. Change one byte of it and the decision is void.";

/** `gantry approve` */
export function approveCommand(io: Terminal): Command {
  return command({
    summary: "say yes to exactly what an approval shows",
    args: {
      ...id_arg,
      note: { type: "string", valueHint: "TEXT", description: "what you looked at, for whoever reads this later" },
      ...hash_arg,
      ...data_arg,
      ...json_arg,
    },
    notes: [SEEN, "It takes a human's own token (gantry login). Nobody approves what they asked for or wrote."],
    examples: [
      ["gantry approve apr_01j…", "shows it and asks"],
      ["gantry approve apr_01j… --statement-hash 9f2c…", "after gantry approvals show --json"],
    ],
    async run(given) {
      const gantry = await connect(given.data, io);
      const { statement_hash } = await seen(
        gantry,
        given.id,
        given["statement-hash"],
        "approve",
        io,
        given.json === true,
      );
      const note = given.note === undefined ? {} : { note: given.note };
      const view = await gantry.approvals.vote(given.id, { vote: "approve", statement_hash, ...note });
      say(view, given.json === true, io);
      return EXIT.completed;
    },
  });
}

/** `gantry decline` */
export function declineCommand(io: Terminal): Command {
  return command({
    summary: "say no, which ends it whatever others said",
    args: {
      ...id_arg,
      reason: { type: "string", valueHint: "TEXT", description: "why, for whoever asked" },
      ...data_arg,
      ...json_arg,
    },
    notes: ["One no is enough, until the action has started."],
    examples: [['gantry decline apr_01j… --reason "the host list is too wide"', "it asks nothing and ends it"]],
    async run(given) {
      if (given.reason === undefined || given.reason.trim() === "") {
        throw usage("--reason is missing: whoever asked should know why not.");
      }
      const gantry = await connect(given.data, io);
      const statement_hash = await checked(gantry, await gantry.approvals.get(given.id));
      const view = await gantry.approvals.vote(given.id, { vote: "decline", statement_hash, note: given.reason });
      say(view, given.json === true, io);
      return EXIT.completed;
    },
  });
}

/** `gantry break-glass` */
export function breakGlassCommand(io: Terminal): Command {
  return command({
    summary: "decide alone, for a time, and owe a review",
    args: {
      ...id_arg,
      reason: {
        type: "string",
        valueHint: "TEXT",
        description: "why it cannot wait, 20-2,000 characters",
      },
      minutes: { type: "string", valueHint: "N", description: `how long it holds, 1-240 (default ${GLASS_MINUTES})` },
      ...hash_arg,
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "It replaces the number of people, and nothing else: policy and limits hold, everything is recorded, everybody who " +
        "wants to be told is told. Nothing privileged starts afterwards until another human has closed the review.",
      SEEN,
    ],
    examples: [['gantry break-glass apr_01j… --reason "checkout is down since noon"', "shows it and asks"]],
    async run(given) {
      if (given.reason === undefined) throw usage("--reason is missing: say why it cannot wait for others.");
      const minutes = given.minutes === undefined ? GLASS_MINUTES : wholeNumber("--minutes", given.minutes);
      const { reason } = given;
      const gantry = await connect(given.data, io);
      const hash = given["statement-hash"];
      const { statement_hash } = await seen(gantry, given.id, hash, "break the glass", io, given.json === true);
      const view = await gantry.approvals.breakGlass(given.id, { reason, minutes, statement_hash });
      say(view, given.json === true, io);
      return EXIT.completed;
    },
  });
}

/**
 * Makes sure that somebody has seen what they decide about: at a terminal it is shown and they are asked; elsewhere they
 * bring the hash, which they have from having read it. There is no way around that.
 */
async function seen(
  gantry: Gantry,
  id: string,
  hash: string | undefined,
  what: string,
  io: Terminal,
  json: boolean,
): Promise<{ statement_hash: string }> {
  if (hash === undefined && (!io.interactive || json)) {
    throw usage("Nobody can be asked here, so --statement-hash must say what was read.", {
      next_steps: [typeThis("Read it; statement_hash is the hash", `npx gantry approvals show ${oneLine(id)} --json`)],
    });
  }
  const view = await gantry.approvals.get(id);
  const statement_hash = await checked(gantry, view);
  if (hash !== undefined) {
    if (hash === statement_hash) return { statement_hash };
    throw usage(`The statement of ${oneLine(id)} has another hash than the one that you read: ${statement_hash}.`);
  }
  // To whom it may concern reads standard error, too, when the output goes to a file.
  const out = io.stdout.tty ? io.stdout : io.stderr;
  out.write(`${pageOf(view, io)}\n`);
  const answer = await io.ask(`Type yes to ${what}: `);
  if (answer.trim() === "yes") return { statement_hash };
  throw new Failure(EXIT.threw, "Nothing was decided.");
}

/** @throws Failure exit 3  what is shown is not what would be decided about. */
async function checked(gantry: Gantry, view: Approval): Promise<string> {
  try {
    return await gantry.approvals.check(view);
  } catch (error) {
    throw new Failure(
      EXIT.denied,
      `${(error as Error).message} Decide nothing about it, and tell whoever operates it.`,
    );
  }
}

function say(view: Approval, json: boolean, io: Terminal): void {
  if (json) io.stdout.write(`${JSON.stringify(view)}\n`);
  else io.stdout.write(`${oneLine(view.id)} ${stateText(view)}\n`);
}

function stateText({ status, votes, statement, execute_before_at, break_glass }: Approval): string {
  const missing = statement.quorum - votes.filter(({ vote }) => vote === "approve").length;
  switch (status) {
    case "pending":
      return `waits for ${count(missing, "more approval")}`;
    case "approved":
      return execute_before_at === null ? "approved" : `approved; it may start until ${instant(execute_before_at)}`;
    case "broken_glass":
      return break_glass === null
        ? "broken_glass"
        : `glass broken until ${instant(break_glass.until_at)}; another human reviews ${oneLine(break_glass.id)}`;
    default:
      return oneLine(status);
  }
}
