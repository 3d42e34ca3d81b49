import type { Ledger } from "../../evidence/contract.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Random } from "../../kernel/random.ts";
import type { EffectAuthority } from "../../policy/contract.ts";
import type { Storage } from "../../storage/contract.ts";
import type { EffectKeys } from "./seal.ts";

/** What the effects of all doors of a process share. */
export interface EffectParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  log: Logger;
  random: Random;
  keys: EffectKeys;
  approvals: EffectAuthority;
  /** This machine, and this start of the process; read anew for each intent. */
  node: { readonly id: string; readonly boot: string };
}

export interface Fence {
  root: string;
  epoch: number;
}
