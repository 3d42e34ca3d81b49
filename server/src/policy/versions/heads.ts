import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Storage } from "../../storage/contract.ts";
import { HEADS_POLL_MS, type Suspension } from "../contract.ts";
import type { Decider } from "../decide.ts";
import { type ContractRow, readContract, readSuspension, selectActive, selectChanges } from "../store.ts";
import { type Head, type Opened, openContract } from "./opened.ts";

/** Which contract's head has moved. */
export interface Moved {
  tenant: TenantId;
  contract: string;
}

type HeadRow = Pick<ContractRow, "tenant_id" | "name" | "version" | "doc_json" | "suspension_json">;

interface Cell extends Head {
  readonly tenant: TenantId;
  readonly name: string;
}

/**
 * What holds of each contract that somebody has a view of. A view cannot read the store when it decides, so what it
 * decides by is kept here: changes that this process made are here when they are durable, those of others within
 * `HEADS_POLL_MS` and a read. A head lives for as long as a view of it does.
 */
export class Heads {
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #decider: Decider;
  readonly #cells = new Map<string, WeakRef<Cell>>();
  readonly #dead = new FinalizationRegistry<string>((key) => {
    if (this.#cells.get(key)?.deref() === undefined) this.#cells.delete(key);
  });
  readonly #listeners = new Set<(of: Moved) => void>();
  #rev = -1;
  #stop: (() => void) | undefined;
  #polling: Promise<void> | undefined;

  constructor(parts: { storage: Storage; clock: Clock; decider: Decider }) {
    this.#storage = parts.storage;
    this.#clock = parts.clock;
    this.#decider = parts.decider;
  }

  /** The head that a view of the contract keeps, brought to what was just read. */
  track(tenant: TenantId, opened: Opened, suspension: Suspension | null): Readonly<Head> {
    const key = `${tenant}/${opened.ref.name}`;
    let cell = this.#cells.get(key)?.deref();
    if (cell === undefined) {
      cell = { tenant, name: opened.ref.name, current: opened, suspension };
      this.#cells.set(key, new WeakRef(cell));
      this.#dead.register(cell, key);
    }
    if (move(cell, opened, suspension)) this.#tell(tenant, opened.ref.name);
    return cell;
  }

  /** A version is active, or suspended, and that is durable. */
  moved(row: HeadRow): void {
    const cell = this.#cells.get(`${row.tenant_id}/${row.name}`)?.deref();
    // Where nobody has a view it is news all the same.
    if (cell === undefined || this.#bring(cell, row)) this.#tell(row.tenant_id, row.name);
  }

  /** @returns what ends it. See `Policy.watch`. */
  watch(listener: (of: Moved) => void): () => void {
    const own = (of: Moved) => listener(of);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  #tell(tenant: TenantId, contract: string): void {
    for (const listener of this.#listeners) listener({ tenant, contract });
  }

  #bring(cell: Cell, row: HeadRow): boolean {
    const is_known = cell.current?.ref.version === row.version;
    const opened = is_known ? cell.current : openContract(this.#decider, row, readContract(row.doc_json));
    return opened !== undefined && move(cell, opened, readSuspension(row));
  }

  /** Begins to look for what other processes change. */
  start(): void {
    this.#stop ??= this.#clock.every(HEADS_POLL_MS, () => void this.poll());
  }

  async close(): Promise<void> {
    this.#stop?.();
    this.#stop = undefined;
    await this.#polling;
  }

  /** Looks once; a look that is under way is joined. Never rejects: while the store cannot be read, what is known holds. */
  poll(): Promise<void> {
    this.#polling ??= this.#look()
      .catch(() => {
        // Nothing is admitted while the store cannot be read, and the next look is soon.
        this.#rev = -1;
      })
      .finally(() => {
        this.#polling = undefined;
      });
    return this.#polling;
  }

  async #look(): Promise<void> {
    const rev = await selectChanges(this.#storage);
    if (rev === this.#rev) return;
    for (const ref of [...this.#cells.values()]) {
      const cell = ref.deref();
      if (cell === undefined) continue;
      const row = await selectActive(this.#storage, cell.tenant, cell.name);
      if (row !== undefined && this.#bring(cell, row)) this.#tell(cell.tenant, cell.name);
    }
    this.#rev = rev;
  }
}

/**
 * Never back: versions rise, and one that is suspended stays so. What was read may be older than what is known.
 * @returns whether another state holds now.
 */
function move(cell: Cell, opened: Opened, suspension: Suspension | null): boolean {
  const known = cell.current?.ref.version ?? 0;
  if (opened.ref.version < known) return false;
  if (opened.ref.version === known && (suspension === null || cell.suspension !== null)) return false;
  cell.current = opened;
  cell.suspension = suspension;
  return true;
}
