import { isApiError, type ProblemDocument } from "@gantry/sdk";
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { answerPage, answerRedirect } from "./answer.tsx";
import { Layout } from "./layout.tsx";
import { Code, Note } from "./parts.tsx";
import { ProblemNote } from "./problem_page.tsx";
import { answerProblem, type createPageApp, FORGED, formLimit, formOf, type PageParts, problem } from "./session.tsx";
import { clientOf, endSession, isFromElsewhere, ownPath, sessionOf, startSession } from "./visitor.ts";

const LINK = /gtr_lnk_[0-9A-Za-z]+/;
const SIGNED_OUT = "/login?signed_out";

interface SignInState {
  /** Where to go afterwards. */
  next: string;
  /** From the address: used by a button only, since mail programs and browsers look at addresses beforehand. */
  link?: string | undefined;
  /** What was typed and could not be used. */
  typed?: string | undefined;
  problem?: ProblemDocument | undefined;
  signed_out?: boolean;
  /** There may be a session that the browser did not send along. */
  maybe_signed_in?: boolean;
}

/** `GET /login`, `POST /login`, `POST /logout`. */
export function signInPages(app: ReturnType<typeof createPageApp>, parts: PageParts): void {
  app.open.get("/login", (c) => showSignIn(c, parts));
  app.open.post("/login", formLimit(), (c) => signIn(c, parts));
  app.post("/logout", async ({ c, visitor: { me, gantry } }) => {
    try {
      // Signing out ends the session itself, wherever a copy of its token may be.
      if (me.token !== null) await gantry.tokens.revoke(me.token.id);
    } catch (error) {
      // Whatever the server says, this browser forgets the session, and the token ends by itself.
      if (!isApiError(error)) throw error;
    }
    endSession(c);
    return answerRedirect(c, SIGNED_OUT);
  });
}

async function showSignIn(c: Context, { api }: PageParts): Promise<Response> {
  const next = ownPath(c.req.query("next"));
  const link = c.req.query("link")?.match(LINK)?.[0];
  const typed = link === undefined ? c.req.query("link") : undefined;
  const signed_out = c.req.query("signed_out") !== undefined;
  const token = sessionOf(c);
  if (token !== undefined && c.req.query("link") === undefined && (await isLive(clientOf(api, c, token))))
    return answerRedirect(c, next);
  const maybe_signed_in = c.req.header("sec-fetch-site") === undefined && token === undefined && next !== "/";
  const fault = typed === undefined ? undefined : MALFORMED;
  return answerPage(c, <SignInPage {...{ next, link, typed, signed_out, maybe_signed_in, problem: fault }} />);
}

async function isLive(gantry: ReturnType<typeof clientOf>): Promise<boolean> {
  try {
    await gantry.session.me();
    return true;
  } catch (error) {
    if (!isApiError(error)) throw error;
    return false;
  }
}

async function signIn(c: Context, { api, clock }: PageParts): Promise<Response> {
  if (isFromElsewhere(c)) return answerProblem(c, FORGED);
  const form = await formOf(c);
  const next = ownPath(form.get("next"));
  const typed = (form.get("link") ?? "").trim();
  // People paste the address, or the whole command, and mean the link in it.
  const [link] = typed.match(LINK) ?? [];
  if (link === undefined) return again(c, { next, typed, problem: MALFORMED });
  try {
    const { token } = await clientOf(api, c, undefined).session.login(link);
    startSession(c, { token: token.secret, life_ms: token.expires_at - clock.now() });
    return answerRedirect(c, next);
  } catch (error) {
    if (!isApiError(error)) throw error;
    const typed_again = error.code === "LOGIN_LINK_SPENT" ? undefined : typed;
    return again(c, { next, typed: typed_again, problem: error.problem });
  }
}

function again(c: Context, state: SignInState): Promise<Response> {
  return answerPage(c, <SignInPage {...state} />, (state.problem?.status ?? 400) as ContentfulStatusCode);
}

const MALFORMED = problem(
  400,
  "LOGIN_LINK_MALFORMED",
  "This is no login link.",
  "A login link begins with gtr_lnk_. Copy all of it: the whole address, or only the link.",
);

function SignInPage({ next, link, typed, problem: fault, signed_out = false, maybe_signed_in = false }: SignInState) {
  return (
    <Layout title="Sign in">
      <h1>Sign in</h1>
      {signed_out ? <Note tone="good" title="You are signed out." role="status" /> : null}
      {fault === undefined ? null : <ProblemNote problem={fault} role="alert" />}
      {link === undefined ? (
        <PasteForm next={next} typed={typed} bad={fault !== undefined} />
      ) : (
        <LinkForm next={next} link={link} />
      )}
      {maybe_signed_in ? (
        <p>
          Signed in already? <a href={next}>Go on to the page</a>
        </p>
      ) : null}
      <NewLink open={fault !== undefined} />
    </Layout>
  );
}

function LinkForm({ next, link }: { next: string; link: string }) {
  return (
    <form method="post" action="/login">
      <input type="hidden" name="next" value={next} />
      <input type="hidden" name="link" value={link} />
      <p>
        You opened a login link that ends in <code>{link.slice(-4)}</code>. It works once, and for 15 minutes. It signs
        this browser in as the person for whom it was made: what you decide is recorded as theirs.
      </p>
      <p class="acts">
        <button type="submit">Sign in with this link</button>
      </p>
    </form>
  );
}

function PasteForm({ next, typed, bad }: { next: string; typed: string | undefined; bad: boolean }) {
  return (
    <form method="post" action="/login">
      <input type="hidden" name="next" value={next} />
      <label for="link">Login link</label>
      <input
        id="link"
        name="link"
        type="text"
        required
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        placeholder="gtr_lnk_…"
        value={typed}
        aria-describedby="link-about"
        aria-invalid={bad ? "true" : undefined}
        autofocus
      />
      <p id="link-about" class="soft">
        It works once, and for 15 minutes. You stay signed in for 12 hours.
      </p>
      <p class="acts">
        <button type="submit">Sign in</button>
      </p>
    </form>
  );
}

function NewLink({ open }: { open: boolean }) {
  return (
    <details open={open}>
      <summary>How to get a login link</summary>
      <p>
        The first start of the server prints one. Later ones are made by whoever has the server's data directory. With
        SQLite the server is stopped for that; with PostgreSQL it may run.
      </p>
      <Code
        label="Commands that make a login link"
        text={"npx gantry admin login-link\nnpx gantry admin login-link --actor ada@example.com"}
      />
      <p>The first is for the owner of the installation, the second for another person.</p>
    </details>
  );
}
