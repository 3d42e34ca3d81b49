import type { CodeFacts, SourceCode } from "../execution/contract.ts";
import { gate_errors, PREVIEW_BYTES_MAX } from "../gates/contract.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { isGantryError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import {
  type Contract,
  type ContractDelta,
  type DeltaLine,
  type GateRule,
  type Policy,
  type PolicyView,
  PREVIEW_TEXT_MAX,
  type Preview,
} from "../policy/contract.ts";
import type { Reader } from "../storage/contract.ts";
import { codeDiff } from "./code_diff.ts";
import type { CodeShelf } from "./code_shelf.ts";
import { boundedFacts, storable } from "./entries.ts";
import { type ApprovedRun, lastApproved } from "./history_store.ts";
import type { RunRow } from "./store.ts";

/** Lines of a delta that are shown, what loosens first. */
const DELTA_LINES_MAX = 100;
const DELTA_CHARS_MAX = 300;
/** What a contract is held against that extends nothing: whoever may run anything may run this. */
const BASE = "scratch";

export interface PreviewDeps {
  storage: Reader;
  shelf: CodeShelf;
  policy: Policy;
  /** What `after` may do that `before` did not. */
  delta: (before: Contract, after: Contract) => ContractDelta;
}

/** What is previewed: a run that is to wait for people. */
export interface Previewed {
  row: RunRow;
  view: PolicyView;
  gate: GateRule;
  source: SourceCode;
  facts: CodeFacts;
}

/**
 * What people are shown of a run before they decide: against what they approved last of the same contract, so that they
 * read the difference and not the whole; code of an agent is bounded and made harmless to read.
 */
export async function previewOf(d: PreviewDeps, run: Previewed): Promise<Preview> {
  const { row, view, gate, source, facts } = run;
  const before = await lastApproved(d.storage, row.tenant, row.contract);
  const lines = d.delta(await contractBefore(d, view, row.tenant, before), view.contract).lines;
  const preview: Preview = {
    summary: summaryOf(row),
    why: row.why === null ? null : storable(row.why),
    delta: lines.slice(0, DELTA_LINES_MAX).map(bounded),
    diff: null,
    provenance: provenanceOf(row, facts, before),
    verdict: {
      codes: [gate_errors.REQUIRED.code],
      rule: `The gate ${gate.name} of ${view.ref.name}@${view.ref.version} holds run.submit until ${humans(gate.quorum)}.`,
    },
    rehearsal: null,
  };
  const earlier = before === undefined ? undefined : await d.shelf.read(row.tenant, before.code_hash);
  return { ...preview, diff: fittingDiff(preview, codeDiff(earlier, source, PREVIEW_TEXT_MAX)) };
}

/** The contract that the last approved run had; before the first, the one that this extends. */
async function contractBefore(
  { policy }: PreviewDeps,
  { contract }: PolicyView,
  tenant: TenantId,
  before: ApprovedRun | undefined,
): Promise<Contract> {
  try {
    if (before !== undefined) return (await policy.snapshot(tenant, before.snapshot)).contract;
  } catch (error) {
    if (!isGantryError(error)) throw error; // a snapshot of a product whose contracts were other: as if there was none
  }
  return (await policy.get(tenant, contract.extends ?? BASE)).contract;
}

function summaryOf({ chain, code_hash, contract, contract_version, target }: RunRow): string {
  const [first, last] = [chain[0], chain.at(-1)];
  const asker = `The ${last?.kind} ${last?.actor}`;
  const whom = first === last ? "" : `, for the ${first?.kind} ${first?.actor},`;
  const where = target === null ? "" : ` on ${target}`;
  return `${asker}${whom} wants to run the code ${code_hash.slice(0, 12)} under ${contract}@${contract_version}${where}.`;
}

const humans = (quorum: number) => (quorum === 1 ? "a human approves" : `${quorum} different humans approve`);
const list = (names: string[]): string => (names.length === 0 ? "none" : names.join(" "));

function provenanceOf(row: RunRow, facts: CodeFacts, before: ApprovedRun | undefined): Record<string, string> {
  const { imports, hosts, secrets, dynamic_code, wasm, modules, bytes, dropped } = boundedFacts(facts);
  const { carries = [] } = row.facts ?? {};
  return {
    code_hash: row.code_hash,
    task: carries.includes("signed_task") ? `signed by ${row.actor}` : "not signed",
    code_signed_by: row.authors === null ? "nobody" : row.authors.join(" "),
    compared_with: before === undefined ? "nothing: no run of this contract was approved before" : before.id,
    modules: `${modules}, ${bytes} bytes`,
    imports: list(imports),
    hosts_in_code: list(hosts),
    dynamic_code: dynamic_code ? "yes" : "no",
    wasm: wasm ? "yes" : "no",
    secret_patterns: list(secrets),
    ...(dropped === 0 ? {} : { names_left_out: String(dropped) }),
  };
}

function bounded(line: DeltaLine): DeltaLine {
  return {
    ...line,
    at: storable(line.at.slice(0, DELTA_CHARS_MAX)),
    text: storable(line.text.slice(0, DELTA_CHARS_MAX)),
  };
}

/** As much of the diff as leaves the whole within `PREVIEW_BYTES_MAX`. */
function fittingDiff(rest: Preview, diff: string): string {
  let text = diff;
  for (;;) {
    const over = Buffer.byteLength(canonicalJson({ ...rest, diff: text })) - PREVIEW_BYTES_MAX;
    if (over <= 0) return text;
    text = text.slice(0, Math.max(0, text.length - Math.max(1, over))).toWellFormed();
  }
}
