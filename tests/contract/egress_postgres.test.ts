import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { engine } from "../fixtures/engine.ts";
import { need } from "../fixtures/need.ts";
import { postgresMissing, startPostgres } from "../fixtures/postgres.ts";

/** Each file under a name of its own, or what one does before and after each test it would do for those of all others. */
function tests(name: string, load: () => Promise<unknown>): void {
  describe(name, { shuffle: true }, async () => {
    await load();
  });
}

/** The tests that the alcoves with tables keep beside their source, once more, with their stores in PostgreSQL. */
describe("egress on PostgreSQL", { shuffle: false }, async () => {
  beforeAll(async () => {
    if (postgresMissing() === undefined) engine.server = await startPostgres();
  });
  afterAll(async () => {
    await engine.server?.remove();
    engine.server = undefined;
  });
  beforeEach((context) => need(context, "postgres", postgresMissing()));

  tests("secrets/secret_list", () => import("../../server/src/egress/secrets/secret_list.test.ts"));
  tests("secrets/leases", () => import("../../server/src/egress/secrets/leases.test.ts"));
  tests("secrets/rewrap", () => import("../../server/src/egress/secrets/rewrap.test.ts"));
  tests("effects/effects", () => import("../../server/src/egress/effects/effects.test.ts"));
  tests("effects/fences", () => import("../../server/src/egress/effects/fences.test.ts"));
  tests("effects/fence_sweep", () => import("../../server/src/egress/effects/fence_sweep.test.ts"));
  tests("effects/blocked", () => import("../../server/src/egress/effects/blocked.test.ts"));

  it("they were really there", async () => {
    const [row] = await engine.server!.sql("SELECT count(*)::int AS n FROM pg_database WHERE datname LIKE 'gantry%'");
    expect(row?.["n"]).toBe(1);
  });
});
