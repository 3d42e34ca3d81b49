import { type Approval, isApiError, type ProblemDocument } from "@gantry/sdk";
import type { Child } from "hono/jsx";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { answerPage, answerRedirect } from "./answer.tsx";
import {
  CodePart,
  Delta,
  Reach,
  Rehearsal,
  type Section,
  Similar,
  Verdict,
  Votes,
  WhoWhat,
} from "./approval_sections.tsx";
import { Layout } from "./layout.tsx";
import { namesFor, withNames } from "./names.ts";
import { Outcome } from "./outcome.tsx";
import { Badge, Hash, Note, Said } from "./parts.tsx";
import { ProblemNote, Written } from "./problem_page.tsx";
import { type Asked, type PageApp, problem, type Sent } from "./session.tsx";
import { STATUS_WORDS, type Standing, standingOf } from "./standing.ts";
import { VoteForm } from "./vote_form.tsx";

/** What came of a vote that was not taken. */
interface Refusal {
  problem: ProblemDocument;
  /** What the visitor had written. */
  note: string;
}

/** `GET /approvals/{id}`, and the vote on it. */
export function approvalPages(app: PageApp): void {
  app.get("/approvals/:id", (asked) => showApproval(asked));
  app.post("/approvals/:id/votes", (sent) => takeVote(sent));
}

async function showApproval(asked: Asked, refusal?: Refusal): Promise<Response> {
  const { c, visitor, now } = asked;
  const view = await visitor.gantry.approvals.get(c.req.param("id") ?? "");
  const names = await namesFor(visitor);
  const seen = await checked(visitor.gantry.approvals, view);
  const page = <ApprovalPage asked={asked} section={{ view, names, now }} seen={seen} refusal={refusal} />;
  return answerPage(c, page, (refusal?.problem.status ?? 200) as ContentfulStatusCode);
}

/** Votes with the hash that the form was made for, so about what its page showed and nothing newer. */
async function takeVote(sent: Sent): Promise<Response> {
  const { c, form, visitor } = sent;
  const id = c.req.param("id") ?? "";
  const vote = form.get("vote");
  // Browsers send line ends as two characters, and count them as one.
  const note = (form.get("note") ?? "").replaceAll("\r\n", "\n").trim();
  if (vote !== "approve" && vote !== "decline") return showApproval(sent, { problem: NO_VOTE, note });
  if (vote === "decline" && note === "") return showApproval(sent, { problem: NO_REASON, note });
  const said = note === "" ? {} : { note };
  try {
    await visitor.gantry.approvals.vote(id, { vote, statement_hash: form.get("statement_hash") ?? "", ...said });
  } catch (error) {
    if (!isApiError(error) || error.status === 401 || error.status === 404) throw error;
    return showApproval(sent, { problem: error.problem, note });
  }
  return answerRedirect(c, `/approvals/${encodeURIComponent(id)}`);
}

const NO_VOTE = problem(400, "VOTE_MISSING", "No vote was sent.", "Press Approve or Decline. Nothing was decided.");
const NO_REASON = problem(
  400,
  "VOTE_REASON_MISSING",
  "A decline needs its reason.",
  "Whoever asked should know why not. Nothing was decided yet.",
);

/** What a vote from this page is about, or why there is none. */
type Seen = { hash: string } | { fault: string };

/** Compares what is shown with what would be decided about, as the command line does. */
async function checked(approvals: Asked["visitor"]["gantry"]["approvals"], view: Approval): Promise<Seen> {
  try {
    return { hash: await approvals.check(view) };
  } catch (error) {
    // The client's own sentence, and no refusal of the API: said on the page, which then has no form.
    if (isApiError(error) || !(error instanceof Error)) throw error;
    return { fault: error.message };
  }
}

interface ApprovalPageProps {
  asked: Asked;
  section: Section;
  seen: Seen;
  refusal: Refusal | undefined;
}

function ApprovalPage({ asked: { visitor }, section, seen, refusal }: ApprovalPageProps) {
  const { view, names } = section;
  const standing = standingOf(view, visitor.me);
  const summary = withNames(view.preview.summary, names);
  const [words, tone] = STATUS_WORDS[view.status];
  return (
    <Layout title={summary} visitor={visitor} at="inbox">
      <h1>
        <Said text={summary} />
      </h1>
      <p>
        <Badge tone={tone}>{words}</Badge> <Hash value={view.id} />
        {standing.may === "decide" ? (
          <>
            {" "}
            <a href="#decide">To the decision</a>
          </>
        ) : null}
      </p>
      {refusal === undefined ? null : <Refused refusal={refusal} standing={standing} />}
      <Outcome view={view} names={names} />
      <Sections section={section} />
      <h2 id="decide">{view.status === "pending" ? "Decide" : "The decision"}</h2>
      {"fault" in seen ? (
        <Note tone="bad" title="What is shown is not what would be decided about.">
          <p>{seen.fault} Decide nothing about it, and tell whoever operates this server.</p>
        </Note>
      ) : (
        <VoteForm
          view={view}
          hash={seen.hash}
          standing={standing}
          csrf={visitor.csrf}
          note={refusal?.note}
          reason_missing={refusal?.problem === NO_REASON}
        />
      )}
    </Layout>
  );
}

/** Why the vote was not taken. The note goes back into the form; where there is none any more, it stands here. */
function Refused({ refusal, standing }: { refusal: Refusal; standing: Standing }) {
  return (
    <>
      <ProblemNote problem={refusal.problem} role="alert" />
      <p>Your vote was not taken. This page shows how things stand now.</p>
      {standing.may === "nothing" ? <Written text={refusal.note} /> : null}
    </>
  );
}

function Sections({ section }: { section: Section }) {
  const { why } = section.view.preview;
  const parts: readonly (readonly [title: string, content: Child])[] = [
    ["Who wants what", <WhoWhat {...section} />],
    ["Why", <p>{why === null ? "No reason was given." : <Said text={why} />}</p>],
    ["What it may do beyond what was approved last", <Delta {...section} />],
    ["The code", <CodePart {...section} />],
    ["Why a person is asked", <Verdict {...section} />],
    ["Rehearsal", <Rehearsal {...section} />],
    ["How far it reaches, and how it is undone", <Reach {...section} />],
    ["Decided about the like", <Similar {...section} />],
    ["Votes", <Votes {...section} />],
  ];
  return (
    <>
      {parts.map(([title, content]) => (
        <>
          <h2>{title}</h2>
          {content}
        </>
      ))}
    </>
  );
}
