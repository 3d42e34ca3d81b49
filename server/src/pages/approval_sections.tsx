import type { Approval, BreakGlass, Statement } from "@gantry/sdk";
import { Diff } from "./diff.tsx";
import { Badge, Code, Facts, Hash, Said, Table, When } from "./parts.tsx";
import { type Names, Ref, Who } from "./record_parts.tsx";
import { STATUS_WORDS, votesText } from "./standing.ts";
import { countText, seenText, spanText } from "./text.ts";

/** What an approval shows, in the order in which it is worth reading. */
export interface Section {
  view: Approval;
  names: Names;
  /** Milliseconds UTC. */
  now: number;
}

/** Who wants what, where, and how long it may wait. */
export function WhoWhat({ view, names, now }: Section) {
  const { statement } = view;
  const { action, contract, target, quorum, gate, independence, not_after, execute_before } = statement;
  const left = view.status === "pending" ? ` (${spanText(not_after - now)} from now)` : "";
  return (
    <Facts
      rows={[
        ["Asked by", <Who chain={statement.chain} names={names} />],
        [
          "Action",
          <>
            <code>{action.name}</code> <Hash value={action.resource} />
          </>,
        ],
        ["Target", target === null ? null : <Said text={target} />],
        ["Contract", contract === null ? null : `${contract.name}@${contract.version}`],
        ["Run", view.run === null ? null : <Ref id={view.run} />],
        ["Asked at", <When at={view.created_at} />],
        [
          "Waits until",
          <>
            <When at={not_after} />
            {left}
          </>,
        ],
        ["Then starts", `within ${spanText(execute_before)} of the deciding vote`],
        [
          "Gate",
          <>
            <Said text={gate} />: {countText(quorum, "person", "people")}, independence {independence}
          </>,
        ],
      ]}
    />
  );
}

/** What may be done that was not allowed before. What widens comes first, whatever order it came in. */
export function Delta({ view: { preview } }: Section) {
  if (preview.delta.length === 0) return <p>Nothing beyond what was approved last.</p>;
  const lines = [...preview.delta].sort((a, b) => Number(b.loosens) - Number(a.loosens));
  return (
    <ul class="delta">
      {lines.map(({ at, change, loosens, text }) => (
        <li class={loosens ? "wider" : undefined}>
          <Badge tone={loosens ? "bad" : "good"}>{loosens ? `widens: ${change}` : change}</Badge> <Hash value={at} />
          <div>
            <Said text={text} />
          </div>
        </li>
      ))}
    </ul>
  );
}

/** The code as a difference, and where it comes from. */
export function CodePart({ view: { statement, preview } }: Section) {
  const facts = { ...(statement.code ?? {}), ...preview.provenance };
  return (
    <>
      <Difference diff={preview.diff} />
      <h3>Where it comes from</h3>
      <Facts
        rows={Object.entries(facts).map(
          ([name, value]) => [seenText(name.replaceAll("_", " ")), <Origin value={value} />] as const,
        )}
      />
    </>
  );
}

function Difference({ diff }: { diff: string | null }) {
  if (diff === null) return <p>There is nothing to compare.</p>;
  if (diff === "") return <p>Nothing differs from what was approved last, which is named below.</p>;
  return <Diff text={diff} />;
}

/** What is the name of something here leads there. */
function Origin({ value }: { value: string }) {
  return /^(run|apr)_[0-9a-z]{26}$/.test(value) ? <Ref id={value} /> : <Said text={value} />;
}

/** The rule that asks for a person. */
export function Verdict({ view: { preview } }: Section) {
  const { rule, codes } = preview.verdict;
  return (
    <>
      <p>
        <Said text={rule} />
      </p>
      {codes.length === 0 ? null : <p class="soft">{codes.join(" ")}</p>}
    </>
  );
}

/** What a trial of it has shown. */
export function Rehearsal({ view: { preview } }: Section) {
  if (preview.rehearsal === null) return <p>There was none.</p>;
  return <Code label="What the rehearsal showed" text={preview.rehearsal} />;
}

/** How far it can reach at most, and how it is undone. */
export function Reach({ view: { statement } }: Section) {
  const reach: Statement["blast_radius"] = statement.blast_radius;
  return (
    <Facts
      rows={[
        ["Hosts", listed(reach.hosts)],
        ["Methods", listed(reach.methods)],
        ["Apps", listed(reach.apps)],
        ["Effects", reach.effects_max === null ? "not counted" : `at most ${reach.effects_max}`],
        ["Share", reach.percent_max === null ? "does not apply" : `at most ${reach.percent_max} %`],
        ["Reversible", reach.reversible ? <Badge tone="good">yes</Badge> : <Badge tone="bad">no</Badge>],
        ["Undone by", <Said text={reach.rollback} />],
      ]}
    />
  );
}

function listed(names: readonly string[]) {
  return names.length === 0 ? "none" : <Said text={names.join(", ")} />;
}

/** What was decided about the like before. */
export function Similar({ view: { similar = [] } }: Section) {
  if (similar.length === 0) return <p>Nothing yet.</p>;
  return (
    <Table
      caption="Decisions about the like"
      heads={["When", "Came to", "Request", "Target"]}
      rows={similar.map(({ id, status, target, decided_at }) => {
        const [words, tone] = STATUS_WORDS[status];
        const cells = [
          <When at={decided_at} />,
          <Badge tone={tone}>{words}</Badge>,
          <Ref id={id} />,
          target === null ? "" : <Said text={target} />,
        ];
        return { cells };
      })}
    />
  );
}

/** Votes so far, and who has none. */
export function Votes({ view, names }: Section) {
  const { votes, excluded } = view;
  return (
    <>
      {votes.length === 0 ? (
        <p>Nobody has voted yet.</p>
      ) : (
        <Table
          caption="Votes so far"
          heads={["Vote", "By", "When", "Note"]}
          rows={votes.map(({ actor, vote, note, at }) => ({
            cells: [
              <Badge tone={vote === "approve" ? "good" : "bad"}>{vote}</Badge>,
              <Said text={names.get(actor) ?? actor} />,
              <When at={at} />,
              note === null ? "" : <Said text={note} />,
            ],
          }))}
        />
      )}
      <Facts
        rows={[
          ["Approvals", votesText(view)],
          ["May not vote", excluded.length === 0 ? "nobody is excluded" : <People ids={excluded} names={names} />],
        ]}
      />
    </>
  );
}

function People({ ids, names }: { ids: readonly string[]; names: Names }) {
  return (
    <>
      {ids.map((id, at) => (
        <>
          {at === 0 ? "" : ", "}
          <Said text={names.get(id) ?? id} />
        </>
      ))}
    </>
  );
}

/** A decision that one person took alone. */
export function Glass({ glass, names }: { glass: BreakGlass; names: Names }) {
  return (
    <Facts
      rows={[
        ["By", <Said text={names.get(glass.actor) ?? glass.actor} />],
        ["Broken at", <When at={glass.at} />],
        ["Reason", <Said text={glass.reason} />],
        ["Holds until", <When at={glass.until_at} />],
        ["Review", glass.debt === "open" ? <Badge tone="warn">owed</Badge> : <Badge tone="good">closed</Badge>],
        [
          "Reviewed by",
          glass.closed_by === null ? null : <Said text={names.get(glass.closed_by) ?? glass.closed_by} />,
        ],
        ["Found", glass.closed_note === null ? null : <Said text={glass.closed_note} />],
      ]}
    />
  );
}
