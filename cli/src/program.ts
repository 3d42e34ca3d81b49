import { type Command, type Group, unknownCommand } from "./arguments.ts";
import { actorsGroup } from "./commands/actors.ts";
import { adminGroup } from "./commands/admin.ts";
import { approvalsGroup } from "./commands/approvals.ts";
import { backupCommand } from "./commands/backup.ts";
import { contractsGroup } from "./commands/contracts.ts";
import { approveCommand, breakGlassCommand, declineCommand } from "./commands/decide.ts";
import { demoCommand } from "./commands/demo.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { egressGroup } from "./commands/egress.ts";
import { evidenceGroup } from "./commands/evidence.ts";
import { initCommand } from "./commands/init.ts";
import { keysGroup } from "./commands/keys.ts";
import { leasesGroup } from "./commands/leases.ts";
import { loginCommand, logoutCommand, meCommand } from "./commands/login.ts";
import { policyGroup } from "./commands/policy.ts";
import { redteamCommand } from "./commands/redteam.ts";
import { restoreCommand } from "./commands/restore.ts";
import { attendCommand, reviewsGroup } from "./commands/reviews.ts";
import { runCommand } from "./commands/run.ts";
import { runsGroup } from "./commands/runs.ts";
import { secretsGroup } from "./commands/secrets.ts";
import { statsCommand } from "./commands/stats.ts";
import { tasksGroup } from "./commands/tasks.ts";
import { tenantsGroup } from "./commands/tenants.ts";
import { timelineCommand } from "./commands/timeline.ts";
import { tokensGroup } from "./commands/tokens.ts";
import { topCommand } from "./commands/top.ts";
import { upCommand } from "./commands/up.ts";
import { webhooksGroup } from "./commands/webhooks.ts";
import { EXIT, exitOfError } from "./exit.ts";
import { commandPage, firstPage, groupPage } from "./help.ts";
import type { Installation } from "./installation.ts";
import { reportError } from "./report.ts";
import type { Terminal } from "./terminal.ts";
import { paintFor } from "./text.ts";

/** Every command of `gantry`. */
export function commandTree(io: Terminal, installation: Installation): Group {
  return {
    kind: "group",
    summary: "a self-hosted agent cloud",
    commands: {
      run: runCommand(io),
      runs: runsGroup(io),
      approvals: approvalsGroup(io),
      approve: approveCommand(io),
      decline: declineCommand(io),
      "break-glass": breakGlassCommand(io),
      reviews: reviewsGroup(io),
      attend: attendCommand(io),
      webhooks: webhooksGroup(io),
      stats: statsCommand(io),
      top: topCommand(io),
      timeline: timelineCommand(io),
      evidence: evidenceGroup(io, installation),
      redteam: redteamCommand(io),
      contracts: contractsGroup(io, installation),
      policy: policyGroup(io),
      egress: egressGroup(io),
      secrets: secretsGroup(io, installation),
      leases: leasesGroup(io),
      init: initCommand(io),
      up: upCommand(io, installation),
      login: loginCommand(io),
      logout: logoutCommand(io),
      me: meCommand(io),
      tasks: tasksGroup(io),
      tenants: tenantsGroup(io),
      actors: actorsGroup(io),
      tokens: tokensGroup(io),
      keys: keysGroup(io),
      admin: adminGroup(io, installation),
      backup: backupCommand(io, installation),
      restore: restoreCommand(io, installation),
      doctor: doctorCommand(io, installation),
      demo: demoCommand(io, installation),
    },
  };
}

/**
 * Runs one command line.
 * @param words  without the program's name.
 * @returns the exit code; what went wrong has been printed by then.
 */
export async function runProgram(words: readonly string[], io: Terminal, installation: Installation): Promise<number> {
  try {
    if (words[0] === "--version" || words[0] === "-v" || words[0] === "version") {
      io.stdout.write(`${installation.version}\n`);
      return EXIT.completed;
    }
    const asks_help = words[0] === "help" || words.length === 0 || wantsHelp(words);
    const found = findCommand(words[0] === "help" ? words.slice(1) : words, commandTree(io, installation));
    if (asks_help) {
      io.stdout.write(helpPage(found, installation.version, io));
      return EXIT.completed;
    }
    if (found.node.kind === "command") return await found.node.start(found.rest);
    io.stderr.write(helpPage(found, installation.version, io));
    return EXIT.usage;
  } catch (error) {
    reportError(error, words.includes("--json"), io);
    return exitOfError(error);
  }
}

/** `--help` anywhere before a `--`. */
function wantsHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).some((word) => word === "--help" || word === "-h");
}

interface Found {
  path: string[];
  node: Command | Group;
  rest: readonly string[];
}

function findCommand(words: readonly string[], root: Group): Found {
  let node: Command | Group = root;
  const path: string[] = [];
  while (node.kind === "group") {
    const word: string | undefined = words[path.length];
    if (word === undefined || word.startsWith("-")) break;
    const next: Command | Group | undefined = Object.hasOwn(node.commands, word) ? node.commands[word] : undefined;
    if (next === undefined) throw unknownCommand(path, word, Object.keys(node.commands));
    path.push(word);
    node = next;
  }
  return { path, node, rest: words.slice(path.length) };
}

function helpPage({ path, node }: Found, version: string, io: Terminal): string {
  const paint = paintFor(io.stdout, io.env);
  if (node.kind === "command") return commandPage(path, node, paint);
  return path.length === 0 ? firstPage(node, version, paint) : groupPage(path, node, paint);
}
