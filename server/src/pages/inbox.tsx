import type { Approval, ApprovalStatus, BreakGlass, Page } from "@gantry/sdk";
import { answerPage } from "./answer.tsx";
import { DEBT_ROWS, DECIDED_ROWS, PAGE_ROWS, SHOWN_CELL_CHARS_MAX } from "./contract.ts";
import { FIRST_REQUEST } from "./first_request.ts";
import { Layout } from "./layout.tsx";
import { namesFor, withNames } from "./names.ts";
import { type Part, partOf, Refused, toldOf } from "./part.tsx";
import { Badge, Code, Empty, Note, Said, Table, When } from "./parts.tsx";
import { type Names, Pager, SaidBriefly } from "./record_parts.tsx";
import { reviewPath } from "./reviews.tsx";
import { type Asked, answerProblem, type PageApp } from "./session.tsx";
import { barOfReview, STATUS_WORDS, standingOf, votesText } from "./standing.ts";
import { countText, spanText } from "./text.ts";
import type { Visitor } from "./visitor.ts";

/** Less than so much time left stands out. */
const SOON_MS = 3_600_000;
const DECIDED: readonly ApprovalStatus[] = [
  "approved",
  "executed",
  "declined",
  "expired",
  "superseded",
  "broken_glass",
];

interface InboxState {
  waiting: Part<Page<Approval>>;
  decided: Approval[];
  debts: BreakGlass[];
  names: Names;
  /** This is not the first page of what waits. */
  further: boolean;
}

/** `GET /`: what waits for a person, and what was decided last. */
export function inboxPage(app: PageApp): void {
  app.get("/", async (asked) => {
    const cursor = asked.c.req.query("cursor");
    const { gantry } = asked.visitor;
    const query = { status: "pending", limit: PAGE_ROWS, ...(cursor === undefined ? {} : { cursor }) } as const;
    const waiting = await partOf(gantry.approvals.list(query));
    // Who may not see approvals still has an inbox; a wrong cursor is a wrong address.
    if (waiting.is === "refused" && waiting.problem.status !== 403) {
      return answerProblem(asked.c, waiting.problem, { visitor: asked.visitor });
    }
    const [decided, debts, names] = await Promise.all([
      decidedLast(asked.visitor),
      partOf(gantry.approvals.debts()),
      namesFor(asked.visitor),
    ]);
    const state = { waiting, decided, debts: toldOf(debts) ?? [], names, further: cursor !== undefined };
    return answerPage(asked.c, <Inbox asked={asked} state={state} />);
  });
}

/** The last decisions, whatever they were. The API lists by the time of asking; what was decided last comes first here. */
async function decidedLast({ gantry }: Visitor): Promise<Approval[]> {
  const lists = await Promise.all(
    DECIDED.map(async (status) => toldOf(await partOf(gantry.approvals.list({ status, limit: DECIDED_ROWS })))),
  );
  return lists
    .flatMap((list) => list?.items ?? [])
    .sort((a, b) => endedAt(b) - endedAt(a))
    .slice(0, DECIDED_ROWS);
}

function endedAt({ executed_at, decided_at, created_at }: Approval): number {
  return executed_at ?? decided_at ?? created_at;
}

function Inbox({ asked, state }: { asked: Asked; state: InboxState }) {
  const { visitor } = asked;
  const { waiting, debts, decided, names } = state;
  return (
    <Layout title="Inbox" visitor={visitor} at="inbox">
      <h1>Inbox</h1>
      {waiting.is === "refused" ? (
        <Refused what="approvals" problem={waiting.problem} />
      ) : (
        <Waiting page={waiting.value} asked={asked} state={state} />
      )}
      <Debts debts={debts} names={names} visitor={visitor} />
      {decided.length === 0 ? null : <Decided decided={decided} names={names} />}
    </Layout>
  );
}

function Waiting({ page, asked, state }: { page: Page<Approval>; asked: Asked; state: InboxState }) {
  const { items, next } = page;
  const me = asked.visitor.me;
  if (items.length === 0 && !state.further) return <NothingWaits taught={state.decided.length > 0} />;
  const yours = items.filter((one) => standingOf(one, me).may === "decide").length;
  return (
    <>
      <p>
        {countText(items.length, "request")} {items.length === 1 ? "waits" : "wait"} for a person
        {next === undefined && !state.further ? "" : " on this page"}. {yoursText(yours, items.length)}
      </p>
      <Table
        caption="What waits for a person, newest first"
        heads={["Request", "Asked by", "Contract", "Left", "Votes", "You"]}
        rows={items.map((one) => {
          const soon = one.statement.not_after - asked.now < SOON_MS;
          return { ...(soon ? { mark: "warn" as const } : {}), cells: waitingCells(one, asked, state.names, soon) };
        })}
      />
      <Pager
        first={state.further ? "/" : undefined}
        next={next === undefined ? undefined : `/?cursor=${encodeURIComponent(next)}`}
        older="Older requests"
      />
    </>
  );
}

function yoursText(yours: number, all: number): string {
  if (yours === 0) return all === 1 ? "It is not yours to decide." : "None of them is yours to decide.";
  if (yours === all) return all === 1 ? "You may decide it." : "You may decide all of them.";
  return `You may decide ${yours} of them.`;
}

function waitingCells(one: Approval, { now, visitor }: Asked, names: Names, soon: boolean) {
  const { statement, preview } = one;
  const standing = standingOf(one, visitor.me);
  const left = spanText(statement.not_after - now);
  return [
    <>
      <a href={`/approvals/${encodeURIComponent(one.id)}`}>
        <Said text={withNames(preview.summary, names)} />
      </a>
      {statement.target === null ? null : (
        <div class="soft">
          target <Said text={statement.target} />
        </div>
      )}
      {preview.why === null ? null : (
        <div class="soft">
          <Said text={preview.why} />
        </div>
      )}
    </>,
    <Said text={names.get(statement.requester) ?? statement.requester} />,
    contractText(one),
    soon ? <Badge tone="warn">{left}</Badge> : <span class="once">{left}</span>,
    <span class="once">{votesText(one)}</span>,
    standing.may === "nothing" ? <span class="soft">{standing.why}</span> : <Badge tone="wait">you may decide</Badge>,
  ];
}

function contractText({ statement: { contract } }: Approval): string {
  return contract === null ? "" : `${contract.name}@${contract.version}`;
}

function Debts({ debts, names, visitor }: { debts: BreakGlass[]; names: Names; visitor: Visitor }) {
  if (debts.length === 0) return null;
  return (
    <Note
      tone="warn"
      title={`${countText(debts.length, "review")} of a broken glass ${debts.length === 1 ? "is" : "are"} owed`}
    >
      <p>Nothing privileged starts before another person than the one who broke it has said what the review found.</p>
      <ul>
        {debts.slice(0, DEBT_ROWS).map((debt) => (
          <li>
            <Said text={names.get(debt.actor) ?? debt.actor} /> broke the glass at <When at={debt.at} />:{" "}
            <SaidBriefly text={debt.reason} chars_max={SHOWN_CELL_CHARS_MAX} />
            <br />
            {barOfReview(debt, visitor.me) ?? <a href={reviewPath(debt)}>Review it</a>}
          </li>
        ))}
      </ul>
      {debts.length > DEBT_ROWS ? (
        <p>
          <a href="/reviews">All reviews</a>
        </p>
      ) : null}
    </Note>
  );
}

function Decided({ decided, names }: { decided: Approval[]; names: Names }) {
  return (
    <>
      <h2>Decided last</h2>
      <Table
        caption="What was decided last"
        heads={["Request", "Asked by", "Contract", "Came to", "When"]}
        rows={decided.map((one) => {
          const [words, tone] = STATUS_WORDS[one.status];
          return {
            cells: [
              <a href={`/approvals/${encodeURIComponent(one.id)}`}>
                <Said text={withNames(one.preview.summary, names)} />
              </a>,
              <Said text={names.get(one.statement.requester) ?? one.statement.requester} />,
              contractText(one),
              <Badge tone={tone}>{words}</Badge>,
              <When at={endedAt(one)} />,
            ],
          };
        })}
      />
    </>
  );
}

function NothingWaits({ taught }: { taught: boolean }) {
  if (taught) return <Empty title="Nothing waits for you." />;
  return (
    <Empty title="Nothing waits for you.">
      <p>
        Agents ask here before they do what a person must agree to. A contract says what that is: each of its{" "}
        <em>gates</em> names an action, and how many people must approve it. What loosens a contract waits for people,
        too. You see who wants what, what would be new about it, the code, and how it is undone; what you approve is
        exactly that, by its hash.
      </p>
      <p>To see one, let the agent that came with this server propose a contract which lets it read documentation:</p>
      <Code label="Commands of a first request" text={FIRST_REQUEST} />
      <p>The last command says that the proposal waits. Then load this page again.</p>
    </Empty>
  );
}
