import { type EgressRule, methodsOf } from "../../policy/contract.ts";

/** What one lease is good for: the sum of the rules that name its secret. */
export interface LeaseGrant {
  secret: string;
  slot: string;
  hosts: string[];
  methods: string[];
}

/**
 * One for each secret, in the order in which the rules name them. A contract gives a secret one slot; of an older snapshot
 * with two the first holds, and the other rule refuses the lease.
 */
export function grantsOf(rules: readonly EgressRule[]): LeaseGrant[] {
  const grants = new Map<string, LeaseGrant>();
  for (const rule of rules) {
    const { secret, hosts } = rule;
    if (secret === undefined) continue;
    const before = grants.get(secret.name);
    grants.set(secret.name, {
      secret: secret.name,
      slot: before?.slot ?? secret.slot,
      hosts: unique([...(before?.hosts ?? []), ...hosts]),
      methods: unique([...(before?.methods ?? []), ...methodsOf(rule)]),
    });
  }
  return [...grants.values()];
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}
