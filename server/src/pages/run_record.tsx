import type { Entry, Page, RunView, Timeline } from "@gantry/sdk";
import { SHOWN_ENTRIES_MAX, SHOWN_TEXT_CHARS_MAX } from "./contract.ts";
import { type Part, Refused } from "./part.tsx";
import { Said, When } from "./parts.tsx";
import { LeftOut, ListedRef, ListedWhen, type Names, Ref, SaidBriefly, Who, WideTable } from "./record_parts.tsx";

/** What happened to it, by the ledger alone. */
export function RunTimeline({ run, timeline, names }: { run: string; timeline: Part<Timeline>; names: Names }) {
  if (timeline.is === "refused") return <Refused what="the timeline" problem={timeline.problem} />;
  const { lines, gaps } = timeline.value;
  return (
    <>
      <ol class="told">
        {lines.slice(0, SHOWN_ENTRIES_MAX).map(({ entry, at, kind, chain, text, details }) => (
          <li>
            <When at={at} /> <SaidBriefly text={text} chars_max={SHOWN_TEXT_CHARS_MAX} />
            <br />
            <small>
              <Said text={kind} />, <Who chain={chain} names={names} />, <Ref id={entry} name="its entry" />
            </small>
            {details.length === 0 ? null : (
              <ul>
                {details.slice(0, SHOWN_ENTRIES_MAX).map((detail) => (
                  <li>
                    <SaidBriefly text={detail} chars_max={SHOWN_TEXT_CHARS_MAX} />
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ol>
      {lines.length > SHOWN_ENTRIES_MAX ? (
        <LeftOut command={`npx gantry timeline ${run}`}>
          Only its first {SHOWN_ENTRIES_MAX} facts are shown. All:
        </LeftOut>
      ) : null}
      {gaps.length === 0 ? null : (
        <>
          <p>What one might look for, and is not there:</p>
          <ul>
            {gaps.slice(0, SHOWN_ENTRIES_MAX).map(({ text }) => (
              <li>
                <SaidBriefly text={text} chars_max={SHOWN_TEXT_CHARS_MAX} />
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

/** The facts that the ledger has of it. Who may not read the ledger sees which they are. */
export function RunEntries({ run, entries }: { run: RunView; entries: Part<Page<Entry>> }) {
  if (entries.is === "refused") {
    return (
      <>
        <Refused what="what they say" problem={entries.problem} />
        <ul>
          {run.evidence.entries.slice(0, SHOWN_ENTRIES_MAX).map((id) => (
            <li>
              <Ref id={id} />
            </li>
          ))}
        </ul>
      </>
    );
  }
  const { items, next } = entries.value;
  return (
    <>
      <EntryTable caption="Entries that name this run, in the order of their arrival" entries={items} />
      {next === undefined ? null : (
        <LeftOut command={`npx gantry evidence list --ref ${run.id}`}>These are the first {items.length}. All:</LeftOut>
      )}
    </>
  );
}

function EntryTable({ caption, entries }: { caption: string; entries: readonly Entry[] }) {
  return (
    <WideTable
      caption={caption}
      heads={["Index", "Entry", "Kind", "Recorded"]}
      numbers={["Index"]}
      rows={entries.map(({ id, kind, at, index }) => [
        index ?? "not sealed yet",
        <ListedRef id={id} />,
        <Said text={kind} />,
        <ListedWhen at={at} />,
      ])}
    />
  );
}
