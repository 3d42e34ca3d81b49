import type { Approval } from "@gantry/sdk";
import { VOTE_NOTE_CHARS_MAX } from "./contract.ts";
import { Hash } from "./parts.tsx";
import type { Standing } from "./standing.ts";
import { countText } from "./text.ts";

export interface VoteFormProps {
  view: Approval;
  /** Of what the page shows; computed from it, and compared with the server's. */
  hash: string;
  standing: Standing;
  csrf: string;
  /** What was written before, when a vote was not taken. */
  note: string | undefined;
  /** A decline came without its reason. */
  reason_missing: boolean;
}

/** How one decides: about exactly what stands above, by its hash. */
export function VoteForm({ view, hash, standing, csrf, note, reason_missing }: VoteFormProps) {
  if (standing.may === "nothing") {
    return <p>You may not vote on this. {standing.why}</p>;
  }
  const vetoes = standing.may === "veto";
  return (
    <form method="post" action={`/approvals/${encodeURIComponent(view.id)}/votes`} class="vote">
      <input type="hidden" name="csrf" value={csrf} />
      <input type="hidden" name="statement_hash" value={hash} />
      <p>{vetoes ? "Enough people have approved. One decline still ends it, until it has started." : effectOf(view)}</p>
      <label for="note">
        Note <small>(a decline needs one: whoever asked should know why)</small>
      </label>
      <textarea
        id="note"
        name="note"
        maxlength={VOTE_NOTE_CHARS_MAX}
        required
        autofocus={reason_missing}
        aria-describedby={reason_missing ? "note-missing" : undefined}
        aria-invalid={reason_missing ? "true" : undefined}
      >
        {note ?? ""}
      </textarea>
      {reason_missing ? (
        <p id="note-missing" class="fault">
          Write why you decline.
        </p>
      ) : null}
      <p class="soft">
        Your vote names the statement <Hash value={hash} />. If anything of it changes, the vote is void.
      </p>
      <p class="acts">
        {vetoes ? null : (
          <button type="submit" name="vote" value="approve" formnovalidate>
            Approve
          </button>
        )}
        <button type="submit" name="vote" value="decline" class="no">
          Decline
        </button>
      </p>
    </form>
  );
}

function effectOf({ votes, statement }: Approval): string {
  const missing = statement.quorum - votes.filter(({ vote }) => vote === "approve").length;
  if (missing <= 1) return "Your approval decides it: it starts at once. One decline ends it.";
  return `It takes ${countText(missing, "more approval")}, of different people. One decline ends it.`;
}
