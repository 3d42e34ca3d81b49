import { type Approval, isApiError, type Me, type ProblemDocument, type RunView } from "@gantry/sdk";
import type { Child } from "hono/jsx";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { answerPage } from "./answer.tsx";
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
import { GlassForm } from "./glass_form.tsx";
import { Layout } from "./layout.tsx";
import { namesFor, withNames } from "./names.ts";
import { Outcome } from "./outcome.tsx";
import { type Part, partOf } from "./part.tsx";
import { Badge, Hash, Note, Said } from "./parts.tsx";
import { ProblemNote, Written } from "./problem_page.tsx";
import { Review } from "./review.tsx";
import type { Asked, PageApp } from "./session.tsx";
import { barOfReview, mayBreakGlass, STATUS_WORDS, standingOf } from "./standing.ts";
import type { Visitor } from "./visitor.ts";
import { VoteForm } from "./vote_form.tsx";

/** What came of something that was sent from the page and not taken. */
export interface Refusal {
  act: "vote" | "glass" | "review";
  problem: ProblemDocument;
  /** What the visitor had written. */
  text: string;
  /** Of a glass that was not broken, as they were sent. */
  minutes?: string;
}

/** `GET /approvals/{id}` */
export function approvalPage(app: PageApp): void {
  app.get("/approvals/:id", (asked) => showApproval(asked, asked.c.req.param("id") ?? ""));
}

/** One approval as it stands now. @param refusal  of what was just sent from its page */
export async function showApproval(asked: Asked, id: string, refusal?: Refusal): Promise<Response> {
  const { c, visitor, now } = asked;
  const { gantry } = visitor;
  const view = await gantry.approvals.get(id);
  const names = await namesFor(visitor);
  const seen = await checked(gantry.approvals, view);
  // What was decided alone is looked at afterwards: the page then shows what came of it.
  const run = view.break_glass === null || view.run === null ? undefined : await partOf(gantry.runs.get(view.run));
  const page = <ApprovalPage asked={asked} section={{ view, names, now }} seen={seen} run={run} refusal={refusal} />;
  return answerPage(c, page, (refusal?.problem.status ?? 200) as ContentfulStatusCode);
}

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
  /** What a broken glass let start. */
  run: Part<RunView> | undefined;
  refusal: Refusal | undefined;
}

function ApprovalPage({ asked: { visitor }, section, seen, run, refusal }: ApprovalPageProps) {
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
        {view.break_glass?.debt === "open" ? (
          <>
            {" "}
            <a href="#review">To the review</a>
          </>
        ) : null}
      </p>
      {refusal === undefined ? null : <Refused refusal={refusal} view={view} me={visitor.me} />}
      <Outcome view={view} names={names} />
      <Sections section={section} />
      {view.break_glass === null ? (
        <Decision view={view} visitor={visitor} seen={seen} refusal={refusal} />
      ) : (
        <Review
          view={view}
          glass={view.break_glass}
          run={run}
          me={visitor.me}
          csrf={visitor.csrf}
          note={refusal?.act === "review" ? refusal.text : undefined}
        />
      )}
    </Layout>
  );
}

interface DecisionProps {
  view: Approval;
  visitor: Visitor;
  seen: Seen;
  refusal: Refusal | undefined;
}

function Decision({ view, visitor: { me, csrf }, seen, refusal }: DecisionProps) {
  if ("fault" in seen) {
    return (
      <>
        <h2 id="decide">Decide</h2>
        <Note tone="bad" title="What is shown is not what would be decided about.">
          <p>{seen.fault} Decide nothing about it, and tell whoever operates this server.</p>
        </Note>
      </>
    );
  }
  const glass = refusal?.act === "glass" ? { reason: refusal.text, minutes: refusal.minutes ?? "" } : undefined;
  return (
    <>
      <h2 id="decide">{view.status === "pending" ? "Decide" : "The decision"}</h2>
      <VoteForm
        view={view}
        hash={seen.hash}
        standing={standingOf(view, me)}
        csrf={csrf}
        note={refusal?.act === "vote" ? refusal.text : undefined}
        reason_missing={refusal?.problem.code === "VOTE_REASON_MISSING"}
      />
      {mayBreakGlass(view, me) ? <GlassForm view={view} hash={seen.hash} csrf={csrf} written={glass} /> : null}
    </>
  );
}

const NOT_DONE: Readonly<Record<Refusal["act"], string>> = {
  vote: "Your vote was not taken.",
  glass: "The glass was not broken.",
  review: "The review was not closed.",
};

/** Why it was not done. What was written goes back into the form; where there is none any more, it stands here. */
function Refused({ refusal: { act, problem, text }, view, me }: { refusal: Refusal; view: Approval; me: Me }) {
  const has_form = {
    vote: () => standingOf(view, me).may !== "nothing",
    glass: () => mayBreakGlass(view, me),
    review: () => view.break_glass?.debt === "open" && barOfReview(view.break_glass, me) === undefined,
  };
  return (
    <>
      <ProblemNote problem={problem} role="alert" />
      <p>
        {NOT_DONE[act]} This page shows how things stand now.
        {problem.code === "REVIEW_DEBT_OPEN" ? (
          <>
            {" "}
            <a href="/reviews">To the reviews that are owed</a>
          </>
        ) : null}
      </p>
      {has_form[act]() ? null : <Written text={text} />}
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
