/** One issue, as the tracker's API gives it. Times are milliseconds UTC. */
export interface Issue {
  number: number;
  title: string;
  labels: string[];
  state: "open" | "closed";
  opened_at: number;
  closed_at: number | null;
}

export interface Tracker {
  /** `https://tracker.example.com` */
  origin: string;
  project: string;
  token: string;
}

/** What the API, or the door in front of it, answers instead. */
interface Problem {
  code?: string;
  detail?: string;
}

const PAGES_MAX = 50;

/**
 * All issues of a project, page by page. The token is one that means nothing outside of this run: the door puts the
 * secret in its place when the call leaves, and only towards the tracker.
 * @throws Error with what the tracker, or the contract, says against it.
 */
export async function* issuesOf({ origin, project, token }: Tracker): AsyncGenerator<Issue> {
  let url: string | undefined = `${origin}/v1/projects/${encodeURIComponent(project)}/issues?page=1`;
  for (let page = 1; url !== undefined; page++) {
    if (page > PAGES_MAX) throw new Error(`${project} has more than ${PAGES_MAX} pages of issues`);
    const answer: Response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error(await refusalOf(answer));
    yield* (await answer.json()) as Issue[];
    url = nextOf(answer.headers.get("link"), url);
  }
}

/** The page after this one, by the header `Link` (RFC 8288). */
function nextOf(link: string | null, base: string): string | undefined {
  const [, target] = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? "") ?? [];
  return target === undefined ? undefined : new URL(target, base).href;
}

async function refusalOf(answer: Response): Promise<string> {
  const text = await answer.text();
  try {
    const { code, detail } = JSON.parse(text) as Problem;
    return `${code ?? answer.status}: ${detail ?? answer.statusText}`;
  } catch {
    return `${answer.status}: ${text.slice(0, 200)}`;
  }
}
