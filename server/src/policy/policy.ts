import type { ActorRef, Ledger } from "../evidence/contract.ts";
import type { Principal } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError, isGantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { TenantId } from "../kernel/ids.ts";
import { type Metrics, noMetrics } from "../kernel/telemetry.ts";
import type { Storage } from "../storage/contract.ts";
import { BUILTIN_VERSION, builtinContracts } from "./builtin.ts";
import {
  type Applied,
  type Approvals,
  type CatalogueService,
  type ContractDelta,
  type ContractDocument,
  type ContractSummary,
  type ContractVersion,
  contract_errors,
  type Policy,
  type PolicyView,
  type ServiceCatalogue,
  type SnapshotBody,
  snapshot_errors,
} from "./contract.ts";
import { countDecisions } from "./counted.ts";
import { Decider } from "./decide.ts";
import { namedServices } from "./document/catalogue.ts";
import { type ReadDocument, readDocuments, readNamed } from "./document/documents.ts";
import { type Snapshot, snapshotOf } from "./snapshot.ts";
import {
  type ContractRow,
  insertSnapshot,
  readContract,
  readSuspension,
  selectActive,
  selectAll,
  selectLive,
  selectPending,
  selectSnapshot,
  selectVersion,
} from "./store.ts";
import { type Applicant, applicantAtStart, applicantOf } from "./versions/applicant.ts";
import { applyOne, deltaOf, proposalOf } from "./versions/apply.ts";
import { ContractSubject } from "./versions/contract_subject.ts";
import { Heads } from "./versions/heads.ts";
import { type Opened, openContract, viewOf } from "./versions/opened.ts";
import { builtinVersion, summaryOf, versionOf } from "./versions/versions.ts";

/** Opened versions that stay in memory. */
const OPENED_MAX = 1_000;

export interface PolicyParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  /** Counts what is decided; default: nobody counts. */
  metrics?: Metrics;
  /** Default: one of its own. */
  decider?: Decider;
}

/** A document of the configuration that was not applied, and why. */
export interface RefusedAtStart {
  name: string;
  error: GantryError;
}

/** The contracts of all tenants, and the views through which runs are decided. */
export class ContractPolicy implements Policy {
  readonly decider: Decider;
  readonly heads: Heads;
  /** What gates tell of decided proposals. */
  readonly subject: ContractSubject;
  readonly #parts: PolicyParts;
  readonly #builtin: ReadonlyMap<string, Opened>;
  readonly #bases = builtinContracts();
  /** By tenant, name and version, which never change; oldest first. */
  readonly #opened = new Map<string, Opened>();
  /** Snapshots that are known to be stored, by tenant and id; oldest first. */
  readonly #stored = new Set<string>();
  readonly #decided: ReturnType<typeof countDecisions>;
  #approvals: Approvals | undefined;
  #services: ServiceCatalogue | undefined;

  /** @throws Error when the engine that decides cannot be loaded. */
  constructor(parts: PolicyParts) {
    this.#parts = parts;
    this.decider = parts.decider ?? new Decider();
    this.#decided = countDecisions(parts.metrics ?? noMetrics);
    this.heads = new Heads({ ...parts, decider: this.decider });
    this.subject = new ContractSubject({ ledger: parts.ledger, heads: this.heads });
    this.#builtin = new Map(
      [...this.#bases].map(([name, contract]) => [
        name,
        openContract(this.decider, { name, version: BUILTIN_VERSION }, contract),
      ]),
    );
  }

  /** Gates stand above and are built later; before this, nothing that loosens can be applied. */
  useApprovals(approvals: Approvals): void {
    this.#approvals = approvals;
  }

  /** The catalogue stands above, too; without it, no rule can name a service. */
  useServices(services: ServiceCatalogue): void {
    this.#services = services;
  }

  watch(listener: (of: { tenant: TenantId; contract: string }) => void): () => void {
    return this.heads.watch(listener);
  }

  async open(tenant: TenantId, name: string, snapshot?: string): Promise<PolicyView> {
    const builtin = this.#builtin.get(name);
    const row = builtin === undefined ? await this.#activeRow(tenant, name) : undefined;
    const opened = builtin ?? this.#openRow(row);
    const suspension = row === undefined ? null : readSuspension(row);
    if (suspension !== null) {
      throw new GantryError(contract_errors.SUSPENDED, {
        detail: `The contract ${name} has suspended itself by its ${suspension.metric} (${suspension.counted} of ${suspension.runs} runs); the entry ${suspension.entry} crossed the line.`,
        next_steps: [
          { kind: "read", text: "See the run that crossed it", command: `gantry evidence show ${suspension.entry}` },
          { kind: "command", text: "Resume it, which people approve", command: "gantry contracts apply FILE" },
        ],
      });
    }
    if (snapshot !== undefined && snapshot !== opened.snapshot.id) {
      throw new GantryError(snapshot_errors.STALE, {
        detail: `The active snapshot of the contract ${name} is ${opened.snapshot.id}, not the one that was named.`,
        snapshot: opened.snapshot.id,
        next_steps: [{ kind: "change", text: "Read the contract again and decide again, or name no snapshot." }],
      });
    }
    await this.#store(tenant, opened.snapshot);
    return viewOf(opened, row === undefined ? undefined : this.heads.track(tenant, opened, suspension), this.#decided);
  }

  async list(tenant: TenantId): Promise<ContractSummary[]> {
    const { storage } = this.#parts;
    const pending = new Map((await selectAll(storage, tenant, "pending")).map((row) => [row.name, proposalOf(row)]));
    const own = (await selectAll(storage, tenant, "active")).map(versionOf);
    return [...[...this.#builtin.values()].map(builtinVersion), ...own].map((version) =>
      summaryOf(version, pending.get(version.name) ?? null),
    );
  }

  /** Versions that wait for people, by name. */
  async proposals(tenant: TenantId): Promise<ContractVersion[]> {
    return (await selectAll(this.#parts.storage, tenant, "pending")).map(versionOf);
  }

  async get(tenant: TenantId, name: string): Promise<ContractSummary> {
    const builtin = this.#builtin.get(name);
    if (builtin !== undefined) return summaryOf(builtinVersion(builtin), null);
    const { active, pending } = await selectLive(this.#parts.storage, tenant, name);
    const row = active ?? (await this.#activeRow(tenant, name));
    return summaryOf(versionOf(row), pending === undefined ? null : proposalOf(pending));
  }

  async version(tenant: TenantId, name: string, version: number): Promise<ContractVersion> {
    const builtin = this.#builtin.get(name);
    if (builtin?.ref.version === version) return builtinVersion(builtin);
    const row = await selectVersion(this.#parts.storage, tenant, name, version);
    if (row !== undefined) return versionOf(row);
    throw new GantryError(contract_errors.UNKNOWN, {
      detail: `The tenant has no version ${version} of a contract ${shown(name)}.`,
      next_steps: [{ kind: "command", text: "See which there are", command: "gantry contracts list" }],
    });
  }

  async snapshot(tenant: TenantId, id: string): Promise<SnapshotBody> {
    const stored = await selectSnapshot(this.#parts.storage, tenant, id);
    if (stored !== undefined) {
      assert(id === `snp_${sha256Hex(stored)}`, "a stored snapshot still has the hash that names it");
      return JSON.parse(stored) as SnapshotBody;
    }
    // One that no run has opened yet is in no table, but `list` shows its id.
    const listed = (await this.list(tenant)).find((summary) => summary.snapshot === id);
    if (listed !== undefined) return JSON.parse(snapshotOf(listed.contract).body) as SnapshotBody;
    throw new GantryError(snapshot_errors.UNKNOWN, { detail: "The tenant never had a snapshot of this id." });
  }

  /**
   * Applies one document of a caller: at once when it tightens, and by people when it loosens.
   * @param name  the contract that the document must speak of; absent: whichever it does.
   * @param if_version  the version that the caller saw active; 0: none.
   * @throws CONTRACT_INVALID CONTRACT_BUILTIN CONTRACT_CONFLICT CONTRACT_TOO_MANY and those of `Approvals`
   */
  async apply(
    document: ContractDocument,
    who: Principal,
    o: { name?: string; if_version?: number | undefined } = {},
  ): Promise<Applied> {
    const read = await this.#readOne(who.tenant, document, o.name);
    return this.#apply(who.tenant, read, applicantOf(who), o.if_version);
  }

  /**
   * As `apply`, for the documents of the configuration. Nothing is written before all of them are valid; then each commits
   * by itself, so that after a crash the same call ends the work. Contracts that no document names stay as they are.
   * @param by  the chain that applies them, accountable principal first, not empty.
   * @throws CONTRACT_INVALID with the problems of every file; CONTRACT_BUILTIN CONTRACT_TOO_MANY and those of `Approvals`
   */
  async applyAll(tenant: TenantId, documents: ContractDocument[], by: ActorRef[]): Promise<Applied[]> {
    const who = applicantAtStart(by);
    const applied: Applied[] = [];
    for (const read of await this.read(tenant, documents)) applied.push(await this.#apply(tenant, read, who));
    return applied;
  }

  /** As `applyAll`, but a document that people cannot decide about now is left out: a server starts without it, and says so. */
  async applyAtStart(
    tenant: TenantId,
    documents: ContractDocument[],
    by: ActorRef[],
  ): Promise<{ applied: Applied[]; refused: RefusedAtStart[] }> {
    const who = applicantAtStart(by);
    const applied: Applied[] = [];
    const refused: RefusedAtStart[] = [];
    for (const read of await this.read(tenant, documents)) {
      try {
        applied.push(await this.#apply(tenant, read, who));
      } catch (error) {
        // What the document itself is wrong in stops the start; that nobody may approve it now does not.
        if (!isGantryError(error) || !/^(GATE|REVIEW)_/.test(error.code)) throw error;
        refused.push({ name: read.document.name, error });
      }
    }
    return { applied, refused };
  }

  /** What applying the document would change, and whether that would wait for people. Nothing is written. */
  async diff(
    document: ContractDocument,
    who: Principal,
    name: string,
  ): Promise<{ delta: ContractDelta; version: number | null; contract: ReadDocument["contract"] }> {
    const { contract } = await this.#readOne(who.tenant, document, name);
    const active = await selectActive(this.#parts.storage, who.tenant, name);
    return { delta: deltaOf(this.#bases, active, contract), version: active?.version ?? null, contract };
  }

  /**
   * What documents say, with the services that they name as the tenant's catalogue has them now. Nothing is applied.
   * @throws CONTRACT_INVALID with the problems of every document; CONTRACT_BUILTIN
   */
  async read(tenant: TenantId, documents: readonly ContractDocument[]): Promise<ReadDocument[]> {
    return readDocuments(documents, this.#bases, await this.#find(tenant, documents));
  }

  async #readOne(tenant: TenantId, document: ContractDocument, name: string | undefined): Promise<ReadDocument> {
    const services = await this.#find(tenant, [document]);
    if (name !== undefined) return readNamed(name, document, this.#bases, services);
    const [read] = readDocuments([document], this.#bases, services);
    assert(read !== undefined, "one document gives one answer");
    return read;
  }

  async #find(tenant: TenantId, documents: readonly ContractDocument[]): Promise<Map<string, CatalogueService>> {
    const found = new Map<string, CatalogueService>();
    for (const name of new Set(documents.flatMap(namedServices))) {
      const service = await this.#services?.find(this.#parts.storage, tenant, name);
      if (service !== undefined) found.set(name, service);
    }
    return found;
  }

  /** The version in memory, by its ref; undefined: it is not, and has to be read. */
  known(tenant: TenantId, ref: { name: string; version: number }): Opened | undefined {
    return this.#builtin.get(ref.name) ?? this.#opened.get(`${tenant}/${ref.name}/${ref.version}`);
  }

  async #apply(tenant: TenantId, read: ReadDocument, who: Applicant, if_version?: number): Promise<Applied> {
    const approvals = (): Approvals => {
      assert(this.#approvals !== undefined, "the port for approvals is filled before a contract is loosened");
      return this.#approvals;
    };
    const parts = { ...this.#parts, bases: this.#bases, approvals };
    const { applied, activated } = await applyOne(parts, { ...read, tenant, who, if_version });
    if (activated !== undefined) this.heads.moved(activated);
    return applied;
  }

  async #activeRow(tenant: TenantId, name: string): Promise<ContractRow> {
    const { storage } = this.#parts;
    const row = await selectActive(storage, tenant, name);
    if (row !== undefined) return row;
    const pending = await selectPending(storage, tenant, name);
    const waits =
      pending === undefined ? "" : ` Its version ${pending.version} waits for the approval ${pending.approval_id}.`;
    throw new GantryError(contract_errors.UNKNOWN, {
      detail: `The tenant has no contract ${shown(name)}.${waits}`,
      next_steps: [{ kind: "command", text: "See which there are", command: "gantry contracts list" }],
    });
  }

  #openRow(row: ContractRow | undefined): Opened {
    assert(row !== undefined, "what is not built in has a row");
    const key = `${row.tenant_id}/${row.name}/${row.version}`;
    const known = this.#opened.get(key);
    if (known !== undefined) return known;
    const opened = openContract(this.decider, row, readContract(row.doc_json));
    forgetOldest(this.#opened, OPENED_MAX);
    this.#opened.set(key, opened);
    return opened;
  }

  /** Whoever reads a decision later must find the snapshot, also that of a built-in contract of an older version. */
  async #store(tenant: TenantId, snapshot: Snapshot): Promise<void> {
    const { storage } = this.#parts;
    const key = `${tenant}/${snapshot.id}`;
    if (this.#stored.has(key)) return;
    if ((await selectSnapshot(storage, tenant, snapshot.id)) === undefined) {
      await storage.write((tx) => insertSnapshot(tx, tenant, snapshot.id, snapshot.body));
    }
    forgetOldest(this.#stored, OPENED_MAX);
    this.#stored.add(key);
  }
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 63));
}

/** Maps and sets iterate in the order of insertion, so the first is the oldest. */
function forgetOldest<K>(known: { size: number; keys(): Iterable<K>; delete(key: K): boolean }, max: number): void {
  if (known.size < max) return;
  for (const oldest of known.keys()) {
    known.delete(oldest);
    return;
  }
}
