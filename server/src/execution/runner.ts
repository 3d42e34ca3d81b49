import type { RunnerId } from "../kernel/ids.ts";
import type { JailedProcess } from "./adapters/jailed_process.ts";
import type { JailName, Job, Outcome, RunDoor, Runner } from "./contract.ts";
import { Trial, type TrialDeps } from "./trial.ts";

/** A claimed process: one job, then it is dead. */
export class ProcessRunner implements Runner {
  readonly id: RunnerId;
  readonly jail: JailName;
  readonly cold: boolean;
  readonly #process: JailedProcess;
  readonly #deps: TrialDeps;
  readonly #released: () => void;

  constructor(o: { process: JailedProcess; cold: boolean; deps: TrialDeps; released: () => void }) {
    this.id = o.process.id;
    this.jail = o.process.jail;
    this.cold = o.cold;
    this.#process = o.process;
    this.#deps = o.deps;
    this.#released = o.released;
  }

  async execute(job: Job, door: RunDoor, signal: AbortSignal): Promise<Outcome> {
    try {
      return await new Trial(this.#process, job, door, this.#deps).run(signal);
    } finally {
      this.#released();
    }
  }

  discard(): void {
    this.#process.kill();
    this.#deps.watchdog.forget(this.id);
    this.#released();
  }
}
