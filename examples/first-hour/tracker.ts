/** One issue, as the tracker's API gives it. */
export interface Issue {
  number: number;
  title: string;
  body: string;
  state: "open" | "closed";
}

export interface Tracker {
  /** `http://127.0.0.1:8080` */
  origin: string;
  project: string;
  /** A lease, which means nothing outside of this run: the door puts the secret in its place when the call leaves. */
  token: string;
}

export async function readIssues(tracker: Tracker): Promise<Issue[]> {
  const answer = await fetch(issuesOf(tracker), { headers: authorized(tracker) });
  return (await bodyOf(answer)) as Issue[];
}

export async function openIssue(tracker: Tracker, issue: { title: string; body: string }): Promise<Issue> {
  const headers = { ...authorized(tracker), "content-type": "application/json" };
  const answer = await fetch(issuesOf(tracker), { method: "POST", headers, body: JSON.stringify(issue) });
  return (await bodyOf(answer)) as Issue;
}

function issuesOf({ origin, project }: Tracker): string {
  return `${origin}/v1/projects/${encodeURIComponent(project)}/issues`;
}

function authorized({ token }: Tracker): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

/** @throws Error with what the tracker, or the contract, says against it. */
async function bodyOf(answer: Response): Promise<unknown> {
  if (answer.ok) return answer.json();
  throw new Error(`${answer.status}: ${(await answer.text()).slice(0, 500)}`);
}
