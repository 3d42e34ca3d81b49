import type { Approval } from "@gantry/sdk";
import type { Child } from "hono/jsx";
import { Glass } from "./approval_sections.tsx";
import { Note, Said, type Tone, When } from "./parts.tsx";
import { type Names, Ref } from "./record_parts.tsx";

/** How an approval ended, or that it has not; above everything else that its page says. */
export function Outcome({ view, names }: { view: Approval; names: Names }) {
  const { status, decided_at, execute_before_at, executed_at, superseded_by, break_glass, run, votes } = view;
  const declined = votes.find(({ vote }) => vote === "decline");
  const leads = run === null ? null : <RunLink run={run} />;
  switch (status) {
    case "pending":
      return null;
    case "approved":
      return (
        <State tone="good" title="It is approved.">
          {execute_before_at === null ? null : (
            <p>
              It may start until <When at={execute_before_at} />. Until it has, one decline still ends it.
            </p>
          )}
          {leads}
        </State>
      );
    case "executed":
      return (
        <State tone="good" title="It is approved, and has started.">
          {executed_at === null ? null : (
            <p>
              It started at <When at={executed_at} />, and the approval is used up.
            </p>
          )}
          {leads}
        </State>
      );
    case "declined":
      return (
        <State tone="bad" title="It is declined.">
          {declined === undefined ? null : (
            <p>
              By <Said text={names.get(declined.actor) ?? declined.actor} /> at <When at={declined.at} />
              {declined.note === null ? "." : ": "}
              {declined.note === null ? null : <Said text={declined.note} />}
            </p>
          )}
          {leads}
        </State>
      );
    case "expired":
      return (
        <State tone="plain" title="It has expired.">
          <p>
            {execute_before_at === null ? "Nobody decided in time." : "It was approved, and did not start in time."}
          </p>
          {leads}
        </State>
      );
    case "superseded":
      return (
        <State tone="plain" title="It no longer holds.">
          <Superseded by={superseded_by} code={view.code} at={decided_at} />
          {leads}
        </State>
      );
    case "broken_glass":
      return (
        <State tone="warn" title="Somebody broke the glass: one person decided in the place of the quorum.">
          {break_glass === null ? null : <Glass glass={break_glass} names={names} />}
          {leads}
        </State>
      );
  }
}

function State({ tone, title, children }: { tone: Tone; title: string; children: Child }) {
  return (
    <Note tone={tone} title={title} role="status">
      {children}
    </Note>
  );
}

function Superseded({ by, code, at }: { by: string | null; code: string | null; at: number | null }) {
  return (
    <p>
      {by === null ? (
        <>
          What was asked for is no longer what would happen{code === null ? "" : " "}
          {code === null ? null : <code>{code}</code>}.
        </>
      ) : (
        <>
          A newer request for the same has taken its place: <Ref id={by} />.
        </>
      )}
      {at === null ? null : (
        <>
          {" "}
          Since <When at={at} />.
        </>
      )}
    </p>
  );
}

function RunLink({ run }: { run: string }) {
  return (
    <p>
      The run: <Ref id={run} />
    </p>
  );
}
