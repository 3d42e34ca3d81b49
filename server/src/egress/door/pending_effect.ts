import type { DoorEffects, EffectOutcome, EffectRef, HeaderList } from "../parts.ts";

/** RFC 9110: what asks to come again later, and what failed at the far end; the same call may go out once more. */
const REJECTED = new Set([408, 425, 429]);

/** An intent that is durable, until its one end. */
export class PendingEffect {
  readonly #effects: DoorEffects;
  readonly #ref: EffectRef;
  #sent = false;
  #status: number | undefined;
  #settled = false;

  constructor(effects: DoorEffects, ref: EffectRef) {
    this.#effects = effects;
    this.#ref = ref;
  }

  /** From here on nobody can say that nothing was sent. */
  sending(): void {
    this.#sent = true;
  }

  answered(status: number): void {
    this.#status = status;
  }

  /** It went as it should. @param response  what a repetition is answered with, if it was short enough to keep. */
  done(response?: { headers: HeaderList; body: Buffer }): void {
    this.#settle(response);
  }

  /** Something broke off; what is known of the effect is told. Does nothing when its end has been told. */
  broke(): void {
    this.#settle(undefined);
  }

  #settle(response: { headers: HeaderList; body: Buffer } | undefined): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#effects.settle(this.#ref, this.#outcome(response));
  }

  #outcome(response: { headers: HeaderList; body: Buffer } | undefined): EffectOutcome {
    const status = this.#status;
    if (status === undefined) return { state: this.#sent ? "unknown" : "failed" };
    if (status >= 500 || REJECTED.has(status)) return { state: "rejected", status };
    return { state: "done", status, ...(response === undefined ? {} : { response }) };
  }
}
