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

/**
 * The tests that rooms keep beside their source, once more, with their stores in PostgreSQL: an order, an integer or a
 * NULL that only one engine gives shows here.
 */
describe("on PostgreSQL", { shuffle: false }, async () => {
  beforeAll(async () => {
    if (postgresMissing() === undefined) engine.server = await startPostgres();
  });
  afterAll(async () => {
    await engine.server?.remove();
    engine.server = undefined;
  });
  beforeEach((context) => need(context, "postgres", postgresMissing()));

  tests("evidence/ledger", () => import("../../server/src/evidence/ledger.test.ts"));
  tests("evidence/bundle", () => import("../../server/src/evidence/account/bundle.test.ts"));
  tests("evidence/timeline", () => import("../../server/src/evidence/account/timeline.test.ts"));
  tests("evidence/statement", () => import("../../server/src/evidence/account/statement.test.ts"));
  tests("evidence/sealer", () => import("../../server/src/evidence/log/sealer.test.ts"));
  tests("evidence/log_guard", () => import("../../server/src/evidence/log/guard.test.ts"));
  tests("evidence/thinning", () => import("../../server/src/evidence/log/thinning.test.ts"));
  tests("evidence/audit", () => import("../../server/src/evidence/audit/audit.test.ts"));
  tests("evidence/audit_rows", () => import("../../server/src/evidence/audit/rows.test.ts"));
  tests("evidence/private_values", () => import("../../server/src/evidence/private/values.test.ts"));
  tests("evidence/witness_lag", () => import("../../server/src/evidence/witness/lag.test.ts"));
  tests("identity/bootstrap", () => import("../../server/src/identity/bootstrap.test.ts"));
  tests("identity/identity", () => import("../../server/src/identity/identity.test.ts"));
  tests("identity/actors", () => import("../../server/src/identity/actors.test.ts"));
  tests("identity/directory", () => import("../../server/src/identity/directory.test.ts"));
  tests("identity/settings", () => import("../../server/src/identity/settings.test.ts"));
  tests("identity/auth_rate", () => import("../../server/src/identity/auth_rate.test.ts"));
  tests("identity/delegation", () => import("../../server/src/identity/delegation.test.ts"));
  tests("identity/spawn", () => import("../../server/src/identity/spawn.test.ts"));
  tests("identity/links", () => import("../../server/src/identity/links.test.ts"));
  tests("identity/keys", () => import("../../server/src/identity/keys.test.ts"));
  tests("identity/tasks", () => import("../../server/src/identity/tasks.test.ts"));
  tests("gates/webhook_notices", () => import("../../server/src/gates/webhook_notices.test.ts"));
  tests("gates/webhook_list", () => import("../../server/src/gates/webhook_list.test.ts"));
  tests("policy/policy", () => import("../../server/src/policy/policy.test.ts"));
  tests("policy/proposals", () => import("../../server/src/policy/versions/proposals.test.ts"));
  tests("policy/phase", () => import("../../server/src/policy/versions/phase.test.ts"));
  tests("gates/request", () => import("../../server/src/gates/request.test.ts"));
  tests("gates/vote", () => import("../../server/src/gates/vote.test.ts"));
  tests("gates/execute", () => import("../../server/src/gates/execute.test.ts"));
  tests("gates/effect", () => import("../../server/src/gates/effect.test.ts"));
  tests("gates/break_glass", () => import("../../server/src/gates/break_glass.test.ts"));
  tests("intent/audited", () => import("../../server/src/intent/audited.test.ts"));
  tests("intent/runs", () => import("../../server/src/intent/runs.test.ts"));
  tests("intent/queue", () => import("../../server/src/intent/queue.test.ts"));
  tests("intent/charges", () => import("../../server/src/intent/charges.test.ts"));
  tests("intent/trees", () => import("../../server/src/intent/trees.test.ts"));
  tests("intent/recovery", () => import("../../server/src/intent/recovery.test.ts"));
  tests("intent/logs", () => import("../../server/src/intent/logs.test.ts"));
  tests("intent/typed", () => import("../../server/src/intent/typed.test.ts"));

  it("they were really there", async () => {
    const [row] = await engine.server!.sql("SELECT count(*)::int AS n FROM pg_database WHERE datname LIKE 'gantry%'");
    expect(row?.["n"]).toBe(1);
  });
});
