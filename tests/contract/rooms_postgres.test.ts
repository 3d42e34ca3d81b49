import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { engine } from "../fixtures/engine.ts";
import { need } from "../fixtures/need.ts";
import { postgresMissing, startPostgres } from "../fixtures/postgres.ts";

/**
 * The tests that rooms keep beside their source, once more, with their stores in PostgreSQL: an order, an integer or a
 * NULL that only one engine gives shows here.
 */
describe("on PostgreSQL", async () => {
  beforeAll(async () => {
    if (postgresMissing() === undefined) engine.server = await startPostgres();
  });
  afterAll(async () => {
    await engine.server?.remove();
    engine.server = undefined;
  });
  beforeEach((context) => need(context, "postgres", postgresMissing()));

  await import("../../server/src/evidence/ledger.test.ts");
  await import("../../server/src/identity/bootstrap.test.ts");
  await import("../../server/src/identity/identity.test.ts");
  await import("../../server/src/identity/actors.test.ts");
  await import("../../server/src/policy/policy.test.ts");
  await import("../../server/src/intent/runs.test.ts");
  await import("../../server/src/intent/queue.test.ts");
  await import("../../server/src/intent/recovery.test.ts");
  await import("../../server/src/intent/logs.test.ts");

  it("they were really there", async () => {
    const [row] = await engine.server!.sql("SELECT count(*)::int AS n FROM pg_database WHERE datname LIKE 'gantry%'");
    expect(row?.["n"]).toBe(1);
  });
});
