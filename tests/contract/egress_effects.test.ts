import { cp, rm } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FENCE_KEPT_MS } from "../../server/src/egress/contract.ts";
import { intentOf, openEffects, sending, sweepAhead } from "../fixtures/effects_ground.ts";
import { startEffects } from "../fixtures/effects_process.ts";
import { engine } from "../fixtures/engine.ts";
import { need } from "../fixtures/need.ts";
import { postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { approvedEffects, effectHistories, sweptFences } from "./egress_effects_suite.ts";

describe("effects on SQLite", () => {
  effectHistories();
  approvedEffects();
  sweptFences();
});

describe("effects on PostgreSQL", () => {
  beforeAll(async () => {
    if (postgresMissing() === undefined) engine.server = await startPostgres();
  });
  afterAll(async () => {
    await engine.server?.remove();
    engine.server = undefined;
  });
  beforeEach((context) => need(context, "postgres", postgresMissing()));

  effectHistories();
  approvedEffects();
  sweptFences();

  it("a process that slept while another took its run over sends nothing more", async () => {
    const ground = await openEffects({ node: { id: "node_b", boot: "boot_1" } });
    const who = ground.who();
    const { tenant, root, subject } = who;
    // Another machine's directory: the same keys, the same database, another lock.
    const elsewhere = `${ground.directory}-other`;
    await cp(ground.directory, elsewhere, { recursive: true, filter: (path) => !path.includes("lock.db") });
    const zombie = await startEffects(elsewhere, "node_a");
    try {
      await zombie.do({ do: "attempt", subject, epoch: 1 });
      expect((await zombie.do({ do: "intend", honoured: false, body: "a" })).kind).toBe("send");
      zombie.process.kill("SIGSTOP");
      // It was about to make the next call when it fell asleep.
      zombie.tell({ do: "intend", honoured: false, body: "b" });
      const lost = await ground.storage.write((tx) => ground.book.abandon(tx, { tenant, root, epoch: 2 }));
      expect(lost).toBe(1);
      const next = ground.book.open({ ...who, epoch: 2 });
      sending(await next.intend(intentOf(who, { body: "b" })));
      zombie.process.kill("SIGCONT");
      expect(await zombie.heard()).toMatchObject({ did: "intend", code: "EGRESS_FENCED" });
      expect(await zombie.do({ do: "intend", honoured: true, body: "c" })).toMatchObject({ code: "EGRESS_FENCED" });
      zombie.process.kill("SIGSTOP");
      zombie.tell({ do: "intend", honoured: true, body: "d" });
      // The zombie sleeps for as long as fences are kept, and its own clock says nothing of that.
      expect(await sweepAhead(ground, FENCE_KEPT_MS + 1)).toBe(1);
      zombie.process.kill("SIGCONT");
      expect(await zombie.heard()).toMatchObject({ did: "intend", code: "EGRESS_FENCED" });
      const kinds = (await ground.told(subject)).map(({ kind, data }) => [kind, data["epoch"] ?? data["state"]]);
      expect(kinds).toEqual([
        ["effect.intended", 1],
        ["effect.ended", "unknown"],
        ["effect.intended", 2],
      ]);
    } finally {
      await zombie.kill();
      await ground.remove();
      await rm(elsewhere, { recursive: true, force: true });
    }
  });
});
