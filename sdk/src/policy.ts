import type {
  AppliedContract,
  ContractDiff,
  ContractSummary,
  ContractVersion,
  PolicyDocument,
  PolicyExplanation,
  PolicyQuestion,
  PolicyTestReport,
  ProposedContract,
} from "./policy_types.ts";
import type { Transport } from "./transport.ts";
import type { Page } from "./types.ts";

/** RFC 9512. JSON is YAML, too. */
const DOCUMENT_TYPE = "application/yaml";

/** Contracts: what code may do, decided outside the code. */
export class Contracts {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The active version of each contract that the tenant has. */
  async list(): Promise<ContractSummary[]> {
    const page = await this.#transport.json<Page<ContractSummary>>({ method: "GET", path: "/v1/contracts" });
    return page.items;
  }

  /** The active version. @throws GantryApiError `CONTRACT_UNKNOWN` */
  get(name: string): Promise<ContractSummary> {
    return this.#transport.json({ method: "GET", path: pathOf(name) });
  }

  /** Any version, with its document. @throws GantryApiError `CONTRACT_UNKNOWN` */
  version(name: string, version: number): Promise<ContractVersion> {
    return this.#transport.json({ method: "GET", path: `${pathOf(name)}/${version}` });
  }

  /**
   * Applies a document, YAML or JSON: at once when it tightens; when it loosens, the answer has the approval that it waits
   * for.
   * @param o.if_version  the version that was read before; 0: there was none.
   * @throws GantryApiError `CONTRACT_INVALID` with every problem, `CONTRACT_CONFLICT`, `CONTRACT_BUILTIN`
   *   `CONTRACT_TOO_MANY` `GATE_UNSATISFIABLE`
   */
  apply(name: string, text: string, o: { if_version?: number } = {}): Promise<AppliedContract | ProposedContract> {
    const headers = o.if_version === undefined ? {} : { headers: { "if-match": `"${o.if_version}"` } };
    return this.#transport.json({ method: "PUT", path: pathOf(name), ...headers, document: documentOf(text) });
  }

  /** What the document would change, and whether that would wait for people. @throws GantryApiError `CONTRACT_INVALID` */
  diff(name: string, text: string): Promise<ContractDiff> {
    return this.#transport.json({ method: "POST", path: `${pathOf(name)}/diff`, document: documentOf(text) });
  }
}

/** Decisions, explained and tested. Nothing is done and nothing is recorded. */
export class Policy {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** What a contract says to an action, why, and what would allow it. @throws GantryApiError `CONTRACT_UNKNOWN` */
  explain(question: PolicyQuestion): Promise<PolicyExplanation> {
    return this.#transport.json({ method: "POST", path: "/v1/policy/explain", body: question });
  }

  /** What was decided of a run, by the snapshot that it was decided against. @throws GantryApiError `POLICY_RUN_UNKNOWN` */
  explainRun(run: string): Promise<PolicyExplanation> {
    return this.#transport.json({ method: "GET", path: `/v1/runs/${encodeURIComponent(run)}/policy` });
  }

  /**
   * Asks the cases of a policy table.
   * @param contracts  documents that stand in for active contracts; nothing is applied.
   * @throws GantryApiError `POLICY_TABLE` `CONTRACT_INVALID`
   */
  test(table: PolicyDocument, contracts: PolicyDocument[] = []): Promise<PolicyTestReport> {
    return this.#transport.json({ method: "POST", path: "/v1/policy/test", body: { table, contracts } });
  }
}

function pathOf(name: string): string {
  return `/v1/contracts/${encodeURIComponent(name)}`;
}

function documentOf(text: string): { type: string; text: string } {
  return { type: DOCUMENT_TYPE, text };
}
