import { type Gantry, isApiError, type RunView } from "@gantry/sdk";
import { z } from "zod";
import { MCP_REFUSALS_MAX } from "./contract.ts";
import { ruleYaml } from "./parts.ts";

export const refusedCall = z.object({
  method: z.string(),
  where: z.string().describe("The URL without the values of its query, or the host."),
  code: z.string(),
  count: z.int(),
  detail: z.string().optional(),
  rule: z.record(z.string(), z.unknown()).optional().describe("The narrowest rule that would allow it."),
  rule_yaml: z.string().optional().describe("The rule as YAML, for `add_egress` of propose_contract."),
});
export type RefusedCall = z.input<typeof refusedCall>;

/** Of a run without a way out, only hosts are known. */
const NO_NETWORK = "EGRESS_HOST";
const GUESSED =
  "Its contract has no egress rules at all, so only the host is known: set protocol, ports, methods and paths to what the code calls.";

/**
 * The calls of a run that were not let out, each once, with what the contract that is active now says of it and the
 * narrowest rule that would change that. What the caller's token may not ask is left out.
 */
export async function refusedCalls(gantry: Gantry, view: RunView, signal: AbortSignal): Promise<RefusedCall[]> {
  if (view.state !== "ended") return [];
  const found = await tried(gantry, view, signal);
  return Promise.all(
    found.map(async (call, at) =>
      at < MCP_REFUSALS_MAX ? { ...call, ...(await told(gantry, view, call, signal)) } : call,
    ),
  );
}

async function tried(gantry: Gantry, view: RunView, signal: AbortSignal): Promise<RefusedCall[]> {
  const denied = (view.egress ?? []).filter(({ verdict }) => verdict === "denied");
  const blocked = (view.blocked ?? []).map(({ host, method, count }) => ({
    method,
    where: host,
    code: NO_NETWORK,
    count,
  }));
  if (denied.length === 0) return blocked;
  const lines = await linesOf(gantry, view.id, signal);
  const calls = new Map<string, RefusedCall>();
  for (const { method, url, code } of lines) {
    const key = `${method} ${url} ${code}`;
    const known = calls.get(key);
    if (known === undefined) calls.set(key, { method, where: url, code, count: 1 });
    else known.count += 1;
  }
  // Of what has no line any more, or never had one, the sums remain.
  const lacking = denied.filter(
    ({ method, code }) => !lines.some((line) => line.method === method && line.code === code),
  );
  const sums = lacking.map(({ host, method, code, count }) => ({ method, where: host, code: code ?? "", count }));
  return [...calls.values(), ...sums];
}

interface Line {
  method: string;
  url: string;
  code: string;
}

/** Of the first page of its calls: that is enough to act on. */
async function linesOf(gantry: Gantry, run: string, signal: AbortSignal): Promise<Line[]> {
  try {
    const { lines } = await gantry.runs.calls(run, { signal });
    return lines.flatMap(({ verdict, method, url, code }) =>
      verdict === "denied" && typeof method === "string" && typeof url === "string" && typeof code === "string"
        ? [{ method, url: url.split("?")[0] ?? url, code }]
        : [],
    );
  } catch (error) {
    if (isApiError(error)) return [];
    throw error;
  }
}

async function told(
  gantry: Gantry,
  view: RunView,
  call: RefusedCall,
  signal: AbortSignal,
): Promise<Partial<RefusedCall>> {
  const is_known = call.where.includes("://");
  const url = is_known ? call.where : `https://${call.where}/`;
  try {
    const question = { contract: view.contract.name, url, method: call.method };
    const { detail, next_steps = [] } = await gantry.egress.test(question, { signal });
    const rule = next_steps.find((each) => each.rule !== undefined)?.rule;
    const said = [detail, is_known ? undefined : GUESSED].filter((each) => each !== undefined).join(" ");
    return {
      ...(said === "" ? {} : { detail: said }),
      ...(rule === undefined ? {} : { rule, rule_yaml: ruleYaml(rule) }),
    };
  } catch (error) {
    // A call that cannot be asked about, as a look-up of a name, is told by its code alone.
    if (isApiError(error)) return {};
    throw error;
  }
}
