import type { Config } from "./config.ts";
import type { JailReport } from "./execution/contract.ts";
import type { ContractSummary } from "./policy/contract.ts";
import { VERSION } from "./version.ts";

/** What `gantry up` prints when it serves. */
export function banner(config: Config, url: string, report: JailReport, contracts: ContractSummary[]): string {
  const rows: [string, string][] = [
    ["API", `${url}/v1  (OpenAPI: /v1/openapi.json)`],
    ["Health", `${url}/readyz  and  ${url}/metrics`],
    ["Data", `${config.data}  (owner.token is the owner's: keep it private)`],
    ["Jail", jailLine(report)],
    ["Contracts", contracts.map(({ name, version, built_in }) => (built_in ? name : `${name}@${version}`)).join(", ")],
  ];
  const lines = rows.map(([name, value]) => `  ${name.padEnd(10)} ${value}`);
  return [
    `Gantry ${VERSION} is up.`,
    ...lines,
    "",
    'Try   npx gantry run examples/csv-report/main.ts --input "@examples/csv-report/orders.csv"',
    "Stop  Ctrl-C",
    "",
  ].join("\n");
}

function jailLine(report: JailReport): string {
  if (report.jail === "none" && report.ok)
    return "NONE: guests share this host's network and files (--insecure-no-jail)";
  if (!report.ok) return "none works on this host: runs are refused; see `npx gantry doctor`";
  return `${report.jail}: own user, network, process and mount namespaces, uid ${report.outer_uid}`;
}
