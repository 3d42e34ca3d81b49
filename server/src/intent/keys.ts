import type { Principal } from "../identity/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { Fire, Storage } from "../storage/contract.ts";
import { idempotency_errors, RUN_KEY_SWEEP_MS } from "./contract.ts";
import { deleteKeys, findKey } from "./key_store.ts";
import type { Live } from "./live.ts";

const SWEEP_TIMER = { owner: "intent.keys", key: "sweep" };

/** A run that a request led to: alive in this process, or found by its id. */
export type Accepted = { id: string; live?: Live };

interface Pending {
  request_hash: string;
  accepted: Promise<Accepted>;
}

/** Idempotency keys of the runs that are being accepted, and of those that were. */
export class Keys {
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #pending = new Map<string, Pending>();

  constructor(storage: Storage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
    storage.timers.on(SWEEP_TIMER.owner, (fire) => this.#sweep(fire));
  }

  /** Sets the timer that deletes expired keys. */
  async start(): Promise<void> {
    const due_at = this.#clock.now() + RUN_KEY_SWEEP_MS;
    await this.#storage.write((tx) => this.#storage.timers.set(tx, { ...SWEEP_TIMER, due_at }));
  }

  /**
   * `accept`, unless the actor's key names a run already, or is about to: then that run.
   * @param accept  makes the run; it binds the key in the unit of the run's first row.
   * @throws IDEMPOTENCY_MISMATCH
   */
  async once(who: Principal, key: string, request_hash: string, accept: () => Promise<Accepted>): Promise<Accepted> {
    const slot = `${who.tenant}/${who.actor}/${key}`;
    for (;;) {
      const pending = this.#pending.get(slot);
      if (pending === undefined) break;
      if (pending.request_hash === request_hash) return pending.accepted;
      // Another request holds the key: only if it came to nothing may this one try.
      if ((await pending.accepted.catch(() => undefined)) !== undefined) throw mismatch();
      if (this.#pending.get(slot) === pending) this.#pending.delete(slot);
    }
    const accepted = this.#foundOr(who, key, request_hash, accept);
    const mine: Pending = { request_hash, accepted };
    this.#pending.set(slot, mine);
    const forget = () => {
      if (this.#pending.get(slot) === mine) this.#pending.delete(slot);
    };
    // Once the row is durable, or there is none, the store knows better than this map.
    accepted.then(({ live }) => live?.accepted.promise).then(forget, forget);
    return accepted;
  }

  /** The run that the actor's key names. @throws IDEMPOTENCY_MISMATCH */
  async find(who: Principal, key: string, request_hash: string): Promise<string | undefined> {
    const found = await findKey(this.#storage, who.tenant, who.actor, key, this.#clock.now());
    if (found !== undefined && found.request_hash !== request_hash) throw mismatch();
    return found?.run;
  }

  async #foundOr(
    who: Principal,
    key: string,
    request_hash: string,
    accept: () => Promise<Accepted>,
  ): Promise<Accepted> {
    const id = await this.find(who, key, request_hash);
    return id === undefined ? accept() : { id };
  }

  async #sweep(fire: Fire): Promise<void> {
    const now = this.#clock.now();
    const { timers } = this.#storage;
    await this.#storage.write((tx) => {
      deleteKeys(tx, now);
      timers.done(tx, fire);
      timers.set(tx, { ...SWEEP_TIMER, due_at: now + RUN_KEY_SWEEP_MS });
    });
  }
}

/** What the record keeps of a key: it may be anything that its owner finds memorable. */
export function keyHash(key: string | undefined): string | null {
  return key === undefined ? null : sha256Hex(key);
}

function mismatch(): GantryError {
  return new GantryError(idempotency_errors.MISMATCH, {
    detail: "This Idempotency-Key came with another request before; a new request needs a new key.",
  });
}
