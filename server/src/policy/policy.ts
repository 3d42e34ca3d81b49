import type { ActorRef, Ledger } from "../evidence/contract.ts";
import type { Principal } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError, hasCode, type Problem } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Storage } from "../storage/contract.ts";
import { BUILTIN_VERSION, builtinContracts } from "./builtin.ts";
import {
  CONTRACTS_PER_TENANT_MAX,
  type Contract,
  type ContractDocument,
  type ContractRef,
  type ContractSummary,
  contract_errors,
  type Policy,
  type PolicyRequest,
  type PolicyView,
  type SnapshotBody,
  snapshot_errors,
} from "./contract.ts";
import { decide } from "./decide.ts";
import { invalid, parseContract } from "./document.ts";
import { type Snapshot, snapshotOf } from "./snapshot.ts";
import {
  countActive,
  freezeContract,
  insertContract,
  insertSnapshot,
  readContract,
  selectActive,
  selectAllActive,
  selectSnapshot,
  subjectOf,
  updateRetired,
} from "./store.ts";

/** Opened versions that stay in memory. */
const OPENED_MAX = 1_000;

export interface PolicyParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
}

interface Opened {
  ref: ContractRef;
  contract: Contract;
  snapshot: Snapshot;
  view: PolicyView;
}

export interface Applied {
  contract: ContractSummary;
  /** False when the active version was the same already. */
  changed: boolean;
}

/** The contracts of all tenants, and the views through which runs are decided. */
export class ContractPolicy implements Policy {
  readonly #parts: PolicyParts;
  readonly #builtin: ReadonlyMap<string, Opened>;
  readonly #bases = builtinContracts();
  /** By tenant, name and version, which never change; oldest first. */
  readonly #opened = new Map<string, Opened>();
  /** Snapshots that are known to be stored, by tenant and id; oldest first. */
  readonly #stored = new Set<string>();

  constructor(parts: PolicyParts) {
    this.#parts = parts;
    this.#builtin = new Map(
      [...this.#bases].map(([name, contract]) => [
        name,
        openContract({ name, version: BUILTIN_VERSION }, freezeContract(contract)),
      ]),
    );
  }

  async open(tenant: TenantId, contract: string, snapshot?: string): Promise<PolicyView> {
    const opened = await this.#active(tenant, contract);
    if (snapshot !== undefined && snapshot !== opened.snapshot.id) {
      throw new GantryError(snapshot_errors.STALE, {
        detail: `The active snapshot of the contract ${contract} is ${opened.snapshot.id}, not the one that was named.`,
        snapshot: opened.snapshot.id,
        next_steps: [{ kind: "change", text: "Read the contract again and decide again, or name no snapshot." }],
      });
    }
    await this.#store(tenant, opened.snapshot);
    return opened.view;
  }

  async list(tenant: TenantId): Promise<ContractSummary[]> {
    const rows = await selectAllActive(this.#parts.storage, tenant);
    const own = rows.map(({ name, version, doc_json }) => openContract({ name, version }, readContract(doc_json)));
    return [...this.#builtin.values(), ...own].map((opened) => this.#summary(opened));
  }

  async get(tenant: TenantId, name: string): Promise<ContractSummary> {
    return this.#summary(await this.#active(tenant, name));
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

  /** As `applyAll`, for one document of a caller. */
  async apply(document: ContractDocument, who: Principal): Promise<Applied> {
    const by = who.chain.map(({ actor, kind }) => ({ actor, kind }));
    const [applied] = await this.applyAll(who.tenant, [document], by);
    assert(applied !== undefined, "one document gives one answer");
    return applied;
  }

  /**
   * Makes each document the active version of its contract. Nothing is written before all of them are valid; then
   * each commits by itself with its `contract.applied`, so that after a crash the same call ends the work. A document
   * that says what the active version says changes nothing. Contracts that no document names stay as they are.
   * @param by  the chain that applies them, accountable principal first, not empty.
   * @throws CONTRACT_INVALID with the problems of every file; CONTRACT_BUILTIN CONTRACT_TOO_MANY
   */
  async applyAll(tenant: TenantId, documents: ContractDocument[], by: ActorRef[]): Promise<Applied[]> {
    const contracts = this.#parse(documents);
    const applied: Applied[] = [];
    for (const contract of contracts) applied.push(await this.#applyOne(tenant, contract, by));
    return applied;
  }

  #parse(documents: ContractDocument[]): Contract[] {
    const contracts: Contract[] = [];
    const refused: string[] = [];
    const problems: Problem[] = [];
    const named = new Map<string, string>();
    for (const document of documents) {
      try {
        const contract = parseContract(document, this.#bases);
        const earlier = named.get(contract.name);
        if (earlier === undefined) {
          named.set(contract.name, document.name);
        } else {
          refused.push(document.name);
          problems.push(twice(document.name, contract.name, earlier));
        }
        contracts.push(contract);
      } catch (error) {
        if (!hasCode(error, contract_errors.INVALID)) throw error;
        refused.push(document.name);
        problems.push(...(error.parts.problems ?? []));
      }
    }
    if (refused.length > 0) throw invalid(refused, problems);
    const builtin = contracts.find(({ name }) => this.#bases.has(name));
    if (builtin === undefined) return contracts;
    throw new GantryError(contract_errors.BUILTIN, {
      detail: `${builtin.name} is built in. Give the contract another name and let it extend ${builtin.name}.`,
    });
  }

  #applyOne(tenant: TenantId, contract: Contract, by: ActorRef[]): Promise<Applied> {
    const { clock, ledger, storage } = this.#parts;
    const author = by.at(-1);
    assert(author !== undefined, "a contract is applied by somebody");
    const doc_json = canonicalJson(contract);
    const hash = sha256Hex(doc_json);
    const snapshot = snapshotOf(contract);
    return storage.write(async (tx) => {
      const before = await selectActive(tx, tenant, contract.name);
      if (before?.hash === hash) {
        const same = openContract({ name: before.name, version: before.version }, readContract(before.doc_json));
        return { contract: this.#summary(same), changed: false };
      }
      if (before === undefined && (await countActive(tx, tenant)) >= CONTRACTS_PER_TENANT_MAX) {
        throw new GantryError(contract_errors.TOO_MANY, {
          detail: `A tenant has at most ${CONTRACTS_PER_TENANT_MAX} contracts; ${contract.name} is one more.`,
        });
      }
      const retired = before === undefined ? [] : [updateRetired(tx, before)];
      const row = {
        tenant_id: tenant,
        name: contract.name,
        version: (before?.version ?? 0) + 1,
        hash,
        doc_json,
        state: "active" as const,
        created_by: author.actor,
        approval_id: null,
        created_at: clock.now(),
      };
      insertContract(tx, row);
      insertSnapshot(tx, tenant, snapshot.id, snapshot.body);
      const ref = { name: row.name, version: row.version };
      assert(contract.extends !== null, "a contract that is applied extends a built-in one");
      ledger.append(tx, {
        kind: "contract.applied",
        tenant,
        actor: by,
        refs: [snapshot.id],
        snapshot: snapshot.id,
        contract: ref,
        subjects: [...retired, row].map((each) => ({ table: "contracts", id: subjectOf(each), row: { ...each } })),
        data: { ...ref, hash, extends: contract.extends, class: contract.class, replaces: before?.version ?? null },
      });
      return { contract: this.#summary(openContract(ref, freezeContract(contract))), changed: true };
    });
  }

  async #active(tenant: TenantId, name: string): Promise<Opened> {
    const builtin = this.#builtin.get(name);
    if (builtin !== undefined) return builtin;
    const row = await selectActive(this.#parts.storage, tenant, name);
    if (row === undefined) {
      throw new GantryError(contract_errors.UNKNOWN, {
        detail: `The tenant has no contract ${JSON.stringify(name.slice(0, 63))}.`,
        next_steps: [{ kind: "command", text: "See which there are", command: "gantry contracts list" }],
      });
    }
    const key = `${tenant}/${name}/${row.version}`;
    const known = this.#opened.get(key);
    if (known !== undefined) return known;
    const opened = openContract({ name, version: row.version }, readContract(row.doc_json));
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

  #summary({ ref, contract, snapshot }: Opened): ContractSummary {
    return {
      ...ref,
      class: contract.class,
      built_in: this.#builtin.has(ref.name),
      snapshot: snapshot.id,
      contract,
    };
  }
}

function openContract(ref: ContractRef, contract: Contract): Opened {
  const snapshot = snapshotOf(contract);
  const view: PolicyView = Object.freeze({
    snapshot: snapshot.id,
    contract,
    ref: Object.freeze(ref),
    decide: (request: PolicyRequest) => decide(contract, snapshot.id, request),
  });
  return { ref, contract, snapshot, view };
}

function twice(document: string, name: string, earlier: string): Problem {
  return { at: `${document}#/name`, text: `${name} is the name of the contract in ${earlier}, too.` };
}

/** Maps and sets iterate in the order of insertion, so the first is the oldest. */
function forgetOldest<K>(known: { size: number; keys(): Iterable<K>; delete(key: K): boolean }, max: number): void {
  if (known.size < max) return;
  for (const oldest of known.keys()) {
    known.delete(oldest);
    return;
  }
}
