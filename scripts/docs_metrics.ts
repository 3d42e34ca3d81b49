// `npm run docs:reference`: writes docs/reference/metrics.md from the table of metrics; `--check` compares.
import { METRICS } from "../server/src/kernel/telemetry.ts";
import { settle } from "./contracts.ts";

const HEAD = `# Metrics

What \`/metrics\` shows, in the format of Prometheus: to this machine itself, and to whoever has a token with \`ops:read\`
([operating](../operating.md)). Labels have few values. A histogram has \`_bucket\`, \`_sum\` and \`_count\`.

This file is written by \`npm run docs:reference\` from \`server/src/kernel/telemetry.ts\`.

| metric | kind | labels | what |
|---|---|---|---|
`;

const rows = Object.entries(METRICS).map(([name, { kind, labels, help }]) => {
  const shown = labels.map((label) => `\`${label}\``).join(", ");
  return `| \`${name}\` | ${kind} | ${shown} | ${help.replaceAll("|", "\\|")} |\n`;
});
process.exitCode = settle("docs/reference/metrics.md", HEAD + rows.join(""), process.argv);
