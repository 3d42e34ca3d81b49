import type { Entry } from "@gantry/sdk";
import { SHOWN_JSON_CHARS_MAX } from "./contract.ts";
import { Layout } from "./layout.tsx";
import { Facts, Hash, Said, When } from "./parts.tsx";
import { InclusionFacts, type ProofPart, ProveElsewhere } from "./proof_parts.tsx";
import { Commands, type Names, pathWith, Ref, ShownCode, Who } from "./record_parts.tsx";
import { shownJson } from "./shown.ts";
import type { Visitor } from "./visitor.ts";

export interface EntryPageProps {
  visitor: Visitor;
  entry: Entry;
  proof: ProofPart;
  names: Names;
}

/** One fact of the ledger, whole, and what proves it. */
export function EntryPage({ visitor, entry, proof, names }: EntryPageProps) {
  const { id, kind, at, actor, refs, snapshot, contract, decision, commitments = {}, leaf, index } = entry;
  const sealed_names = Object.keys(commitments);
  return (
    <Layout title={`Entry ${id}`} visitor={visitor} at="ledger">
      <h1>
        <Said text={kind} />
      </h1>
      <Facts
        rows={[
          ["Entry", <Hash value={id} />],
          ["Recorded", <When at={at} />],
          ["Who", <Who chain={actor} names={names} />],
          ["Names", refs.length === 0 ? null : <RefList refs={refs} />],
          ["Contract", contract === undefined ? null : <Said text={`${contract.name}@${contract.version}`} />],
          ["Decided against", snapshot === undefined ? null : <Ref id={snapshot} />],
          ["Decision", decision === undefined ? null : <Said text={[decision.verdict, ...decision.codes].join(" ")} />],
          ["Leaf", <Hash value={leaf} />],
          ["Index", index === undefined ? "none yet: it is not sealed" : index.toLocaleString("en-US")],
        ]}
      />
      <p>
        <a href={pathWith("/ledger", { kind })}>All entries of this kind</a>
      </p>
      <h2>What it says</h2>
      <ShownCode
        shown={shownJson(entry.data, SHOWN_JSON_CHARS_MAX)}
        label="Data of the entry"
        rest={`npx gantry evidence show ${id}`}
      />
      {sealed_names.length === 0 ? null : <Private id={id} commitments={commitments} />}
      <h2>Proof</h2>
      <InclusionFacts entry={id} proof={proof} />
      <h3>For somebody else</h3>
      <ProveElsewhere
        what="this fact"
        exporting={`npx gantry evidence proof ${id} -o entry.proof`}
        file="entry.proof"
      />
    </Layout>
  );
}

function RefList({ refs }: { refs: readonly string[] }) {
  return (
    <ul class="plain">
      {refs.map((id) => (
        <li>
          <Ref id={id} />
        </li>
      ))}
    </ul>
  );
}

/** Values that are not in the entry, so that they can be erased. */
function Private({ id, commitments }: { id: string; commitments: Record<string, string> }) {
  const [first = ""] = Object.keys(commitments);
  return (
    <>
      <h3>What it only commits to</h3>
      <p>The entry holds a commitment to each of these, and not the value, which may since have been erased.</p>
      <Facts rows={Object.entries(commitments).map(([name, hash]) => [name, <Hash value={hash} />])} />
      <p>Opening one takes the scope evidence:export, and is itself recorded:</p>
      <Commands label="Command that opens a private value" lines={[`npx gantry evidence show ${id} --open ${first}`]} />
    </>
  );
}
