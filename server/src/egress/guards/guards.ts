import { egress_errors } from "../contract.ts";
import type { Call, Guards, HeaderList } from "../parts.ts";
import { BodyWatch } from "./body_guard.ts";
import type { GuardDeps } from "./deps.ts";
import { DlpSearch } from "./dlp_search.ts";
import { mcpSignOf } from "./mcp_head.ts";
import { demandNoOwnToken, percentDecoded } from "./own_tokens.ts";
import { looksSecret, shadowMcp } from "./refusals.ts";

/** Headers in which a guest has what a destination gave it: a session, or a token of a login. */
const CREDENTIALS = ["authorization", "cookie"];

/**
 * The guards of all doors. They see the guest's own bytes, before a secret takes a lease's place, and are tripwires: what is
 * encoded, compressed or cut up passes them. A lease in a header is for `Leases.find` to judge, anywhere else for these.
 */
export function createGuards(deps: GuardDeps): Guards {
  const search = new DlpSearch();
  return {
    head(call, headers) {
      const url = call.target.path + call.target.query;
      demandNoOwnToken(url, headers);
      return [...watchMcp(call, headers), ...watchSecrets(search, call, url, headers)];
    },
    // Opaque bytes in both directions have no body.
    body: (call) => (call.method === "CONNECT" ? undefined : new BodyWatch(call, deps)),
  };
}

function watchMcp(call: Call, headers: HeaderList): string[] {
  const sign = call.rule.mcp === true ? undefined : mcpSignOf(call, headers);
  if (sign === undefined) return [];
  if (call.who.view.contract.shadow_mcp === "deny") throw shadowMcp(call, sign);
  return [egress_errors.SHADOW_MCP.code];
}

/** Here and not in the thread: a head is short, and its answer is needed at once. */
function watchSecrets(search: DlpSearch, call: Call, url: string, headers: HeaderList): string[] {
  const shown = headers.filter(([name]) => !CREDENTIALS.includes(name.toLowerCase()));
  const lines = shown.map(([name, value]) => `${name}: ${value}`).join("\n");
  const in_url = search.find(Buffer.from(`${url}\n${percentDecoded(url)}`, "latin1"));
  const rule = in_url ?? search.find(Buffer.from(lines, "latin1"));
  if (rule === undefined) return [];
  if (call.who.view.contract.dlp.action === "deny")
    throw looksSecret(rule, in_url === undefined ? "a header" : "the URL");
  return [egress_errors.DLP.code];
}
