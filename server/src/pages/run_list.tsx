import type { Page, RunState, RunView, Termination } from "@gantry/sdk";
import { durationText } from "./figures.ts";
import { Layout } from "./layout.tsx";
import { type Part, Refused } from "./part.tsx";
import { Badge, Empty, Said } from "./parts.tsx";
import { ProblemNote } from "./problem_page.tsx";
import { Commands, ListedRef, ListedWhen, type Names, Pager, pathWith, Who, WideTable } from "./record_parts.tsx";
import { STATES, TERMINATIONS, wordsOf } from "./run_words.ts";
import type { Visitor } from "./visitor.ts";

/** What narrows the list, as the address says it: texts that nobody has judged yet. */
export interface RunFilter {
  state?: string | undefined;
  termination?: string | undefined;
  session?: string | undefined;
  root?: string | undefined;
}

export interface RunListProps {
  visitor: Visitor;
  filter: RunFilter;
  cursor: string | undefined;
  runs: Part<Page<RunView>>;
  names: Names;
}

/** Every run of the tenant, the newest first. */
export function RunList({ visitor, filter, cursor, runs, names }: RunListProps) {
  const narrowed = Object.values(filter).some((value) => value !== undefined);
  return (
    <Layout title="Runs" visitor={visitor} at="runs">
      <h1>Runs</h1>
      <p class="soft">Every execution of guest code in {visitor.me.tenant.slug}, the newest first.</p>
      <Filter filter={filter} />
      {runs.is === "refused" ? (
        <NoList problem={runs.problem} />
      ) : runs.value.items.length === 0 ? (
        <NoRuns narrowed={narrowed} behind={cursor !== undefined} />
      ) : (
        <RunTable runs={runs.value.items} names={names} caption={captionOf(filter, cursor)} />
      )}
      <Pager
        first={cursor === undefined ? undefined : pathWith("/runs", { ...filter })}
        next={nextOf(runs, filter)}
        older="Older runs"
      />
    </Layout>
  );
}

/** Runs, a row each. */
export function RunTable({ runs, names, caption }: { runs: readonly RunView[]; names: Names; caption: string }) {
  return (
    <WideTable
      caption={caption}
      heads={["Run", "Outcome", "Contract", "Created", "CPU", "Wall", "Lane", "Who"]}
      numbers={["CPU", "Wall"]}
      rows={runs.map((run) => [
        <ListedRef id={run.id} />,
        <Outcome run={run} />,
        <Said text={`${run.contract.name}@${run.contract.version}`} />,
        <ListedWhen at={run.created_at} />,
        run.usage === undefined ? "" : durationText(run.usage.cpu_ms),
        run.timing === undefined ? "" : durationText(run.timing.startup_ms + run.timing.completion_ms),
        run.lane,
        <Who chain={run.chain} names={names} linked={false} />,
      ])}
    />
  );
}

/** How a run ended, or where it stands, in a word. */
export function Outcome({ run }: { run: Pick<RunView, "state" | "termination"> }) {
  const { tone, name } = wordsOf(run);
  return <Badge tone={tone}>{name}</Badge>;
}

function captionOf(filter: RunFilter, cursor: string | undefined): string {
  const what = Object.values(filter).some((value) => value !== undefined) ? "Runs that fit" : "Runs";
  return cursor === undefined ? `${what}, the newest first` : `${what}, further back`;
}

function nextOf(runs: Part<Page<RunView>>, filter: RunFilter): string | undefined {
  if (runs.is === "refused" || runs.value.next === undefined) return undefined;
  return pathWith("/runs", { ...filter, cursor: runs.value.next });
}

function Filter({ filter }: { filter: RunFilter }) {
  return (
    <form class="filter" method="get" action="/runs">
      <Choice name="state" title="State" words={STATES} chosen={filter.state} />
      <Choice name="termination" title="Ended how" words={TERMINATIONS} chosen={filter.termination} />
      <div>
        <label for="session">Session</label>
        <input id="session" name="session" type="text" value={filter.session ?? ""} size={12} />
      </div>
      <button class="quiet" type="submit">
        Show
      </button>
    </form>
  );
}

interface ChoiceProps {
  name: string;
  title: string;
  words: Record<RunState, { name: string }> | Record<Termination, { name: string }>;
  chosen: string | undefined;
}

function Choice({ name, title, words, chosen }: ChoiceProps) {
  return (
    <div>
      <label for={name}>{title}</label>
      <select id={name} name={name}>
        <option value="">any</option>
        {Object.entries(words).map(([value, { name: text }]) => (
          <option value={value} selected={value === chosen}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

function NoList({ problem }: { problem: Parameters<typeof ProblemNote>[0]["problem"] }) {
  return problem.code === "SCOPE_MISSING" ? (
    <Refused what="the runs" problem={problem} />
  ) : (
    <ProblemNote problem={problem} />
  );
}

/** Says how there would be one. */
function NoRuns({ narrowed, behind }: { narrowed: boolean; behind: boolean }) {
  if (narrowed || behind) {
    return (
      <Empty title={behind ? "There is nothing further back." : "No run fits."}>
        <p>
          <a href="/runs">All runs</a>
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="Nothing has run yet.">
      <p>Write a program and run it, from where Gantry is installed:</p>
      <Commands
        label="Commands that make a first run"
        lines={[
          "echo 'export default (input) => ({ sum: input.a + input.b })' > sum.ts",
          `npx gantry run sum.ts --input '{"a": 1, "b": 2}'`,
        ]}
      />
      <p>It is here as soon as it is asked for, whether it is let run or not.</p>
    </Empty>
  );
}
