import type { JailReport } from "../execution/contract.ts";
import { LINK_LIFE_MS } from "../identity/contract.ts";
import type { LoginLink } from "../identity/links.ts";
import type { ContractSummary, ContractVersion } from "../policy/contract.ts";
import type { RefusedAtStart } from "../policy/policy.ts";
import { VERSION } from "../version.ts";

export interface Banner {
  data: string;
  url: string;
  /** Other machines reach it, and without TLS. */
  in_clear: boolean;
  report: JailReport;
  contracts: ContractSummary[];
  /** Versions that wait for people. */
  proposals: ContractVersion[];
  /** Documents of the config file that people cannot decide about now. */
  refused: RefusedAtStart[];
  /** The owner's first login link; undefined when there was one before. */
  link: LoginLink | undefined;
  /** Where the database is, without its password; undefined when it lies in the data directory. */
  database: string | undefined;
}

const CLEAR_TEXT_LINES = [
  "WARNING: this listener is reachable from other machines without TLS: tokens and results travel in clear text.",
  "  Name a certificate in the config file (tls: {cert: FILE, key: FILE}), or listen on 127.0.0.1 behind a proxy that has one.",
];

/** What `gantry up` prints when it serves. */
export function banner({ data, url, in_clear, report, contracts, proposals, refused, database, link }: Banner): string {
  const rows: [string, string][] = [
    ["Inbox", `${url}/  (what waits for people, runs, the ledger)`],
    ["API", `${url}/v1  (OpenAPI: /v1/openapi.json)`],
    ["Health", `${url}/readyz  and  ${url}/metrics`],
    ["Data", `${data}  (owner.token is the owner's: it works, and approves nothing)`],
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
    ...(in_clear ? ["", ...CLEAR_TEXT_LINES] : []),
    ...contractLines(contracts, proposals, refused),
    ...loginLines(url, link),
    "",
    'Try   npx gantry run examples/csv-report/main.ts --input "@examples/csv-report/orders.csv"',
    "Stop  Ctrl-C",
    "",
  ].join("\n");
}

/** What does not hold although a document says it, and by what it could. */
function contractLines(
  contracts: ContractSummary[],
  proposals: ContractVersion[],
  refused: RefusedAtStart[],
): string[] {
  const lines = [
    ...contracts.flatMap(({ name, suspension }) =>
      suspension === null ? [] : `  ${name} has suspended itself: ${suspension.metric}, by ${suspension.entry}`,
    ),
    ...proposals.map(
      ({ name, version, approval }) => `  ${name}@${version} waits for people: npx gantry approvals show ${approval}`,
    ),
    ...refused.map(({ name, error }) => `  ${name} is not applied: ${error.message}`),
  ];
  return lines.length === 0 ? [] : ["", "Contracts that do not hold as their documents say:", ...lines];
}

/** Printed once, for the person who started it: what it gives is what agents must not have. */
function loginLines(url: string, link: LoginLink | undefined): string[] {
  if (link === undefined) return [];
  return [
    "",
    `Log in as its owner, once, within ${LINK_LIFE_MS / 60_000} minutes, to approve what waits for a human:`,
    `  in a browser      ${url}/login?link=${link.secret}`,
    `  or at a terminal  npx gantry login ${link.secret}`,
    "  Whoever can read what a login stores is the approver: log in where no agent runs as you.",
  ];
}

function jailLine(report: JailReport): string {
  if (report.jail === "none" && report.ok)
    return "NONE: guests share this host's network and files (--insecure-no-jail)";
  if (!report.ok) return "none works on this host: runs are refused; see `npx gantry doctor`";
  return `${report.jail}: own user, network, process and mount namespaces, uid ${report.outer_uid}`;
}
