import type { Bindings, EgressRule } from "../contract.ts";
import type { Fields } from "./fields.ts";

/** The name under which a program finds the lease of a secret. */
export function variableOf(secret: string): string {
  return secret.toUpperCase().replace(/[^A-Z0-9]/g, "_");
}

/**
 * A run has one lease of each secret, for one slot, in one variable of its environment: no two of them, and none of its
 * bindings, may have one name there.
 */
export function judgeSecrets(egress: readonly EgressRule[], bindings: Bindings, fields: Fields<"egress">): void {
  const slots = new Map<string, string>();
  const taken = new Map<string, string>();
  for (const [kind, binding] of Object.entries(bindings))
    if (binding !== undefined) taken.set(binding.as, `binding ${kind}`);
  for (const { secret } of egress) {
    if (secret === undefined) continue;
    const { name, slot } = secret;
    const other = slots.get(name);
    if (other !== undefined) {
      if (other === slot) continue;
      const text = `The secret ${name} is put into ${other} and into ${slot}; a contract names one slot for each secret.`;
      fields.problem("egress", text);
      continue;
    }
    slots.set(name, slot);
    const variable = variableOf(name);
    const owner = taken.get(variable);
    if (owner !== undefined) {
      const text = `The secret ${name} and the ${owner} would both be ${variable} in the program's environment.`;
      fields.problem("egress", text);
    }
    taken.set(variable, `secret ${name}`);
  }
}
