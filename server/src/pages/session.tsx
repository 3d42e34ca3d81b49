import { type Gantry, isApiError, type ProblemDocument } from "@gantry/sdk";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Clock } from "../kernel/clock.ts";
import { answerPage, answerRedirect } from "./answer.tsx";
import { type ApiPort, FORM_BYTES_MAX } from "./contract.ts";
import { Layout } from "./layout.tsx";
import { ProblemPage } from "./problem_page.tsx";
import { clientOf, csrfOf, endSession, isFromElsewhere, ownPath, sessionOf, type Visitor } from "./visitor.ts";

export interface PageParts {
  api: ApiPort;
  clock: Pick<Clock, "now">;
}

/** One look at a page, by somebody who is signed in. */
export interface Asked {
  c: Context;
  visitor: Visitor;
  /** Milliseconds UTC. */
  now: number;
}

/** One form, sent by this session's own page. */
export interface Sent extends Asked {
  form: URLSearchParams;
}

/**
 * Where pages are put. Who is not signed in is sent to `/login` and comes back; a `GantryApiError` that a page throws
 * becomes a page of its own, with its status; a form is refused unless this session's page made it.
 */
export interface PageApp {
  get(path: string, show: (asked: Asked) => Promise<Response>): void;
  post(path: string, take: (sent: Sent) => Promise<Response>): void;
}

/** Pages behind a session. @returns with `open`, for what has no session. */
export function createPageApp(parts: PageParts): PageApp & { open: Hono } {
  const open = new Hono();
  return {
    open,
    get(path, show) {
      open.get(path, async (c) => {
        const token = sessionOf(c);
        if (token === undefined) return signInFirst(c);
        return guarded(c, parts, token, async (visitor) => show({ c, visitor, now: parts.clock.now() }));
      });
    },
    post(path, take) {
      open.post(path, formLimit(), async (c) => {
        const form = await formOf(c);
        const written = form.get("note") ?? form.get("reason") ?? undefined;
        const token = sessionOf(c);
        if (token === undefined) return answerProblem(c, NOT_SIGNED_IN, { written });
        const sent = { token, csrf: form.get("csrf") };
        if (isFromElsewhere(c) || sent.csrf !== csrfOf(token)) return answerProblem(c, FORGED, { written });
        return guarded(c, parts, token, async (visitor) => take({ c, visitor, form, now: parts.clock.now() }), written);
      });
    },
  };
}

/** Refuses more than a form may have, also of one that does not say how long it is. */
export function formLimit() {
  return bodyLimit({ maxSize: FORM_BYTES_MAX, onError: (c) => answerProblem(c, TOO_LARGE) });
}

/** The fields of a form. @returns none of them when the body is no form. */
export async function formOf(c: Context): Promise<URLSearchParams> {
  const type = c.req.header("content-type") ?? "";
  if (!type.toLowerCase().startsWith("application/x-www-form-urlencoded")) return new URLSearchParams();
  return new URLSearchParams(await c.req.text());
}

/** A page about a refusal. */
export function answerProblem(
  c: Context,
  problem: ProblemDocument,
  o: { visitor?: Visitor | undefined; written?: string | undefined } = {},
): Promise<Response> {
  return answerPage(c, <ProblemPage problem={problem} {...o} />, problem.status as ContentfulStatusCode);
}

/** Finds out who it is, and turns refusals into pages. What is no refusal is a bug, and the server's to log. */
async function guarded(
  c: Context,
  { api }: PageParts,
  token: string,
  then: (visitor: Visitor) => Promise<Response>,
  written?: string,
): Promise<Response> {
  let visitor: Visitor | undefined;
  try {
    visitor = await visitorOf(clientOf(api, c, token), token);
    return await then(visitor);
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.status !== 401) return answerProblem(c, error.problem, { visitor, written });
    endSession(c);
    return c.req.method === "GET" ? signInFirst(c) : answerProblem(c, error.problem, { written });
  }
}

async function visitorOf(gantry: Gantry, token: string): Promise<Visitor> {
  return { me: await gantry.session.me(), gantry, csrf: csrfOf(token) };
}

/**
 * A link in a message of another site brings no `SameSite=Strict` cookie along, though there may be one: a page of our
 * own that loads the address again does.
 */
function signInFirst(c: Context): Promise<Response> | Response {
  const url = new URL(c.req.url);
  const path = ownPath(`${url.pathname}${url.search}`);
  if (c.req.header("sec-fetch-site") === "cross-site") return answerPage(c, <Again path={path} />);
  return answerRedirect(c, path === "/" ? "/login" : `/login?next=${encodeURIComponent(path)}`);
}

function Again({ path }: { path: string }) {
  return (
    <Layout title="One moment" refresh_s={0}>
      <h1>One moment</h1>
      <p>
        <a href={path}>Go on to the page</a>
      </p>
    </Layout>
  );
}

/** A refusal of the pages themselves, in the form that those of the API have. */
export function problem(status: number, code: string, title: string, detail: string): ProblemDocument {
  return { type: "about:blank", status, code, title, detail };
}

const NOT_SIGNED_IN = problem(
  401,
  "PAGE_SESSION",
  "Nobody is signed in here.",
  "The session is over, or the browser sent none along. Nothing was done. Sign in and try again.",
);
/** Of a form that another site sent, or that lacks the session's own token. */
export const FORGED = problem(
  403,
  "PAGE_FORGED",
  "This form does not come from your own page.",
  "Nothing was done. Open the page again, look at what it shows, and send its form. Somebody else may have made this one.",
);
const TOO_LARGE = problem(
  413,
  "PAGE_FORM_TOO_LARGE",
  "The form is larger than its limit.",
  `A form may have at most ${FORM_BYTES_MAX} bytes. Nothing was done; go back and shorten the text.`,
);
