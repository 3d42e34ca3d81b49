import { GantryError } from "../../kernel/errors.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { type EgressIdentity, egress_errors } from "../contract.ts";
import type { EffectRow } from "./store.ts";

/**
 * What an effect that is known already means for whoever asks for it again. `lost`: its attempt is dead, and what became
 * of it is not known; `busy`: it is under way.
 */
export type Known = "send" | "replay" | "done" | "unknown" | "lost" | "busy";

export function judgeKnown(row: EffectRow, { root, epoch }: Pick<EgressIdentity, "root" | "epoch">): Known {
  switch (row.state) {
    case "rejected":
    case "failed":
      return "send";
    case "done":
      return row.response_sealed === null ? "done" : "replay";
    case "unknown":
      return "unknown";
    case "intended":
      // Another root's epochs say nothing about this one's: it is not known whether they go on.
      return row.root === root && row.epoch < epoch ? "lost" : "busy";
  }
}

/** Does the destination make a call once that it is sent twice? */
export function isHonoured({ idempotency }: EgressRule): boolean {
  return idempotency !== undefined && idempotency !== "off" && idempotency.honoured;
}

export function effectDone({ status }: EffectRow): GantryError {
  return new GantryError(egress_errors.EFFECT_DONE, {
    detail: `The call was made before and answered with status ${status}; the answer was not kept, so it cannot be given again.`,
  });
}

export function effectUnknown(host: string): GantryError {
  return new GantryError(egress_errors.EFFECT_UNKNOWN, {
    detail: `The call was sent before, and whether ${host} made it is not known. Find out there, or make the call under another idempotency key.`,
    next_steps: [
      {
        kind: "change",
        text: "If the destination makes calls of one idempotency key once, say so in the rule: idempotency with honoured true.",
      },
    ],
  });
}

export function effectBusy(): GantryError {
  return new GantryError(egress_errors.EFFECT_UNKNOWN, {
    detail: "The same call, by its idempotency key, is under way. Wait for its answer.",
  });
}

export function fenced({ root, epoch }: Pick<EgressIdentity, "root" | "epoch">): GantryError {
  return new GantryError(egress_errors.FENCED, {
    detail: `Attempt ${epoch} of ${root} may change nothing any more: a newer one has taken its place, or it began weeks ago.`,
  });
}
