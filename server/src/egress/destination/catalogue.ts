import type { ActorRef, Ledger } from "../../evidence/contract.ts";
import type { Principal } from "../../identity/contract.ts";
import { canonicalJson } from "../../kernel/canonical.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { ServiceCatalogue } from "../../policy/contract.ts";
import type { Reader, Storage } from "../../storage/contract.ts";
import { egress_errors, SERVICES_PER_TENANT_MAX, type ServiceEntry, type ServiceList } from "../contract.ts";
import { readEntry } from "./entry.ts";
import {
  countServices,
  deleteService,
  type ServiceRow,
  selectService,
  selectServices,
  upsertService,
} from "./store.ts";

export interface CatalogueParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
}

/**
 * The services that rules of a tenant's contracts may name. What an entry says goes into a contract when that is applied,
 * and not later: a change here touches no contract that is there.
 */
export class Catalogue implements ServiceList, ServiceCatalogue {
  readonly #parts: CatalogueParts;

  constructor(parts: CatalogueParts) {
    this.#parts = parts;
  }

  async list(who: Principal): Promise<ServiceEntry[]> {
    return (await selectServices(this.#parts.storage, who.tenant)).map(entryOf);
  }

  /** @throws EGRESS_SERVICE_UNKNOWN */
  async get(who: Principal, name: string): Promise<ServiceEntry> {
    return entryOf(await demand(this.#parts.storage, who.tenant, name));
  }

  /** One that says the same already is not recorded again. @throws EGRESS_SERVICE EGRESS_SERVICE_TOO_MANY */
  async set(who: Principal, asked: ServiceEntry): Promise<ServiceEntry> {
    const { storage, ledger, clock } = this.#parts;
    const entry = readEntry(asked);
    const { name } = entry;
    const entry_json = canonicalJson(entry);
    await storage.write(async (tx) => {
      const before = await selectService(tx, who.tenant, name);
      if (before?.entry_json === entry_json) return;
      if (before === undefined && (await countServices(tx, who.tenant)) >= SERVICES_PER_TENANT_MAX) {
        throw new GantryError(egress_errors.SERVICE_TOO_MANY, {
          detail: `A tenant has at most ${SERVICES_PER_TENANT_MAX} services; ${name} is one more. Remove one that no contract needs.`,
        });
      }
      const id = `${who.tenant}/${name}`;
      const row = { id, tenant_id: who.tenant, name, entry_json, actor: who.actor, changed_at: clock.now() };
      upsertService(tx, row);
      ledger.append(tx, {
        kind: "service.set",
        tenant: who.tenant,
        actor: actorsOf(who),
        refs: [],
        subjects: [{ table: "egress_services", id, row }],
        data: { service: name, hash: sha256Hex(entry_json) },
      });
    });
    return entry;
  }

  /** Contracts that were applied with it keep what it said. @throws EGRESS_SERVICE_UNKNOWN */
  async remove(who: Principal, name: string): Promise<void> {
    const { storage, ledger } = this.#parts;
    await storage.write(async (tx) => {
      const { id } = await demand(tx, who.tenant, name);
      deleteService(tx, id);
      ledger.append(tx, {
        kind: "service.removed",
        tenant: who.tenant,
        actor: actorsOf(who),
        refs: [],
        subjects: [{ table: "egress_services", id, row: null }],
        data: { service: name },
      });
    });
  }

  async find(reader: Reader, tenant: TenantId, name: string): Promise<ServiceEntry | undefined> {
    const row = await selectService(reader, tenant, name);
    return row === undefined ? undefined : entryOf(row);
  }
}

async function demand(reader: Reader, tenant: TenantId, name: string): Promise<ServiceRow> {
  const row = await selectService(reader, tenant, name);
  if (row !== undefined) return row;
  throw new GantryError(egress_errors.SERVICE_UNKNOWN, {
    detail: `The tenant's catalogue has no service ${JSON.stringify(name.slice(0, 63))}.`,
  });
}

/** What is kept was judged when it was set. */
function entryOf({ entry_json }: ServiceRow): ServiceEntry {
  return JSON.parse(entry_json) as ServiceEntry;
}

function actorsOf({ chain }: Principal): ActorRef[] {
  return chain.map(({ actor, kind }) => ({ actor, kind }));
}
