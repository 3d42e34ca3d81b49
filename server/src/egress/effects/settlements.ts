import type { ActorRef, Ledger } from "../../evidence/contract.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Storage, Tx } from "../../storage/contract.ts";
import { EFFECT_BATCH_MS_MAX } from "../contract.ts";
import { isConflict, recording } from "./recorded.ts";
import { type EndedRow, selectEffect, updateEnded } from "./store.ts";

/** Ends that one unit writes at most, and bytes of answers in it: a unit has a wall, and a group of units a size. */
const ENDS_PER_UNIT = 64;
const ANSWER_BYTES_PER_UNIT = 1024 * 1024;

/** The end of one effect, and whose it was. */
export interface Ended extends EndedRow {
  tenant: TenantId;
  subject: string;
  /** Empty: Gantry itself says so. */
  actor: ActorRef[];
}

export interface SettlementParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  log: Logger;
}

/** In the caller's unit: the row, and `effect.ended`. */
export function recordEnd(tx: Tx, ledger: Ledger, { tenant, subject, actor, ...row }: Ended): void {
  const { scope, key, state, status } = row;
  updateEnded(tx, row);
  ledger.append(tx, {
    kind: "effect.ended",
    tenant,
    actor,
    refs: [subject],
    data: { subject, scope, key, state, ...(status === null ? {} : { status }) },
  });
}

/** Ends of effects, written together: the first waits at most `EFFECT_BATCH_MS_MAX` for others. */
export class Settlements {
  readonly #parts: SettlementParts;
  #waiting: Ended[] = [];
  /** Taken out of `#waiting`, and not durable yet. */
  #going: readonly Ended[] = [];
  #turn: Promise<void> = Promise.resolve();
  #cancel: (() => void) | undefined;

  constructor(parts: SettlementParts) {
    this.#parts = parts;
  }

  add(ended: Ended): void {
    this.#waiting.push(ended);
    this.#ring();
  }

  /** Has this effect an end that is not durable yet? */
  has(scope: string, key: string): boolean {
    const is = (ended: Ended) => ended.scope === scope && ended.key === key;
    return this.#going.some(is) || this.#waiting.some(is);
  }

  /** Everything added so far is durable. @throws EGRESS_LEDGER  it is not, and is tried again by itself. */
  flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    const turn = this.#turn.then(() => this.#drain());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** What cannot be written now is found open by the next start. */
  async close(): Promise<void> {
    await this.flush().catch(() => {});
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #ring(): void {
    if (this.#cancel !== undefined) return;
    this.#cancel = this.#parts.clock.after(EFFECT_BATCH_MS_MAX, () => {
      this.flush().catch((error: unknown) => {
        this.#parts.log.warn({ error, waiting: this.#waiting.length }, "ends of effects could not be recorded yet");
      });
    });
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      this.#going = this.#waiting.splice(0, this.#fitting());
      try {
        await recording(this.#write(this.#going));
      } catch (error) {
        this.#waiting = [...this.#going, ...this.#waiting];
        this.#ring();
        throw error;
      } finally {
        this.#going = [];
      }
    }
  }

  #fitting(): number {
    let bytes = 0;
    for (const [n, { response_sealed }] of this.#waiting.entries()) {
      bytes += response_sealed?.byteLength ?? 0;
      if (n === ENDS_PER_UNIT || (n > 0 && bytes > ANSWER_BYTES_PER_UNIT)) return n;
    }
    return this.#waiting.length;
  }

  /** Without a read, so that it crosses to the writer as one message. What was declared unknown meanwhile is rare. */
  async #write(ends: readonly Ended[]): Promise<void> {
    const { storage, ledger, log } = this.#parts;
    try {
      await storage.write((tx) => {
        for (const ended of ends) recordEnd(tx, ledger, ended);
      });
    } catch (error) {
      if (!isConflict(error)) throw error;
      log.debug({ ends: ends.length }, "an effect has changed hands before its end was recorded");
      await storage.write(async (tx) => {
        for (const ended of ends) if (await isOwn(tx, ended)) recordEnd(tx, ledger, ended);
      });
    }
  }
}

/**
 * May this epoch still say what became of the effect? It may when the effect was declared unknown, for it knows; it may
 * not once a newer epoch has taken the effect over.
 */
async function isOwn(tx: Tx, { scope, key, root, epoch }: Ended): Promise<boolean> {
  const row = await selectEffect(tx, scope, key);
  if (row === undefined || row.root !== root || row.epoch !== epoch) return false;
  return row.state === "intended" || row.state === "unknown";
}
