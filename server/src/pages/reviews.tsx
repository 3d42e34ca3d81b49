import type { BreakGlass } from "@gantry/sdk";
import { answerPage } from "./answer.tsx";
import { BROKEN_NAMED_MAX, REVIEW_ROWS, SHOWN_CELL_CHARS_MAX } from "./contract.ts";
import { Layout } from "./layout.tsx";
import { namesFor, withNames } from "./names.ts";
import { type Part, partOf, Refused, toldOf } from "./part.tsx";
import { Badge, Empty, Said, Table, When } from "./parts.tsx";
import { type Names, SaidBriefly } from "./record_parts.tsx";
import type { PageApp } from "./session.tsx";
import { barOfReview } from "./standing.ts";
import { countText } from "./text.ts";
import type { Visitor } from "./visitor.ts";

interface ReviewsState {
  debts: Part<BreakGlass[]>;
  /** What was asked for, by the approval's id. */
  asked: Names;
  names: Names;
}

/** `GET /reviews`: what one person decided alone, and nobody else has looked at. */
export function reviewsPage(app: PageApp): void {
  app.get("/reviews", async ({ c, visitor }) => {
    const { approvals } = visitor.gantry;
    const [debts, broken, names] = await Promise.all([
      partOf(approvals.debts()),
      partOf(approvals.list({ status: "broken_glass", limit: BROKEN_NAMED_MAX })),
      namesFor(visitor),
    ]);
    const asked = new Map(
      (toldOf(broken)?.items ?? []).map(({ id, preview }) => [id, withNames(preview.summary, names)] as const),
    );
    return answerPage(c, <Reviews visitor={visitor} state={{ debts, asked, names }} />);
  });
}

/** Where one review is done. */
export function reviewPath({ approval }: Pick<BreakGlass, "approval">): string {
  return `/approvals/${encodeURIComponent(approval)}#review`;
}

function Reviews({ visitor, state }: { visitor: Visitor; state: ReviewsState }) {
  return (
    <Layout title="Reviews" visitor={visitor} at="reviews">
      <h1>Reviews</h1>
      {state.debts.is === "refused" ? (
        <Refused what="reviews" problem={state.debts.problem} />
      ) : (
        <Owed debts={state.debts.value} visitor={visitor} state={state} />
      )}
    </Layout>
  );
}

function Owed({ debts, visitor, state }: { debts: BreakGlass[]; visitor: Visitor; state: ReviewsState }) {
  if (debts.length === 0) return <NoneOwed />;
  const shown = debts.slice(0, REVIEW_ROWS);
  return (
    <>
      <p>
        {countText(debts.length, "review")} of a broken glass {debts.length === 1 ? "is" : "are"} owed. Nothing
        privileged starts here before each is closed, by another person than the one who broke it.
      </p>
      <Table
        caption="Reviews that are owed, oldest first"
        heads={["What was decided alone", "By", "When", "Reason", "You"]}
        rows={shown.map((debt) => ({ mark: "warn", cells: cellsOf(debt, visitor, state) }))}
      />
      {debts.length > shown.length ? (
        <p class="soft">The oldest {shown.length} are shown. Close some, and the next appear.</p>
      ) : null}
    </>
  );
}

function cellsOf(debt: BreakGlass, { me }: Visitor, { asked, names }: ReviewsState) {
  const bar = barOfReview(debt, me);
  return [
    <a href={reviewPath(debt)}>
      <Said text={asked.get(debt.approval) ?? debt.approval} />
    </a>,
    <Said text={names.get(debt.actor) ?? debt.actor} />,
    <When at={debt.at} />,
    <SaidBriefly text={debt.reason} chars_max={SHOWN_CELL_CHARS_MAX} />,
    bar === undefined ? <Badge tone="wait">you may review</Badge> : <span class="soft">{bar}</span>,
  ];
}

function NoneOwed() {
  return (
    <Empty title="No review is owed.">
      <p>
        When something cannot wait for the people whom its gate asks for, one person with the scope{" "}
        <code>gate:break_glass</code> may decide alone: on the page of the request, below the votes. That is called
        breaking the glass. It replaces the people and nothing else, for a time and for a reason, and it is recorded.
      </p>
      <p>
        It then stands here, and nothing privileged starts any more, until another person has looked at what was done
        and has written down what they found.
      </p>
    </Empty>
  );
}
