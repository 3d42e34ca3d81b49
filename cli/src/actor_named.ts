import type { Actor, Gantry } from "@gantry/sdk";
import { usage } from "./failure.ts";
import { oneLine } from "./text.ts";

/** Actors that are looked through for a name. */
const LOOKED_MAX = 10_000;

/**
 * The actor that a person means: an id, or the name or subject of exactly one.
 * @throws Failure exit 2; `ACTOR_UNKNOWN` of the server.
 */
export async function actorNamed(gantry: Gantry, text: string): Promise<Actor> {
  if (/^act_[0-9a-z]{26}$/.test(text)) return gantry.actors.get(text);
  const found: Actor[] = [];
  let looked = 0;
  for await (const page of gantry.actors.pages({ limit: 200 })) {
    found.push(...page.items.filter(({ name, subject }) => name === text || subject === text));
    looked += page.items.length;
    if (looked >= LOOKED_MAX) break;
  }
  const [actor, ...others] = found;
  if (actor === undefined) throw usage(`There is no actor "${oneLine(text)}": gantry actors list shows who there is.`);
  if (others.length === 0) return actor;
  const ids = found.map(({ id, kind }) => `${id} (${kind})`).join(", ");
  throw usage(`"${oneLine(text)}" is the name of several: say which by its id, ${ids}.`);
}
