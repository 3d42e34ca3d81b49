import { NAMES_MAX } from "./contract.ts";
import { partOf, toldOf } from "./part.tsx";
import type { Visitor } from "./visitor.ts";

/** What actors are called. Who may not see those of the tenant knows at least those of their own chain. */
export async function namesFor({ gantry, me }: Visitor): Promise<ReadonlyMap<string, string>> {
  const actors = toldOf(await partOf(gantry.actors.list({ limit: NAMES_MAX })))?.items ?? [];
  return new Map([
    ...me.chain.map(({ actor, name }) => [actor, name] as const),
    ...actors.map(({ id, name }) => [id, name] as const),
  ]);
}

/** A sentence of the server about actors, who are called by their names in it where those are known. */
export function withNames(text: string, names: ReadonlyMap<string, string>): string {
  return text.replace(/\bact_[0-9a-z]{26}\b/g, (id) => names.get(id) ?? id);
}
