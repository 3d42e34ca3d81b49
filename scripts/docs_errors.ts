// `npm run docs:errors`: writes docs/errors.md from the code tables of the rooms; `--check` compares.
import type { ErrorKind } from "../server/src/kernel/errors.ts";
import { type Contract, contracts, errorKinds, settle } from "./contracts.ts";

const HEAD = `# Errors

Every refusal of Gantry has one of these codes. On the wire it is \`application/problem+json\` (RFC 9457) with \`type\`
\`urn:gantry:error:<CODE>\`, and a \`detail\` that says what was wrong, where, and what would be right; the \`error\` of a run that
ended badly has the same members. A program decides by \`code\`, never by \`title\` or \`detail\`.

*Repeat*: may the same request succeed? \`never\`: change it first. \`later\`: after a wait. \`safe\`: at once.
*Whose*: who can make it right: the caller, whoever sets the policy, whoever gives capacity, or Gantry itself.

This file is written by \`npm run docs:errors\` from the \`contract.ts\` of each room.
`;

function row({ code, status, retry, whose, title }: ErrorKind): string {
  return `| \`${code}\` | ${status} | ${retry} | ${whose} | ${title} |`;
}

function section(contract: Contract): string {
  const kinds = errorKinds(contract);
  if (kinds.length === 0) return "";
  return [
    "",
    `## ${contract.room}`,
    "",
    "| code | status | repeat | whose | what it says |",
    "|---|---|---|---|---|",
    ...kinds.map(row),
    "",
  ].join("\n");
}

const rooms = await contracts();
process.exitCode = settle("docs/errors.md", HEAD + rooms.map(section).join(""), process.argv);
