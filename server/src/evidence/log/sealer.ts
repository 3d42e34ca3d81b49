import { type GantryError, hasCode, isGantryError } from "../../kernel/errors.ts";
import { type Checkpoint, errors, SEAL_EVERY_MS, SEAL_NOW_ENTRIES, SEAL_POLL_MS } from "../contract.ts";
import { LatestFile } from "./history.ts";
import { type Outcome, SealRound, type SealRoundParts } from "./seal_round.ts";

/** After something went wrong. */
const RETRY_MS = 1_000;
/** An entry is appended before its unit commits: for so long its commit is looked for. */
const WARM_MS = 1_000;

export interface SealerParts extends Omit<SealRoundParts, "release"> {
  /** How often what other processes append is looked for, default `SEAL_POLL_MS`. */
  poll_ms?: number;
}

/** Decides when to seal. Never on anybody's way: an append rings, and what waits is sealed a little later. */
export class Sealer {
  readonly #parts: SealerParts;
  readonly #round: SealRound;
  readonly #latest: LatestFile;
  readonly #listeners = new Set<(checkpoint: Checkpoint) => void>();
  /** Looks that are under way, or what they wait for. */
  #looking: Promise<void> | undefined;
  /** Entries appended here since the last look. */
  #fresh = 0;
  /** Monotonic. */
  #warm_until = 0;
  #retry_at = 0;
  #alarm: { at: number; cancel: () => void } | undefined;
  #complaint = "";
  #state: "new" | "started" | "closed" = "new";

  constructor(parts: SealerParts) {
    this.#parts = parts;
    this.#latest = new LatestFile(parts.files, parts.clock, parts.log);
    this.#round = new SealRound({ ...parts, release: (checkpoint) => this.#release(checkpoint) });
  }

  /** Opens the log, makes it if there is none, and begins to seal. The guard says what is wrong with it. */
  async start(): Promise<void> {
    await this.#guarded(async () => {
      await this.#round.open();
      return "done";
    });
    this.#state = "started";
    this.#schedule();
  }

  /** One more entry is about to be committed. Costs nothing. */
  appended(): void {
    this.#parts.guard.appended();
    this.#fresh += 1;
    if (this.#fresh === 1) this.#schedule();
    else if (this.#fresh === SEAL_NOW_ENTRIES) this.#wake();
  }

  /** Seals what is committed now, unless another process does. */
  async seal(): Promise<void> {
    while (this.#looking !== undefined) await this.#looking;
    await this.#look();
  }

  /** Runs `work` while nothing is sealed: what it reads of the log's keys is so until its end. */
  async between<T>(work: () => Promise<T>): Promise<T> {
    while (this.#looking !== undefined) await this.#looking;
    const result = work();
    this.#occupy(result.then(noValue, noValue));
    return result;
  }

  /** Called with each checkpoint that this process has sealed, when it is durable. @returns what ends it */
  onReleased(listener: (checkpoint: Checkpoint) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Seals what is left, and lets another process seal. Call when nothing is appended any more. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    if (this.#state === "started") await this.seal();
    this.#state = "closed";
    this.#alarm?.cancel();
    await this.#latest.flush();
    await this.#round.release().catch(() => {}); // the store may be away; then the lock's time runs out
  }

  #schedule(): void {
    if (this.#state !== "started" || this.#looking !== undefined) return;
    const { clock, poll_ms = SEAL_POLL_MS } = this.#parts;
    const now = clock.monotonic();
    const is_warm = this.#fresh > 0 || now < this.#warm_until;
    const at = Math.max(now + (is_warm ? Math.min(SEAL_EVERY_MS, poll_ms) : poll_ms), this.#retry_at);
    if (this.#alarm !== undefined && this.#alarm.at <= at) return;
    this.#alarm?.cancel();
    this.#alarm = { at, cancel: clock.after(at - now, () => this.#wake()) };
  }

  #wake(): void {
    this.#alarm?.cancel();
    this.#alarm = undefined;
    if (this.#parts.clock.monotonic() < this.#retry_at) this.#schedule();
    else if (this.#state === "started") void this.#look();
  }

  /** Looks until nothing is left that should be sealed at once. Never fails. */
  #look(): Promise<void> {
    return this.#looking ?? this.#occupy(this.#lookAndLook());
  }

  /** One look at a time, and none beside `work`, which never fails. */
  #occupy(work: Promise<void>): Promise<void> {
    this.#looking = work.finally(() => {
      this.#looking = undefined;
      this.#schedule();
    });
    return this.#looking;
  }

  async #lookAndLook(): Promise<void> {
    const { clock, guard, storage } = this.#parts;
    for (let outcome: Outcome = "more"; outcome === "more" || this.#fresh >= SEAL_NOW_ENTRIES; ) {
      if (this.#fresh > 0) this.#warm_until = clock.monotonic() + WARM_MS;
      this.#fresh = 0;
      const is_stopped = guard.fault !== undefined && guard.fault.code !== errors.KEY_MODE.code;
      const may_look = !is_stopped && storage.unwritable() === undefined;
      outcome = may_look ? await this.#guarded(() => this.#round.look()) : "failed";
      if (outcome === "failed") {
        this.#retry_at = clock.monotonic() + RETRY_MS;
        return;
      }
    }
  }

  /** What goes wrong is told once and tried again; what must not go on stops everything. */
  async #guarded(work: () => Promise<Outcome>): Promise<Outcome> {
    const { guard } = this.#parts;
    try {
      const outcome = await work();
      if (outcome !== "failed") this.#complaint = "";
      return outcome;
    } catch (error) {
      const is_fault = [errors.FORKED, errors.ROLLBACK, errors.KEY_MODE].some((kind) => hasCode(error, kind));
      if (is_fault) guard.stop(error as GantryError);
      if (hasCode(error, errors.KEY_MODE)) this.#round.forgetKeys();
      this.#complain(is_fault ? "nothing is sealed, and nothing is recorded any more" : "sealing failed", error);
      return "failed";
    }
  }

  /** Once, however often it is met. */
  #complain(message: string, error: unknown): void {
    if (this.#complaint === String(error)) return;
    this.#complaint = String(error);
    const internal = isGantryError(error) ? error.parts.internal : (error as Error).stack;
    this.#parts.log.error({ error: String(error), internal }, message);
  }

  #release(checkpoint: Checkpoint): void {
    this.#latest.save(checkpoint.note);
    for (const listener of this.#listeners) listener(checkpoint);
  }
}

function noValue(): void {}
