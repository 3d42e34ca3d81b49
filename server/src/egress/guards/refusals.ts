import { GantryError } from "../../kernel/errors.ts";
import { egress_errors } from "../contract.ts";
import type { Call } from "../parts.ts";
import type { McpSign } from "./mcp_head.ts";

/** @param where  in the call, as the end of a sentence. */
export function looksSecret(rule: string, where: string): GantryError {
  return new GantryError(egress_errors.DLP, {
    detail:
      `What looks like a secret (${rule}) stands in ${where}, and the contract denies that. Send it without; a credential ` +
      "that the destination needs is set as a secret, and the contract's rule puts it into the call.",
  });
}

export function shadowMcp({ who, rule, rule_id }: Call, { sure, what }: McpSign): GantryError {
  const { name, version } = who.view.ref;
  const speaks = sure === "certain" ? "speaks" : "is likely to speak";
  return new GantryError(egress_errors.SHADOW_MCP, {
    detail: `By ${what} the call ${speaks} to an MCP server, which rule ${rule_id} of contract ${name}@${version} does not grant.`,
    next_steps: [
      {
        kind: "contract.egress.rule",
        text: `Rule ${rule_id}, said to be for an MCP server; in its place, as the first rule that fits decides`,
        rule: { ...rule, mcp: true },
        needs: "contract-change",
      },
    ],
  });
}
