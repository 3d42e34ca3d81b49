import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import type { ActorId } from "../kernel/ids.ts";
import { CHAIN_LINKS_MAX, HUMAN_SCOPES, type Principal, SCOPES, TOKENS_PER_ACTOR_MAX } from "./contract.ts";

let ground: Ground;
let root: Principal;
let actors: ActorId[];

beforeAll(async () => {
  ground = await openGround({ clock: new VirtualClock() });
  root = (await ground.identity.login(ground.owned.link!.secret)).who;
  const make = async (kind: "human" | "agent" | "service", name: string, owner?: ActorId) =>
    (await ground.identity.createActor(root, owner === undefined ? { kind, name } : { kind, name, owner })).id;
  const ada = await make("human", "Ada");
  const service = await make("service", "builder");
  actors = [ground.owned.owner, ground.owned.agent, ada, service, await make("agent", "deep", service)];
});
afterAll(() => ground.remove());

/** One step: from one of the tokens so far, for one of the actors, with some scopes and a life. */
const step = fc.record({
  from: fc.nat(),
  actor: fc.nat(),
  scopes: fc.subarray([...SCOPES]),
  life_ms: fc.integer({ min: 1, max: 100_000 }),
});

describe("whatever is minted from whatever", () => {
  it("never has more scopes than its parent, never lives longer, never sheds who it acts for", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const held: { who: Principal; expires_at: number }[] = [{ who: root, expires_at: Number.MAX_SAFE_INTEGER }];
        const mine: string[] = [];
        for (const { from, actor, scopes, life_ms } of steps) {
          const parent = held[from % held.length]!;
          const asked = { actor: actors[actor % actors.length]!, scopes, life_ms };
          let minted: { id: string; secret: string; expires_at: number };
          try {
            minted = await ground.identity.mintToken(parent.who, asked);
          } catch (error) {
            // Refused: with a code, and not by accident.
            if (isGantryError(error) && error.kind.status !== 500) continue;
            throw error;
          }
          mine.push(minted.id);
          const who = await ground.identity.authenticate(minted.secret);
          for (const scope of who.scopes) {
            expect(parent.who.scopes.has(scope)).toBe(true);
            expect(scopes).toContain(scope);
          }
          expect(minted.expires_at).toBeLessThanOrEqual(parent.expires_at);
          const above = parent.who.chain.map((link) => link.actor);
          expect(who.chain.map((link) => link.actor).slice(0, above.length)).toEqual(above);
          expect(who.chain.length).toBeLessThanOrEqual(CHAIN_LINKS_MAX);
          expect(new Set(who.chain.map((link) => link.actor)).size).toBe(who.chain.length);
          const decides = HUMAN_SCOPES.some((scope) => who.scopes.has(scope));
          if (decides) expect(who.chain).toMatchObject([{ kind: "human", via: "token" }]);
          held.push({ who, expires_at: minted.expires_at });
        }
        // Room for the next case: an actor has so many live tokens.
        expect(mine.length).toBeLessThan(TOKENS_PER_ACTOR_MAX);
        for (const id of mine) await ground.identity.revokeToken(root, id as never);
      }),
      { numRuns: 25 },
    );
  });
});
