import { code_errors } from "../execution/contract.ts";
import { type Identity, type Principal, task_errors, type VerifiedTask } from "../identity/contract.ts";
import { type ErrorKind, GantryError, type NextStep } from "../kernel/errors.ts";
import type { ActorId } from "../kernel/ids.ts";
import type { PolicyView, Requirement } from "../policy/contract.ts";
import { run_errors } from "./contract.ts";
import type { Intent } from "./normalise.ts";
import type { RunRow } from "./store.ts";

/**
 * Is the run that the request asks for the one that the task was signed for?
 * @throws TASK_HASH_MISMATCH
 */
export function demandSameTask(task: VerifiedTask, row: RunRow): void {
  const pairs = [
    ["contract", task.contract, row.contract],
    ["snapshot", task.snapshot ?? row.snapshot, row.snapshot],
    ["code_hash", task.code_hash, row.code_hash],
    ["input_hash", task.input_hash, row.input_hash],
  ] as const;
  const wrong = pairs.filter(([, signed, is]) => signed !== is);
  if (wrong.length === 0) return;
  throw new GantryError(task_errors.HASH_MISMATCH, {
    detail: wrong
      .map(([name, signed, is]) => `The task was signed for ${name} ${signed}; the request has ${is}.`)
      .join(" "),
    problems: wrong.map(([name]) => ({ at: "/task", text: `names another ${name}` })),
    next_steps: [{ kind: "change", text: "Sign a task for exactly this request, after its last change." }],
  });
}

/**
 * Who signed the code. A signature that is there and does not hold is refused, whether or not the contract asks for one.
 * @returns nobody, or the actor.
 * @throws CODE_UNSIGNED
 */
export async function authorsOf(
  identity: Pick<Identity, "verifyCodeSignature">,
  who: Principal,
  code_hash: string,
  signature: string | null,
): Promise<ActorId[]> {
  if (signature === null) return [];
  const author = await identity.verifyCodeSignature(who.tenant, code_hash, signature);
  if (author !== undefined) return [author];
  throw new GantryError(code_errors.UNSIGNED, {
    detail: `The signature is not one of this tenant's keys over the code ${code_hash}.`,
    problems: [{ at: "/code_signature", text: "does not hold for this code" }],
  });
}

/** What a request carries of what contracts may require, in the order of `REQUIREMENTS`. */
export function carriedBy(intent: Intent, task: VerifiedTask | undefined, authors: ActorId[]): Requirement[] {
  const carried: Requirement[] = [];
  if (task !== undefined) carried.push("signed_task");
  if (authors.length > 0) carried.push("signed_code");
  if (intent.why !== null && intent.why.trim() !== "") carried.push("why");
  return carried;
}

const MISSING: Record<Requirement, { kind: ErrorKind; needs: string; step: NextStep }> = {
  signed_task: {
    kind: task_errors.REQUIRED,
    needs: "a task that a registered key has signed (member task)",
    step: { kind: "command", text: "Sign the task", command: "gantry tasks sign" },
  },
  signed_code: {
    kind: code_errors.UNSIGNED,
    needs: "a signature over the code by a registered key (member code_signature)",
    step: { kind: "change", text: "Sign the code's hash with a key that is registered for code." },
  },
  why: {
    kind: run_errors.WHY_REQUIRED,
    needs: "a reason (member why)",
    step: { kind: "change", text: "Say why the code is to run." },
  },
};

/** @returns the refusal of a request that lacks what its contract requires; its code is that of the first lack. */
export function lackOf(view: PolicyView, row: RunRow, carries: Requirement[]): GantryError | undefined {
  const lacks = view.contract.require.filter((each) => !carries.includes(each)).map((each) => MISSING[each]);
  const [first] = lacks;
  if (first === undefined) return undefined;
  const sentence = (needs: string) => `The contract ${view.ref.name} asks for ${needs}.`;
  return new GantryError(first.kind, {
    detail: lacks.map(({ needs }) => sentence(needs)).join(" "),
    reasons: lacks.map(({ kind, needs }) => ({ code: kind.code, detail: sentence(needs) })),
    next_steps: lacks.map(({ step }) => step),
    run: row.id,
    snapshot: view.snapshot,
  });
}
