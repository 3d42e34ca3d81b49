import { openIssue, readIssues } from "./tracker.ts";

/** A row that the report on the orders could not count. */
interface Rejected {
  line: number;
  id: string;
  reason: string;
}

interface Input {
  /** Where the tracker is, as the contract's rule names it. */
  origin: string;
  project: string;
  rejected: Rejected[];
}

interface Env {
  /** The lease of the secret `tracker-token`. Absent while the contract grants none. */
  TRACKER_TOKEN?: string;
}

/** Sees which of the rejected rows the tracker knows, and opens one issue for the others. */
export default {
  async run({ origin, project, rejected }: Input, env: Env) {
    const tracker = { origin, project, token: env.TRACKER_TOKEN ?? "" };
    const issues = await readIssues(tracker);
    const known = rejected.filter(({ id }) => issues.some(({ title, body }) => `${title} ${body}`.includes(id)));
    const unknown = rejected.filter((row) => !known.includes(row));
    console.log(`${issues.length} issues read, ${known.length} of ${rejected.length} rows are known`);
    const opened =
      unknown.length === 0
        ? null
        : await openIssue(tracker, {
            title: `${unknown.length} orders were left out of the report`,
            body: unknown.map(({ line, id, reason }) => `- line ${line}, ${id}: ${reason}`).join("\n"),
          });
    return {
      issues_read: issues.length,
      known: known.map(({ id }) => id),
      opened: opened === null ? null : { number: opened.number, rows: unknown.length },
    };
  },
};
