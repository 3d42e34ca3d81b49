import type { Entry, Page, Witness } from "@gantry/sdk";
import { SHOWN_REFS_MAX } from "./contract.ts";
import { durationText } from "./figures.ts";
import type { Checkpoint } from "./inclusion.ts";
import { Layout } from "./layout.tsx";
import { type Part, Refused } from "./part.tsx";
import { Badge, Empty, Said, When } from "./parts.tsx";
import { ProblemNote } from "./problem_page.tsx";
import { CheckpointFacts } from "./proof_parts.tsx";
import { Commands, ListedRef, ListedWhen, type Names, Pager, pathWith, Who, WideTable } from "./record_parts.tsx";
import { countText } from "./text.ts";
import type { Visitor } from "./visitor.ts";

/** What narrows the list, as the address says it. */
export interface LedgerFilter {
  kind?: string | undefined;
  ref?: string | undefined;
}

export interface LedgerPageProps {
  visitor: Visitor;
  filter: LedgerFilter;
  cursor: string | undefined;
  entries: Part<Page<Entry>>;
  /** Undefined: what came is no checkpoint. */
  head: Part<Checkpoint | undefined>;
  witnesses: Part<readonly Witness[]>;
  names: Names;
  now: number;
}

/** Every fact that is recorded of the tenant, the newest first, and the head of the log that they are sealed into. */
export function LedgerPage({ visitor, filter, cursor, entries, names, now, ...head }: LedgerPageProps) {
  return (
    <Layout title="Ledger" visitor={visitor} at="ledger">
      <h1>Ledger</h1>
      <p class="soft">
        What happened in {visitor.me.tenant.slug}: who asked for what, how it was decided, how it ended. It can be read
        here, and changed nowhere.
      </p>
      <Filter filter={filter} />
      {entries.is === "refused" ? (
        entries.problem.code === "SCOPE_MISSING" ? (
          <Refused what="the entries" problem={entries.problem} />
        ) : (
          <ProblemNote problem={entries.problem} />
        )
      ) : entries.value.items.length === 0 ? (
        <NoEntries />
      ) : (
        <EntryRows entries={entries.value.items} names={names} behind={cursor !== undefined} />
      )}
      <Pager
        first={cursor === undefined ? undefined : pathWith("/ledger", { ...filter })}
        next={
          entries.is === "refused" || entries.value.next === undefined
            ? undefined
            : pathWith("/ledger", { ...filter, cursor: entries.value.next })
        }
        older="Older entries"
      />
      <Head {...head} newest={newestOf(entries, cursor, filter)} now={now} />
    </Layout>
  );
}

function EntryRows({ entries, names, behind }: { entries: readonly Entry[]; names: Names; behind: boolean }) {
  return (
    <WideTable
      caption={behind ? "Entries, further back" : "Entries, the newest first"}
      heads={["Index", "Entry", "Kind", "Recorded", "Decision", "Who", "Names"]}
      numbers={["Index"]}
      rows={entries.map(({ id, index, kind, at, decision, refs, actor }) => [
        index ?? "waits",
        <ListedRef id={id} />,
        <Said text={kind} />,
        <ListedWhen at={at} />,
        decision === undefined ? "" : <Said text={decision.verdict} />,
        <Who chain={actor} names={names} linked={false} />,
        <Refs refs={refs} />,
      ])}
    />
  );
}

/** Those that have pages of their own come first. */
function Refs({ refs }: { refs: readonly string[] }) {
  const first = refs.filter((id) => /^(run|apr)_/.test(id));
  const shown = [...first, ...refs.filter((id) => !first.includes(id))].slice(0, SHOWN_REFS_MAX);
  const more = refs.length - shown.length;
  return (
    <>
      {shown.map((id) => (
        <>
          <ListedRef id={id} />{" "}
        </>
      ))}
      {more > 0 ? `and ${more} more` : ""}
    </>
  );
}

function Filter({ filter }: { filter: LedgerFilter }) {
  return (
    <form class="filter" method="get" action="/ledger">
      <div>
        <label for="kind">Kind, as run.ended</label>
        <input id="kind" name="kind" type="text" value={filter.kind ?? ""} size={18} maxlength={64} />
      </div>
      <div>
        <label for="ref">Names this id</label>
        <input id="ref" name="ref" type="text" value={filter.ref ?? ""} size={32} maxlength={256} />
      </div>
      <button class="quiet" type="submit">
        Show
      </button>
    </form>
  );
}

function NoEntries() {
  return (
    <Empty title="No entry fits.">
      <p>
        <a href="/ledger">All entries</a>
      </p>
    </Empty>
  );
}

/** When the newest entry was recorded that this page knows to be sealed, and since when one waits. */
interface Newest {
  sealed_at: number | undefined;
  waiting: number;
  waiting_since: number | undefined;
}

/** Only the first page of the whole list knows. */
function newestOf(entries: Part<Page<Entry>>, cursor: string | undefined, filter: LedgerFilter): Newest | undefined {
  const whole = cursor === undefined && filter.kind === undefined && filter.ref === undefined;
  if (entries.is === "refused" || !whole) return undefined;
  const waiting = entries.value.items.filter(({ sealed }) => !sealed);
  return {
    sealed_at: entries.value.items.find(({ sealed }) => sealed)?.at,
    waiting: waiting.length,
    waiting_since: waiting.at(-1)?.at,
  };
}

interface HeadProps extends Pick<LedgerPageProps, "head" | "witnesses" | "now"> {
  newest: Newest | undefined;
}

function Head({ head, witnesses, newest, now }: HeadProps) {
  return (
    <>
      <h2>Head of the log</h2>
      {head.is === "refused" ? (
        <Refused what="the head of the log" problem={head.problem} />
      ) : head.value === undefined ? (
        <p>What this server gave as its checkpoint cannot be read.</p>
      ) : (
        <CheckpointFacts checkpoint={head.value} />
      )}
      {newest === undefined ? null : <Lag newest={newest} now={now} />}
      <p>
        Keep a checkpoint where nobody who runs this server can reach it. Whatever is shown later must be an extension
        of it:
      </p>
      <Commands
        label="Commands that keep a checkpoint and the key"
        lines={["npx gantry evidence checkpoint -o saved", "npx gantry evidence key > log.pub"]}
      />
      <h2>Witnesses</h2>
      <Witnesses witnesses={witnesses} head={head} />
    </>
  );
}

function Lag({ newest: { sealed_at, waiting, waiting_since }, now }: { newest: Newest; now: number }) {
  return (
    <p>
      {sealed_at === undefined ? null : (
        <>
          A checkpoint carries no time; this one was signed after <When at={sealed_at} />, when the newest of the sealed
          entries above was recorded.{" "}
        </>
      )}
      {waiting_since === undefined
        ? "Nothing waits to be sealed."
        : `${countText(waiting, "entry waits", "entries wait")} to be sealed, for ${durationText(Math.max(0, now - waiting_since))} at most.`}
    </p>
  );
}

function Witnesses({ witnesses, head }: Pick<HeadProps, "witnesses" | "head">) {
  if (witnesses.is === "refused") return <Refused what="the witnesses" problem={witnesses.problem} />;
  if (witnesses.value.length === 0) {
    return (
      <p>
        There are none: copies of checkpoints are with this server alone, and a log kept only by its operator proves
        nothing against the operator. <code>witnesses</code> in the config file names some.
      </p>
    );
  }
  const size = head.is === "told" ? head.value?.size : undefined;
  return (
    <WideTable
      caption="Who holds copies of checkpoints where this server cannot take them back"
      heads={["Witness", "State", "Holds size", "Behind by", "Held the newest"]}
      numbers={["Holds size", "Behind by"]}
      rows={witnesses.value.map((one) => [
        <Said text={one.sink} />,
        one.error === null ? (
          <Badge tone={one.size === size ? "good" : "wait"}>{one.size === size ? "holds all" : "behind"}</Badge>
        ) : (
          <>
            <Badge tone="bad">fails</Badge> <Said text={one.error} />
          </>
        ),
        one.size.toLocaleString("en-US"),
        durationText(one.lag_ms),
        one.ok_at === null ? "never" : <ListedWhen at={one.ok_at} />,
      ])}
    />
  );
}
