import type { Entry } from "@gantry/sdk";
import type { Checkpoint, Inclusion } from "./inclusion.ts";
import { type Part, Refused } from "./part.tsx";
import { Facts, Hash, Note, Said } from "./parts.tsx";
import { Commands } from "./record_parts.tsx";
import { countText } from "./text.ts";

/** A proof as it came: undefined when what came is none. */
export type ProofPart = Part<Inclusion | undefined>;

/** Which log it is, how long, and what it hashes to: as the checkpoint says, whose signatures others judge. */
export function CheckpointFacts({ checkpoint }: { checkpoint: Checkpoint }) {
  const { origin, size, root, signers } = checkpoint;
  return (
    <Facts
      rows={[
        ["Log", <Said text={origin} />],
        ["Size", countText(size, "entry", "entries")],
        ["Root", <Hash value={root} />],
        ["Signed as", <Said text={signers.join(", ")} />],
      ]}
    />
  );
}

/** That one entry is in the log, as this server says it. */
export function InclusionFacts({ entry, proof }: { entry: string; proof: ProofPart }) {
  if (proof.is === "refused") {
    if (proof.problem.code !== "EVIDENCE_NOT_SEALED") return <Refused what="the proof" problem={proof.problem} />;
    return (
      <Note tone="wait" title="It is not sealed yet">
        <p>The entry is durable, and waits for the next checkpoint of the log. That takes a fraction of a second.</p>
      </Note>
    );
  }
  const inclusion = proof.value;
  if (inclusion === undefined || !inclusion.leads_to_root) {
    return (
      <Note tone="bad" title="The proof does not hold" role="alert">
        <p>
          What this server gave as the proof of {entry} does not lead to the root of its checkpoint. Save both, and run{" "}
          <code>npx gantry evidence audit</code>.
        </p>
      </Note>
    );
  }
  const { index, path, leaf, checkpoint } = inclusion;
  return (
    <>
      <p>
        By this server's own data it is in the log: its leaf and {countText(path.length, "hash", "hashes")} lead to the
        root that the checkpoint names.
      </p>
      <Facts
        rows={[
          ["Index", `${index.toLocaleString("en-US")} of ${checkpoint.size.toLocaleString("en-US")}, from 0`],
          ["Leaf", <Hash value={leaf} />],
        ]}
      />
      <CheckpointFacts checkpoint={checkpoint} />
      {path.length === 0 ? null : (
        <details>
          <summary>The path, from the leaf's sibling up</summary>
          <ol>
            {path.map((hash) => (
              <li>
                <Hash value={hash} />
              </li>
            ))}
          </ol>
        </details>
      )}
    </>
  );
}

/** What a page cannot do, and how somebody else does it. @param what  as `this run` @param lines  what makes the file. */
export function ProveElsewhere({ what, exporting, file }: { what: string; exporting: string; file: string }) {
  return (
    <>
      <p>
        <strong>A page of this server is no proof:</strong> who runs the server could show anything here. Whoever is to
        believe what the ledger says of {what} takes a file, and the log's public key by another way:
      </p>
      <Commands
        label="Commands that make the file, for who has this server"
        lines={[exporting, "npx gantry evidence key > log.pub"]}
      />
      <p>and checks it on another machine, which needs neither this server nor a network:</p>
      <Commands label="Command that checks the file" lines={[`npx gantry evidence verify ${file} --key log.pub`]} />
      <p class="soft">
        With a checkpoint that was saved before, or that a witness holds, <code>--checkpoint saved</code> shows too that
        since then the log was only appended to.
      </p>
    </>
  );
}

/** How many of some entries are in the signed log. @param more  there are others behind them */
export function SealedText({ entries, more }: { entries: readonly Entry[]; more: boolean }) {
  const sealed = entries.filter((entry) => entry.sealed).length;
  const count = `${more ? "the first " : ""}${countText(entries.length, "entry", "entries")}`;
  if (sealed === entries.length) return <>All of {count} are sealed into the signed log.</>;
  return (
    <>
      {sealed} of {count} are sealed into the signed log; the others wait for its next checkpoint.
    </>
  );
}
