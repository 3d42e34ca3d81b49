import type { Entry, Page, RunView, Timeline } from "@gantry/sdk";
import { SHOWN_CHILDREN_MAX } from "./contract.ts";
import { durationText } from "./figures.ts";
import { Layout } from "./layout.tsx";
import { type Part, Refused } from "./part.tsx";
import { Facts, Hash, Note, Said, When } from "./parts.tsx";
import { InclusionFacts, type ProofPart, ProveElsewhere, SealedText } from "./proof_parts.tsx";
import { LeftOut, type Names, Ref, Who } from "./record_parts.tsx";
import { RunCalls } from "./run_calls.tsx";
import { Outcome, RunTable } from "./run_list.tsx";
import { type LogPage, RunLog } from "./run_log.tsx";
import { RunOutcome, RunResult } from "./run_outcome.tsx";
import { RunEntries, RunTimeline } from "./run_record.tsx";
import { RunUsage } from "./run_usage.tsx";
import type { Visitor } from "./visitor.ts";

export interface RunPageProps {
  visitor: Visitor;
  run: RunView;
  names: Names;
  log: Part<LogPage>;
  log_before: number | undefined;
  children_of: Part<{ runs: RunView[]; more: boolean }>;
  timeline: Part<Timeline>;
  entries: Part<Page<Entry>>;
  /** Of the newest of its entries that is sealed; undefined when none is. */
  proof: { entry: string; part: ProofPart } | undefined;
}

/** One run: what it was, how it ended, what it did, and what proves it. */
export function RunPage({ visitor, run, names, ...parts }: RunPageProps) {
  const { log, log_before, children_of, timeline, entries, proof } = parts;
  return (
    <Layout title={`Run ${run.id}`} visitor={visitor} at="runs">
      <h1>
        Run <Hash value={run.id} />
      </h1>
      <p>
        <Outcome run={run} /> under <Contract run={run} />, asked for by <Who chain={run.chain} names={names} />,{" "}
        <When at={run.created_at} />
      </p>
      <RunOutcome run={run} />
      <h2>Result</h2>
      <RunResult run={run} />
      <h2 id="log">Log</h2>
      <RunLog run={run} log={log} before={log_before} />
      <h2>Usage</h2>
      <RunUsage run={run} />
      <h2>Calls</h2>
      <RunCalls run={run} />
      <h2>Circumstances</h2>
      <Circumstances run={run} />
      <Tree run={run} children_of={children_of} names={names} />
      <h2>What happened</h2>
      <RunTimeline run={run.id} timeline={timeline} names={names} />
      <h2>Entries</h2>
      <RunEntries run={run} entries={entries} />
      <h2>Proof</h2>
      <Proof run={run.id} entries={entries} proof={proof} />
    </Layout>
  );
}

function Contract({ run: { contract } }: { run: RunView }) {
  return (
    <>
      the contract{" "}
      <strong>
        <Said text={`${contract.name}@${contract.version}`} />
      </strong>
    </>
  );
}

/** Where and how it ran. */
function Circumstances({ run }: { run: RunView }) {
  const { timing, session } = run;
  return (
    <Facts
      rows={[
        ["Lane", run.lane],
        ["Isolation", session === undefined ? run.isolation : <Said text={`${run.isolation} ${session}`} />],
        ["Jail", jailOf(run)],
        ["Environment", run.target === undefined ? null : <Said text={run.target} />],
        ["Attempt", run.attempt === 1 ? null : run.attempt],
        ["Queued", timing === undefined ? null : durationText(timing.queued_ms)],
        [
          "Startup",
          timing === undefined ? null : `${durationText(timing.startup_ms)}${run.cold === true ? ", cold" : ""}`,
        ],
        ["From code to outcome", timing === undefined ? null : durationText(timing.completion_ms)],
        [
          "Class for retries",
          run.retry_class === undefined || run.termination === "completed" ? null : run.retry_class,
        ],
        ["Approval", run.approval === undefined ? null : <Ref id={run.approval} />],
        ["Statement", run.statement_hash === undefined ? null : <Hash value={run.statement_hash} />],
        ["Code, SHA-256", <Hash value={run.code_hash} />],
        ["Decided against", <Ref id={run.snapshot} />],
        ["Started by", run.parent === undefined ? null : <Ref id={run.parent} />],
        ["First of its tree", run.root === undefined ? null : <Ref id={run.root} />],
      ]}
    />
  );
}

function jailOf({ jail }: RunView) {
  if (jail === undefined) return null;
  return jail === "none" ? <strong>none: nothing held this run in</strong> : jail;
}

/** What it started. Most runs start nothing, and then there is nothing to say. */
function Tree({ run, children_of, names }: Pick<RunPageProps, "run" | "children_of" | "names">) {
  if (children_of.is === "refused") {
    return (
      <>
        <h2>Runs that it started</h2>
        <Refused what="the runs that it started" problem={children_of.problem} />
      </>
    );
  }
  const { runs, more } = children_of.value;
  if (runs.length === 0 && !more) return null;
  return (
    <>
      <h2>Runs that it started</h2>
      <RunTable
        runs={runs.slice(0, SHOWN_CHILDREN_MAX)}
        names={names}
        caption="Runs that it started, the newest first"
      />
      {more || runs.length > SHOWN_CHILDREN_MAX ? (
        <LeftOut command={`npx gantry runs tree ${run.id}`}>
          At most {SHOWN_CHILDREN_MAX} are shown. The whole tree:
        </LeftOut>
      ) : null}
    </>
  );
}

function Proof({ run, entries, proof }: { run: string } & Pick<RunPageProps, "entries" | "proof">) {
  return (
    <>
      {entries.is === "refused" ? (
        <Refused what="whether its entries are sealed" problem={entries.problem} />
      ) : (
        <p>
          <SealedText entries={entries.value.items} more={entries.value.next !== undefined} />
        </p>
      )}
      {proof === undefined ? (
        entries.is === "refused" ? null : (
          <Note tone="wait" title="Nothing can be proved yet">
            <p>Entries are sealed within a fraction of a second. Load the page again.</p>
          </Note>
        )
      ) : (
        <>
          <h3>
            The newest of them, <Ref id={proof.entry} />
          </h3>
          <InclusionFacts entry={proof.entry} proof={proof.part} />
        </>
      )}
      <h3>For somebody else</h3>
      <ProveElsewhere
        what="this run"
        exporting={`npx gantry evidence export --run ${run} -o run.bundle`}
        file="run.bundle"
      />
    </>
  );
}
