import { instant } from "./telling.ts";
import type { Timeline, TimelineActor, TimelineLine } from "./timeline.ts";
import { codeSpan, markdown, plainText, type Told, told } from "./told.ts";

/** Of the JSON form. */
const VERSION = 1;

/** For programs: the same as the Markdown, with values that are plain text. */
export function timelineJson({ ask, tenant, lines, gaps }: Timeline) {
  return {
    v: VERSION as typeof VERSION,
    ...ask,
    tenant,
    lines: lines.map(({ entry, chain, text, details }) => ({
      entry: entry.id,
      ...(entry.index === undefined ? {} : { index: entry.index }),
      at: entry.at,
      kind: entry.kind,
      chain,
      ...(entry.contract === undefined ? {} : { contract: entry.contract }),
      ...(entry.snapshot === undefined ? {} : { snapshot: entry.snapshot }),
      ...(entry.decision === undefined ? {} : { decision: entry.decision }),
      text: plainText(text),
      details: details.map(plainText),
    })),
    gaps: gaps.map(({ entry, text }) => ({ ...(entry === undefined ? {} : { entry }), text: plainText(text) })),
  };
}

/** For people: the draft of a post-mortem. Every line names its entry, and all that a guest could choose is a code span. */
export function timelineMarkdown({ ask, tenant, lines, gaps }: Timeline): string {
  const about = "ref" in ask ? told`Timeline of ${ask.ref}` : told`Timeline since ${instant(ask.since)}`;
  const [first, last] = [lines.at(0), lines.at(-1)];
  const span =
    first === undefined || last === undefined
      ? told`Nothing of tenant ${tenant} was recorded.`
      : told`${lines.length} entries of tenant ${tenant}, from ${instant(first.entry.at)} to ${instant(last.entry.at)}.`;
  const parts = [
    `# ${markdown(about)}`,
    `${markdown(span)} Reconstructed from the ledger alone: times are UTC, every line names its entry, nothing is inferred.`,
    "## What happened",
    lines.length === 0 ? "Nothing." : lines.map(lineMarkdown).join("\n"),
    "## Gaps",
    gaps.length === 0
      ? "None are known."
      : gaps.map(({ entry, text }) => `- ${markdown(text)}${placeOf(entry)}`).join("\n"),
  ];
  return `${parts.join("\n\n")}\n`;
}

function lineMarkdown({ entry, chain, text, details }: TimelineLine): string {
  const place = entry.index === undefined ? "not sealed" : `index ${entry.index}`;
  const under: Told[] = [whoOf(chain)];
  if (entry.contract !== undefined) {
    under.push(
      told`Under contract ${`${entry.contract.name}@${entry.contract.version}`}, snapshot ${entry.snapshot ?? "none"}.`,
    );
  }
  if (entry.decision !== undefined) under.push(decisionOf(entry.decision));
  return [
    `- ${codeSpan(instant(entry.at))} ${markdown(text)} ${codeSpan(entry.id)}, ${place}`,
    ...[...under, ...details].map((detail) => `  - ${markdown(detail)}`),
  ].join("\n");
}

/** The last link acted; the first answers for it. */
function whoOf(chain: readonly TimelineActor[]): Told {
  if (chain.length === 0) return told`By Gantry itself.`;
  const links = chain.map(({ actor, kind, name }) =>
    name === undefined ? `${kind} ${actor}` : `${kind} ${name} (${actor})`,
  );
  return told`By ${links.reverse().join(" for ")}.`;
}

function decisionOf({ verdict, codes }: { verdict: string; codes: string[] }): Told {
  if (verdict === "allow") return told`Policy allowed it.`;
  if (verdict === "deny") return told`Policy denied it: ${codes}.`;
  if (verdict === "needs_human") return told`Policy asks for a human: ${codes}.`;
  return told`Policy said ${verdict}: ${codes}.`;
}

function placeOf(entry: string | undefined): string {
  return entry === undefined ? "" : ` ${codeSpan(entry)}`;
}
