import type { RunnerId } from "../kernel/ids.ts";
import type { JailedProcess, ProcessNumbers } from "./adapters/jailed_process.ts";
import type { JailName, Job, Outcome, RunDoor, Runner } from "./contract.ts";
import { Trial, type TrialDeps } from "./trial.ts";

/** How a process was claimed, and where it goes afterwards. */
export interface Claim {
  cold: boolean;
  /** What the process had used before; undefined: it has died since. */
  before: ProcessNumbers | undefined;
  /** May the process serve another run when this one has ended cleanly? */
  keeps: boolean;
  /** @param after  what it has used now; undefined: it must not serve again. */
  release(after: ProcessNumbers | undefined): void;
}

/** A process that has been claimed for one run. */
export class ClaimedRunner implements Runner {
  readonly id: RunnerId;
  readonly jail: JailName;
  readonly cold: boolean;
  readonly #process: JailedProcess;
  readonly #claim: Claim;
  readonly #deps: TrialDeps;

  constructor(process: JailedProcess, claim: Claim, deps: TrialDeps) {
    this.id = process.id;
    this.jail = process.jail;
    this.cold = claim.cold;
    this.#process = process;
    this.#claim = claim;
    this.#deps = deps;
  }

  async execute(job: Job, door: RunDoor, signal: AbortSignal): Promise<Outcome> {
    const { before, keeps, release } = this.#claim;
    let after: ProcessNumbers | undefined;
    try {
      const ended = await new Trial(this.#process, before, job, door, this.#deps).run(signal, keeps);
      after = ended.after;
      return ended.outcome;
    } finally {
      release(after);
    }
  }

  /** An unused one of a key may still be used by another run of the key. */
  discard(): void {
    this.#claim.release(this.#claim.keeps ? this.#process.use() : undefined);
  }
}
