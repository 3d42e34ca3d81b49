import { expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { NODE_SILENT_MS, TENANT_CONCURRENCY_MAX } from "./contract.ts";

/** Nodes over one database, and what each of them gives a tenant. */
it("another node that serves halves what a tenant may have at once on this one", async () => {
  const shared = { silent_ms: NODE_SILENT_MS };
  const house = await openRunsGround({ capacity: { slots: 32, memory_mb: 16_384 }, shared });
  try {
    await house.storage.write((tx) =>
      tx.run("INSERT INTO nodes (id, boot, heartbeat_at, silent_ms) VALUES ('b', '1', 1, ?)", [NODE_SILENT_MS]),
    );
    await house.runs.recover();
    const held = heldScript();
    house.pool.script = held.script;
    for (let i = 0; i < TENANT_CONCURRENCY_MAX; i++) await house.runs.submit(house.owner, ask({ wait_ms: 0 }));
    await eventually(() => held.waiting.length === TENANT_CONCURRENCY_MAX / 2);
    const { items } = await house.runs.list(house.owner, { state: "queued" });
    expect(items).toHaveLength(TENANT_CONCURRENCY_MAX / 2);
  } finally {
    await house.remove();
  }
});
