import type { Entry, Gantry, Page, RunState, RunView, Termination } from "@gantry/sdk";
import type { Context } from "hono";
import { answerPage } from "./answer.tsx";
import { PAGE_ROWS, SHOWN_ENTRIES_MAX } from "./contract.ts";
import { EntryPage } from "./entry_page.tsx";
import { readCheckpoint, readInclusion } from "./inclusion.ts";
import { LedgerPage } from "./ledger_page.tsx";
import { namesFor } from "./names.ts";
import { type Part, partOf, toldOf } from "./part.tsx";
import type { ProofPart } from "./proof_parts.tsx";
import { RunList } from "./run_list.tsx";
import { readLogPage } from "./run_log.tsx";
import { RunPage } from "./run_page.tsx";
import type { Asked, PageApp } from "./session.tsx";

/** As many of a tree as one request gives. */
const TREE_ROWS = 200;

/** The pages of runs and of the ledger. */
export function recordPages(app: PageApp): void {
  app.get("/runs", showRuns);
  app.get("/runs/:id", showRun);
  app.get("/ledger", showLedger);
  app.get("/ledger/:entry", showEntry);
}

async function showRuns({ c, visitor }: Asked): Promise<Response> {
  const { state, termination, session, root, cursor } = queryOf(c);
  const [runs, names] = await Promise.all([
    partOf(
      visitor.gantry.runs.list({
        limit: PAGE_ROWS,
        // The API judges them: what it does not know it refuses with what would be right.
        ...(state === undefined ? {} : { state: state as RunState }),
        ...(termination === undefined ? {} : { termination: termination as Termination }),
        ...(session === undefined ? {} : { session }),
        ...(root === undefined ? {} : { root }),
        ...(cursor === undefined ? {} : { cursor }),
      }),
    ),
    namesFor(visitor),
  ]);
  const page = (
    <RunList
      visitor={visitor}
      filter={{ state, termination, session, root }}
      cursor={cursor}
      runs={runs}
      names={names}
    />
  );
  return answerPage(c, page, statusOf(runs));
}

async function showRun({ c, visitor }: Asked): Promise<Response> {
  const { gantry } = visitor;
  const id = c.req.param("id") ?? "";
  const log_before = positiveOf(c.req.query("log_before"));
  const [run, names, log, timeline, entries] = await Promise.all([
    gantry.runs.get(id),
    namesFor(visitor),
    partOf(readLogPage(gantry, id, log_before)),
    partOf(gantry.timelines.get({ ref: id })),
    partOf(gantry.evidence.list({ ref: id, limit: SHOWN_ENTRIES_MAX })),
  ]);
  const page = (
    <RunPage
      visitor={visitor}
      run={run}
      names={names}
      log={log}
      log_before={log_before}
      children_of={await partOf(childrenOf(gantry, run))}
      timeline={timeline}
      entries={entries}
      proof={await proofOfNewest(gantry, entries)}
    />
  );
  return answerPage(c, page);
}

async function showLedger({ c, visitor, now }: Asked): Promise<Response> {
  const { gantry } = visitor;
  const { kind, ref, cursor } = queryOf(c);
  const [entries, head, witnesses, names] = await Promise.all([
    partOf(
      gantry.evidence.list({
        order: "newest",
        limit: PAGE_ROWS,
        ...(kind === undefined ? {} : { kind }),
        ...(ref === undefined ? {} : { ref }),
        ...(cursor === undefined ? {} : { cursor }),
      }),
    ),
    partOf(gantry.proofs.checkpoint().then(readCheckpoint)),
    partOf(gantry.evidence.witnesses().then(({ items }) => items)),
    namesFor(visitor),
  ]);
  const page = (
    <LedgerPage
      visitor={visitor}
      filter={{ kind, ref }}
      cursor={cursor}
      entries={entries}
      head={head}
      witnesses={witnesses}
      names={names}
      now={now}
    />
  );
  return answerPage(c, page, statusOf(entries));
}

async function showEntry({ c, visitor }: Asked): Promise<Response> {
  const { gantry } = visitor;
  const id = c.req.param("entry") ?? "";
  const [entry, names] = await Promise.all([gantry.evidence.get(id), namesFor(visitor)]);
  const page = <EntryPage visitor={visitor} entry={entry} proof={await proofOf(gantry, id)} names={names} />;
  return answerPage(c, page);
}

/** What the address asks for; a field of the form that was left empty asks for nothing. */
function queryOf(c: Context): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(c.req.query()).filter(([, value]) => value !== ""));
}

/** A page that is about nothing but what was refused says so by its status too. */
function statusOf(part: Part<unknown>) {
  return part.is === "refused" ? (part.problem.status as 400) : 200;
}

function positiveOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined;
}

/** The runs that this one started itself, out of what its tree has started. */
async function childrenOf(gantry: Gantry, run: RunView): Promise<{ runs: RunView[]; more: boolean }> {
  const { items, next } = await gantry.runs.list({ root: run.root ?? run.id, limit: TREE_ROWS });
  return { runs: items.filter(({ parent }) => parent === run.id), more: next !== undefined };
}

function proofOf(gantry: Gantry, entry: string): Promise<ProofPart> {
  return partOf(gantry.proofs.proof(entry).then(readInclusion));
}

async function proofOfNewest(gantry: Gantry, entries: Part<Page<Entry>>) {
  const newest = toldOf(entries)?.items.findLast(({ sealed }) => sealed);
  return newest === undefined ? undefined : { entry: newest.id, part: await proofOf(gantry, newest.id) };
}
