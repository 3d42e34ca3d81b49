import type { JailReport } from "./execution/contract.ts";
import type { ContractSummary } from "./policy/contract.ts";
import { VERSION } from "./version.ts";

export interface Banner {
  data: string;
  url: string;
  report: JailReport;
  contracts: ContractSummary[];
  /** Where the database is, without its password; undefined when it lies in the data directory. */
  database: string | undefined;
}

/** What `gantry up` prints when it serves. */
export function banner({ data, url, report, contracts, database }: Banner): string {
  const rows: [string, string][] = [
    ["API", `${url}/v1  (OpenAPI: /v1/openapi.json)`],
    ["Health", `${url}/readyz  and  ${url}/metrics`],
    ["Data", `${data}  (owner.token is the owner's: keep it private)`],
    ...(database === undefined
      ? []
      : [
          ["Store", `PostgreSQL, ${database}  (other nodes may share it; owner.token is this one's)`] satisfies [
            string,
            string,
          ],
        ]),
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
