import type { Approval, BreakGlass, Me, RunView } from "@gantry/sdk";
import { VOTE_NOTE_CHARS_MAX } from "./contract.ts";
import { type Part, Refused } from "./part.tsx";
import { Badge, Facts, When } from "./parts.tsx";
import { Ref } from "./record_parts.tsx";
import { RunCalls } from "./run_calls.tsx";
import { wordsOf } from "./run_words.ts";
import { barOfReview } from "./standing.ts";

export interface ReviewProps {
  view: Approval;
  glass: BreakGlass;
  /** What the decision let start; undefined where it is no run. */
  run: Part<RunView> | undefined;
  me: Me;
  csrf: string;
  /** What was written before, when the review was not closed. */
  note: string | undefined;
}

/** What was done under a broken glass, and the form by which another person says what they found. */
export function Review({ view, glass, run, me, csrf, note }: ReviewProps) {
  return (
    <>
      <h2 id="review">What was done under the broken glass</h2>
      <Done view={view} glass={glass} run={run} />
      {glass.debt === "closed" ? null : (
        <>
          <h2>The review</h2>
          <CloseForm view={view} glass={glass} me={me} csrf={csrf} note={note} />
        </>
      )}
    </>
  );
}

function Done({ view, glass, run }: Pick<ReviewProps, "view" | "glass" | "run">) {
  const { executed_at } = view;
  return (
    <>
      <Facts
        rows={[
          [
            "Started",
            executed_at === null ? (
              <>
                not yet; it may until <When at={glass.until_at} />
              </>
            ) : (
              <When at={executed_at} />
            ),
          ],
          ["Run", view.run === null ? null : <Ref id={view.run} />],
          ["Came to", run?.is === "told" ? <CameTo run={run.value} /> : null],
          ["Recorded", <Ref id={glass.id} name="entries that name this broken glass" />],
        ]}
      />
      {run?.is === "refused" ? <Refused what="the run" problem={run.problem} /> : null}
      {run?.is === "told" ? (
        <>
          <h3>What it called</h3>
          <RunCalls run={run.value} />
        </>
      ) : null}
    </>
  );
}

function CameTo({ run }: { run: RunView }) {
  const { name, tone } = wordsOf(run);
  return <Badge tone={tone}>{name}</Badge>;
}

function CloseForm({ view, glass, me, csrf, note }: Omit<ReviewProps, "run">) {
  const bar = barOfReview(glass, me);
  if (bar !== undefined) return <p>You may not close this review. {bar}</p>;
  return (
    <form method="post" action={`/reviews/${encodeURIComponent(glass.id)}/close`}>
      <input type="hidden" name="csrf" value={csrf} />
      <input type="hidden" name="approval" value={view.id} />
      <p>
        Was there no time for the people whom the gate asks for? Is what happened what was said, and no more than was
        needed? Closing it agrees to nothing: it says that you looked, and what you found. Privileged work goes on
        afterwards.
      </p>
      <label for="note">What you found</label>
      <textarea id="note" name="note" required maxlength={VOTE_NOTE_CHARS_MAX} autofocus={note !== undefined}>
        {note ?? ""}
      </textarea>
      <p class="acts">
        <button type="submit">Close the review</button>
      </p>
    </form>
  );
}
