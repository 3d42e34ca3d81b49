import type { Ledger } from "../../evidence/contract.ts";
import type { Principal } from "../../identity/contract.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { BlockedCallId, Ids } from "../../kernel/ids.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Random } from "../../kernel/random.ts";
import type { Policy, PolicyView } from "../../policy/contract.ts";
import type { Storage } from "../../storage/contract.ts";
import type { EgressIdentity } from "../contract.ts";
import type { HeaderList, Target } from "../parts.ts";
import type { EffectKeys } from "./seal.ts";

/** A call that policy stopped and whose rule asks for it to be kept. */
export interface StoppedCall {
  who: EgressIdentity;
  /** Why it was stopped. */
  code: string;
  target: Target;
  method: string;
  headers: HeaderList;
  /** At most `BLOCKED_BODY_BYTES_MAX`. */
  body: Buffer;
  /** The key that the guest set itself. */
  guest_key?: string;
}

/** A call that a person lets go on, as it is sent: through a door of its own. */
export interface ResentCall {
  id: BlockedCallId;
  /** The run that made it. */
  subject: string;
  /** What the call's effect is counted under, and its key: those of the run, so that one of them does it once. */
  scope: string;
  key: string;
  /** The contract as it is now. */
  view: PolicyView;
  target: Target;
  method: string;
  headers: HeaderList;
  /** Headers that carried a lease, lower case. */
  leased: readonly string[];
  body: Buffer;
}

/** Sends it as whoever asks. @returns the answer's status, or the code of why there was none. */
export type Resend = (who: Principal, call: ResentCall) => Promise<{ status: number } | { code: string }>;

export interface BlockedParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Logger;
  keys: EffectKeys;
  policy: Pick<Policy, "open">;
  resend: Resend;
}
