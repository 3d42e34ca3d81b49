import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Jail } from "../../server/src/execution/adapters/jails.ts";
import { type Canary, hitFromOutside, openCanary } from "../fixtures/canary.ts";
import { type HostileGuest, hostile_guests } from "../fixtures/guests/catalogue.ts";
import { type JailedPool, openJailedPool } from "../fixtures/jailed_pool.ts";
import { need } from "../fixtures/need.ts";

const NEIGHBOUR = "export default ({ n }) => n + 1;";

/** Every hostile guest in one kind of jail: its own ending, nothing reached, and a neighbour that goes on answering. */
export function hostileGuests(jail: Jail): void {
  describe(`hostile guests in ${jail.name}`, () => {
    let jailed: JailedPool;
    let canary: Canary;
    const host_file = `/tmp/gantry-canary-${process.pid}`;

    beforeAll(async () => {
      jailed = await openJailedPool(jail);
      canary = await openCanary();
      await hitFromOutside(canary);
      canary.reset();
      writeFileSync(host_file, "host secret");
      process.env["GANTRY_CANARY"] = "host secret";
    });
    afterAll(async () => {
      rmSync(host_file, { force: true });
      delete process.env["GANTRY_CANARY"];
      await canary.close();
      await jailed.close();
    });

    for (const guest of hostile_guests) {
      it(`${titleOf(guest)} ends ${guest.ending}`, async (context) => {
        need(context, jail.name, missing(jailed));
        const input = guest.canary ? { ...canary, host_file } : (guest.input ?? null);
        const neighbour = jailed.run({ "main.js": NEIGHBOUR }, { input: { n: 1 } });
        const { outcome, log } = await jailed.run(
          { "main.js": source(guest.file), ...guest.modules },
          { input, limits: guest.limits ?? {} },
        );
        const told = `${JSON.stringify({ ...outcome, result: outcome.result?.slice(0, 300) })} ${JSON.stringify(log.slice(0, 5))}`;
        expect(outcome.ending, told).toBe(guest.ending);
        if (guest.error_code !== undefined) expect(outcome.error?.code, told).toBe(guest.error_code);
        if (guest.error_name !== undefined) expect(outcome.error?.name, told).toBe(guest.error_name);
        if (guest.result !== undefined) expect(JSON.parse(outcome.result ?? "")).toEqual(guest.result);
        if (guest.canary) expectNothingReached(outcome.result, canary);
        expect(log.every((line) => Buffer.byteLength(line.text) <= 64 * 1024)).toBe(true);
        expect((await neighbour).outcome.result).toBe("2");
      });
    }
  });
}

function titleOf(guest: HostileGuest): string {
  return guest.input === undefined ? guest.file : `${guest.file} (${JSON.stringify(guest.input)})`;
}

function source(file: string): string {
  return readFileSync(new URL(`../fixtures/guests/${file}`, import.meta.url), "utf8");
}

function missing(jailed: JailedPool): string | undefined {
  return jailed.report.ok ? undefined : (jailed.report.problems[0]?.fix ?? "the jail does not hold");
}

function expectNothingReached(result: string | undefined, canary: Canary): void {
  const told = JSON.parse(result ?? "null") as { escaped?: unknown[] } | number | null;
  if (typeof told === "object") expect(told?.escaped).toEqual([]);
  expect(canary.hits()).toBe(0);
}
