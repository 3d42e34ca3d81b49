import { createTwoFilesPatch } from "diff";
import { canonicalJson } from "../../kernel/canonical.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import type { TenantId } from "../../kernel/ids.ts";
import {
  type ApprovalDraft,
  type BlastRadius,
  type Contract,
  type ContractDelta,
  EXECUTE_BEFORE_MS_DEFAULT,
  type GateRule,
  NOT_AFTER_MS_DEFAULT,
  PREVIEW_TEXT_MAX,
  type Preview,
} from "../contract.ts";
import { renderContract } from "../document/render.ts";
import { snapshotOf } from "../snapshot.ts";
import { type ContractRow, readContract } from "../store.ts";
import type { Applicant } from "./applicant.ts";

/** Lines of one side, and edits, past which no diff is worked out: it would hold the store up, and nobody reads it. */
const DIFF_LINES_MAX = 5_000;
const DIFF_EDITS_MAX = 1_000;
/** Lines of the delta that a preview has; what loosens comes first. */
const DELTA_LINES_MAX = 64;
const DELTA_CHARS_MAX = 200;
const CUT = "\n… (cut)\n";

/** A version of a contract as text and as what it says. */
export interface Version {
  contract: Contract;
  version: number;
  /** The document, or null where it was not kept. */
  source: string | null;
}

export interface ProposalParts {
  tenant: TenantId;
  before: Version | undefined;
  after: Version & { hash: string; document: string };
  /** Canonical JSON of what the proposal was judged against. */
  base_json: string;
  delta: ContractDelta;
  /** `diffOf` the two: worked out before the unit, which holds the store. */
  diff: string;
  who: Applicant;
}

/** A stored version. */
export function versionIn(row: ContractRow): Version {
  return { contract: readContract(row.doc_json), version: row.version, source: row.source_text };
}

/** What people are asked about a version that loosens what holds. */
export function draftOf({ tenant, before, after, base_json, delta, diff, who }: ProposalParts): ApprovalDraft {
  const { contract, version, hash } = after;
  return {
    tenant,
    subject: "contract",
    subject_id: `${contract.name}@${version}`,
    gate: gateOf(before?.contract, contract),
    action: {
      name: "contract.apply",
      resource: `contract:${contract.name}`,
      params_hash: sha256Hex(canonicalJson({ hash, base: base_json })),
    },
    code: null,
    snapshot: snapshotOf(contract).id,
    contract: { name: contract.name, version, hash },
    target: null,
    blast_radius: reachOf(contract, before),
    preview: previewOf(before, after, delta, diff),
    requester: who.requester,
    authors: [who.requester.actor],
    privileged: contract.class === "privileged" || before?.contract.class === "privileged",
  };
}

/**
 * As many people as any gate of the contract asks for, before or after: fewer could lower what they may not open. The
 * clocks are those of the gates that hold this very action.
 */
function gateOf(before: Contract | undefined, after: Contract): GateRule {
  const all = [...(before?.gates ?? []), ...after.gates];
  const own = all.filter(({ on }) => on === "*" || on === "contract.apply");
  return {
    on: "contract.apply",
    name: "contract",
    quorum: Math.max(1, ...all.map(({ quorum }) => quorum)),
    not_after_ms: Math.min(NOT_AFTER_MS_DEFAULT, ...own.map(({ not_after_ms }) => not_after_ms)),
    execute_before_ms: Math.min(EXECUTE_BEFORE_MS_DEFAULT, ...own.map(({ execute_before_ms }) => execute_before_ms)),
  };
}

function reachOf(contract: Contract, before: Version | undefined): BlastRadius {
  const each = <T>(values: (T | undefined)[]): T[] => [...new Set(values.filter((value) => value !== undefined))];
  return {
    hosts: each(contract.egress.flatMap(({ hosts }) => hosts)),
    methods: each(contract.egress.flatMap(({ methods }) => methods ?? ["GET", "HEAD"])),
    apps: each([contract.bindings.flags?.app]),
    percent_max: null,
    effects_max: contract.budgets_day.effects ?? null,
    reversible: true,
    rollback:
      before === undefined
        ? `Apply a document of ${contract.name} that grants nothing; what has run by then has run.`
        : `Apply the document of version ${before.version} again, which is tightening; what has run by then has run.`,
  };
}

function previewOf(
  before: Version | undefined,
  after: Version & { document: string },
  delta: ContractDelta,
  diff: string,
): Preview {
  const { contract } = after;
  const what = before === undefined ? "adds the contract" : `changes the contract, now at version ${before.version},`;
  const [first] = delta.lines;
  return {
    summary: `${contract.name}@${after.version} ${what} so that runs may do more.`,
    why: null,
    delta: delta.lines
      .slice(0, DELTA_LINES_MAX)
      .map((line) => ({ ...line, text: cut(line.text, DELTA_CHARS_MAX, "…") })),
    diff,
    provenance: { document: after.document, extends: contract.extends ?? "", class: contract.class },
    verdict: {
      codes: [],
      rule: cut(`Not proved to be tightening: ${first?.at ?? ""} ${first?.text ?? ""}`, DELTA_CHARS_MAX, "…"),
    },
    rehearsal: null,
  };
}

/** Unified, of the documents as they were applied, or of the complete contracts where one of them was not kept. */
export function diffOf(before: Version | undefined, after: Omit<Version, "version">): string {
  const [old, now] =
    before === undefined
      ? ["", textOf(after)]
      : before.source === null || after.source === null
        ? [whole(before), whole(after)]
        : [before.source, after.source];
  const { name } = after.contract;
  const is_long = [old, now].some((text) => text.split("\n").length > DIFF_LINES_MAX);
  const patch = is_long
    ? undefined
    : createTwoFilesPatch(
        before === undefined ? "nothing" : `${name}@${before.version}`,
        `${name}, as proposed`,
        old,
        now,
        undefined,
        undefined,
        { maxEditLength: DIFF_EDITS_MAX },
      );
  return cut(patch?.replace(/^=+\n/, "") ?? now, PREVIEW_TEXT_MAX, CUT);
}

const textOf = (version: Omit<Version, "version">): string => version.source ?? whole(version);
const whole = ({ contract }: Pick<Version, "contract">): string => renderContract(contract);

/** At most so many UTF-16 code units, and no half of a pair. */
function cut(text: string, max: number, mark: string): string {
  if (text.length <= max) return text;
  return text.slice(0, max - mark.length).replace(/[\ud800-\udbff]$/, "") + mark;
}
