import type { Approval } from "@gantry/sdk";
import { GLASS_FORM_CHARS_MAX, GLASS_FORM_CHARS_MIN, GLASS_FORM_MINUTES, GLASS_FORM_MINUTES_MAX } from "./contract.ts";
import { Hash } from "./parts.tsx";
import { countText } from "./text.ts";

export interface GlassFormProps {
  view: Approval;
  /** Of what the page shows. */
  hash: string;
  csrf: string;
  /** What was written before, when the glass was not broken. */
  written: { reason: string; minutes: string } | undefined;
}

/** How one decides alone, in an emergency: closed until it is asked for, and plain about what follows. */
export function GlassForm(props: GlassFormProps) {
  return (
    <details id="glass" open={props.written !== undefined}>
      <summary>In an emergency: break the glass</summary>
      <Consequences view={props.view} />
      <Form {...props} />
    </details>
  );
}

function Consequences({ view }: { view: Approval }) {
  return (
    <>
      <p>
        You decide alone, in the place of {countText(view.statement.quorum, "person", "people")}. Do it where waiting
        for them would do more harm than being wrong.
      </p>
      <ul>
        <li>It starts at once, and nobody can decline it any more.</li>
        <li>It replaces the people, and nothing else: what the policy denies stays denied, and every limit holds.</li>
        <li>
          It holds for the minutes that you give. What has not started by then does not start, and what a person must
          agree to is not let out of a run any more.
        </li>
        <li>Your name and your reason are recorded for good, and everybody who asked to be told is told.</li>
        <li>
          It opens a review. Nothing privileged starts here any more until another person has looked at what you did and
          has closed it.
        </li>
      </ul>
    </>
  );
}

function Form({ view, hash, csrf, written }: GlassFormProps) {
  return (
    <form method="post" action={`/approvals/${encodeURIComponent(view.id)}/break-glass`}>
      <input type="hidden" name="csrf" value={csrf} />
      <input type="hidden" name="statement_hash" value={hash} />
      <label for="reason">
        Reason <small>(at least {GLASS_FORM_CHARS_MIN} characters)</small>
      </label>
      <textarea
        id="reason"
        name="reason"
        required
        minlength={GLASS_FORM_CHARS_MIN}
        maxlength={GLASS_FORM_CHARS_MAX}
        autofocus={written !== undefined}
      >
        {written?.reason ?? ""}
      </textarea>
      <label for="minutes">
        Minutes <small>(1 to {GLASS_FORM_MINUTES_MAX})</small>
      </label>
      <input
        id="minutes"
        name="minutes"
        type="number"
        required
        min={1}
        max={GLASS_FORM_MINUTES_MAX}
        value={written?.minutes ?? GLASS_FORM_MINUTES}
      />
      <p class="soft">
        It names the statement <Hash value={hash} />, and holds for nothing else.
      </p>
      <p class="acts">
        <button type="submit" class="no">
          Break the glass
        </button>
      </p>
    </form>
  );
}
