import { type Report, reportOn } from "./report.ts";
import { type Issue, issuesOf } from "./tracker.ts";

interface Input {
  /** Where the tracker is, as the contract's rule names it. */
  origin: string;
  project: string;
  /** Milliseconds UTC that ages count from; absent: the time of the run. */
  now?: number;
}

interface Env {
  /** The lease of the secret `tracker-token`. */
  TRACKER_TOKEN: string;
}

/** Reads all issues of a project from the tracker's API and says how it stands. */
export default {
  async run({ origin, project, now = Date.now() }: Input, env: Env): Promise<Report> {
    const issues: Issue[] = [];
    for await (const issue of issuesOf({ origin, project, token: env.TRACKER_TOKEN })) issues.push(issue);
    console.log(`${issues.length} issues of ${project} read`);
    return reportOn(issues, now);
  },
};
