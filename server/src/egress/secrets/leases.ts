import type { Ledger } from "../../evidence/contract.ts";
import type { ChainLink, Principal } from "../../identity/contract.ts";
import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Ids, TenantId } from "../../kernel/ids.ts";
import type { Random } from "../../kernel/random.ts";
import { matchesHost } from "../../policy/contract.ts";
import type { Storage, Tx } from "../../storage/contract.ts";
import {
  type EgressIdentity,
  LEASES_LISTED_MAX,
  type LeaseView,
  lease_errors,
  leaseVariable,
  type PreparedLeases,
} from "../contract.ts";
import { demandApproved, demandLeaseUse, isHeldByPeople } from "../destination/people.ts";
import type { AnswerScan, Call, FoundLease, HeaderList, Leases } from "../parts.ts";
import { type KeyWrap, openValue } from "./key_wrap.ts";
import { grantsOf } from "./lease_grants.ts";
import { isWholeLease, leaseHash, makeLease } from "./lease_token.ts";
import { outOfScope, revokedLease, unknownSecret } from "./refusals.ts";
import { createScan } from "./scan.ts";
import { encodingOff, fillSlot, findInHeaders } from "./slots.ts";
import {
  deleteExpiredLeases,
  insertLease,
  type LeaseRow,
  revokeLease,
  revokeSubjectLeases,
  selectLease,
  selectLeaseByHash,
  selectLeases,
  selectLeasesOfSecret,
  selectSecret,
  selectSecretHeads,
} from "./store.ts";

/** How long it can be seen that a lease was there. */
const KEPT_MS = 86_400_000;
/** Leases that one read of a unit takes up. */
const PAGE = 200;

export interface LeaseParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  random: Random;
  ids: Ids;
  keys: KeyWrap;
}

type Revoked = { id: string; subject: string };

/**
 * What guests hold in place of credentials. A lease is good for one subject, at the hosts, by the methods and in the slot
 * that the contract's rules say. Whether it still is, is asked of the store at each call. A new version of a secret is what
 * its leases give from then on; a secret that is removed takes its leases with it.
 */
export class LeaseBook implements Leases {
  readonly #parts: LeaseParts;
  readonly #listeners = new Set<(lease: Revoked) => void>();

  constructor(parts: LeaseParts) {
    this.#parts = parts;
  }

  /** One for each secret that the contract's rules name. @throws SECRETS_UNKNOWN LEASE_APPROVAL */
  async prepare(who: EgressIdentity): Promise<PreparedLeases> {
    const { storage, random, ids } = this.#parts;
    const grants = grantsOf(who.view.contract.egress);
    if (grants.length === 0) return { vars: {}, write() {} };
    demandApproved(who);
    const versions = new Map(
      (await selectSecretHeads(storage, who.tenant)).map(({ name, version }) => [name, version]),
    );
    const missing = grants.filter(({ secret }) => !versions.has(secret)).map(({ secret }) => secret);
    if (missing.length > 0) throw unknownSecret(...missing);
    const vars: Record<string, string> = {};
    const rows = grants.map(({ secret, slot, hosts, methods }): LeaseRow => {
      const token = makeLease(random);
      vars[leaseVariable(secret)] = token;
      return {
        id: ids("lse"),
        hash: leaseHash(token),
        tenant_id: who.tenant,
        subject: who.subject,
        secret,
        secret_version: versions.get(secret) ?? 0,
        hosts_json: JSON.stringify(hosts),
        methods_json: JSON.stringify(methods),
        slot,
        approval: who.approval?.id ?? null,
        not_after_at: who.deadline_at,
        revoked_at: null,
      };
    });
    return { vars, write: (tx) => this.#issue(tx, who, rows) };
  }

  /** In the unit that ends the subject. What it still holds is worth nothing afterwards; the subject's own end tells of it. */
  end(tx: Tx, { tenant, subject }: { tenant: TenantId; subject: string }): void {
    revokeSubjectLeases(tx, tenant, subject, this.#parts.clock.now());
  }

  /** Newest first, those that have not expired; at most `LEASES_LISTED_MAX`. */
  async list(who: Principal): Promise<LeaseView[]> {
    const { storage, clock } = this.#parts;
    return (await selectLeases(storage, who.tenant, clock.now(), LEASES_LISTED_MAX)).map(viewOf);
  }

  /** Calls that go on with it are broken off. One that was revoked before stays so. @throws LEASE_UNKNOWN */
  async revoke(who: Principal, id: string): Promise<void> {
    const revoked = await this.#parts.storage.write(async (tx) => {
      const row = await selectLease(tx, who.tenant, id);
      if (row === undefined) {
        throw new GantryError(lease_errors.UNKNOWN, { detail: "The tenant has no lease of this id." });
      }
      if (row.revoked_at !== null) return undefined;
      this.#revoke(tx, who.chain, row);
      return row;
    });
    if (revoked !== undefined) this.tellRevoked([revoked]);
  }

  /** In the unit that removes the secret. @returns what `tellRevoked` is to be told once the unit is durable. */
  async revokeOfSecret(tx: Tx, who: Principal, secret: string): Promise<Revoked[]> {
    const revoked: Revoked[] = [];
    const of = { tenant: who.tenant, secret, at: this.#parts.clock.now() };
    for (;;) {
      const rows = await selectLeasesOfSecret(tx, of, PAGE);
      for (const row of rows) this.#revoke(tx, who.chain, row);
      revoked.push(...rows.map(({ id, subject }) => ({ id, subject })));
      if (rows.length < PAGE) return revoked;
    }
  }

  tellRevoked(leases: readonly Revoked[]): void {
    for (const { id, subject } of leases) for (const listener of this.#listeners) listener({ id, subject });
  }

  onRevoked(listener: (lease: Revoked) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async find(call: Call, headers: HeaderList): Promise<FoundLease | undefined> {
    const place = findInHeaders(headers, call.rule.secret?.slot);
    if (place === undefined) return undefined;
    const { secret: named } = call.rule;
    if (named === undefined) throw outOfScope(`Rule ${call.rule_id} of the contract names no secret.`);
    if (place.kind === "elsewhere") {
      throw outOfScope(`It stands in the header ${place.header}; rule ${call.rule_id} puts it into ${named.slot}.`);
    }
    if (!isWholeLease(place.token)) throw outOfScope("It is cut or mistyped: send the environment's value as it is.");
    const row = await selectLeaseByHash(this.#parts.storage, leaseHash(place.token));
    if (row === undefined || row.tenant_id !== call.who.tenant || row.subject !== call.who.subject) {
      throw outOfScope("It is none that this run was given.");
    }
    demandGood(row, this.#parts.clock.now());
    demandWithin(row, call);
    demandLeaseUse(call, row.secret);
    const needs_approval = isHeldByPeople(call.who.view.contract, "lease.use");
    return { id: row.id, secret: row.secret, needs_approval };
  }

  /**
   * The last look at the lease: from here on the secret is in this process, until the call has its head.
   * @throws LEASE_EXPIRED LEASE_REVOKED LEASE_SCOPE
   */
  async swap(call: Call, found: FoundLease, headers: HeaderList): Promise<{ headers: HeaderList; scan: AnswerScan }> {
    const { storage, clock, keys } = this.#parts;
    const slot = call.rule.secret?.slot;
    const place = findInHeaders(headers, slot);
    assert(slot !== undefined && place?.kind === "slot", "a lease that was found stands in its slot");
    const { tenant } = call.who;
    const [row, secret] = await Promise.all([
      selectLease(storage, tenant, found.id),
      selectSecret(storage, tenant, found.secret),
    ]);
    if (row === undefined || row.hash !== leaseHash(place.token))
      throw outOfScope("It is none that this run was given.");
    demandGood(row, clock.now());
    if (secret === undefined) throw revokedLease(`Its secret ${found.secret} was removed.`);
    const value = openValue(keys, { tenant, name: secret.name, version: secret.version }, secret);
    try {
      return { headers: encodingOff(fillSlot(headers, slot, place, value)), scan: createScan(value) };
    } finally {
      value.fill(0);
    }
  }

  #issue(tx: Tx, who: EgressIdentity, rows: readonly LeaseRow[]): void {
    const { ledger, clock } = this.#parts;
    deleteExpiredLeases(tx, who.tenant, clock.now() - KEPT_MS);
    for (const row of rows) {
      insertLease(tx, row);
      const { id, subject, secret, slot, approval, not_after_at } = row;
      ledger.append(tx, {
        kind: "lease.issued",
        tenant: who.tenant,
        actor: actorsOf(who.chain),
        refs: [id, subject, ...(approval === null ? [] : [approval])],
        snapshot: who.view.snapshot,
        contract: who.view.ref,
        data: {
          lease: id,
          subject,
          secret,
          version: row.secret_version,
          hosts: JSON.parse(row.hosts_json),
          methods: JSON.parse(row.methods_json),
          slot,
          ...(approval === null ? {} : { approval }),
          not_after_at,
        },
      });
    }
  }

  #revoke(tx: Tx, chain: readonly ChainLink[], { id, tenant_id, subject, secret }: LeaseRow): void {
    revokeLease(tx, id, this.#parts.clock.now());
    this.#parts.ledger.append(tx, {
      kind: "lease.revoked",
      tenant: tenant_id,
      actor: actorsOf(chain),
      refs: [id, subject],
      data: { lease: id, subject, secret },
    });
  }
}

function demandGood(row: LeaseRow, now: number): void {
  if (row.revoked_at !== null) throw revokedLease(`The lease ${row.id} of ${row.secret} was revoked.`);
  if (row.not_after_at > now) return;
  throw new GantryError(lease_errors.EXPIRED, {
    detail: `The lease ${row.id} of ${row.secret} was good until ${new Date(row.not_after_at).toISOString()}.`,
  });
}

/** The rule that lets the call out must be one that the lease was issued for. */
function demandWithin(row: LeaseRow, { rule, rule_id, target, method }: Call): void {
  const { secret } = rule;
  if (secret?.name !== row.secret) {
    throw outOfScope(`It is one of ${row.secret}; rule ${rule_id} names ${secret?.name ?? "no secret"}.`);
  }
  if (secret.slot !== row.slot)
    throw outOfScope(`It is good in ${row.slot}; rule ${rule_id} puts it into ${secret.slot}.`);
  const hosts = JSON.parse(row.hosts_json) as string[];
  const methods = JSON.parse(row.methods_json) as string[];
  if (!hosts.some((host) => matchesHost(host, target.host))) {
    throw outOfScope(`It is good at ${hosts.join(", ")}, and not at ${target.host}.`);
  }
  if (!methods.includes(method)) throw outOfScope(`It is good for ${methods.join(", ")}, and not for ${method}.`);
}

function actorsOf(chain: readonly ChainLink[]): { actor: string; kind: ChainLink["kind"] }[] {
  return chain.map(({ actor, kind }) => ({ actor, kind }));
}

function viewOf(row: LeaseRow): LeaseView {
  const { id, subject, secret, slot, not_after_at, revoked_at } = row;
  const hosts = JSON.parse(row.hosts_json) as string[];
  const methods = JSON.parse(row.methods_json) as string[];
  return { id, subject, secret, hosts, methods, slot, not_after_at, revoked_at };
}
