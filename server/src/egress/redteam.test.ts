import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import type { TenantId } from "../kernel/ids.ts";
import { type EgressRow, REDTEAM_RUNS_MAX } from "./contract.ts";
import { kinds } from "./kinds.ts";
import { Redteam, type RedteamOutcome } from "./redteam.ts";

const row = (parts: Partial<EgressRow> = {}): EgressRow => ({
  host: "127.0.0.1",
  method: "GET",
  path: null,
  rule: null,
  verdict: "denied",
  code: "EGRESS_HOST",
  count: 1,
  request_bytes: 0,
  response_bytes: 0,
  ...parts,
});
const out = row({ verdict: "allowed", code: null, rule: "0", path: "*" });

describe("a red team's record", () => {
  let ground: Ground;
  let redteam: Redteam;
  /** By tenant. */
  let kept: Map<TenantId, RedteamOutcome[]>;

  beforeEach(async () => {
    ground = await openGround({ kinds });
    kept = new Map();
    redteam = new Redteam({
      storage: ground.storage,
      ledger: ground.ledger,
      runs: {
        outcomes: async (_reader, tenant, runs) => (kept.get(tenant) ?? []).filter(({ run }) => runs.includes(run)),
      },
    });
  });
  afterEach(() => ground.remove());

  const has = (...outcomes: RedteamOutcome[]) => void kept.set(ground.owner.tenant, outcomes);
  const entries = async () => {
    const { items } = await ground.ledger.list({ tenant: ground.owner.tenant, limit: 200 });
    return items.filter(({ kind }) => kind === "redteam.recorded");
  };

  it("adds up the rows of its runs, and is one entry by whoever reported", async () => {
    has(
      { run: "run_b", termination: "threw", rows: [row({ count: 2 })] },
      { run: "run_a", termination: "completed", rows: [row({ count: 3 }), row({ method: "POST" })] },
    );
    const record = await redteam.record(ground.owner, { runs: ["run_b", "run_a", "run_b"], hits: 0 });
    expect(record).toEqual({
      entry: expect.stringMatching(/^ent_/),
      runs: 2,
      attempts: 6,
      blocked: 6,
      completed: 0,
      hits: 0,
      verdict: "held",
      classes: [
        { run: "run_a", termination: "completed", attempts: 4, blocked: 4, completed: 0 },
        { run: "run_b", termination: "threw", attempts: 2, blocked: 2, completed: 0 },
      ],
    });
    const sums = { attempts: 6, blocked: 6, completed: 0, hits: 0, verdict: "held" };
    const data = { runs: ["run_a", "run_b"], runs_hash: expect.stringMatching(/^[0-9a-f]{64}$/), ...sums };
    const { chain } = ground.owner;
    const actor = chain.map(({ actor, kind }) => ({ actor, kind }));
    expect(await entries()).toMatchObject([{ id: record.entry, actor, data }]);
  });

  it("has another hash when a row was another", async () => {
    const hashOf = async (count: number) => {
      has({ run: "run_a", termination: "completed", rows: [row({ count })] });
      await redteam.record(ground.owner, { runs: ["run_a"], hits: 0 });
      return (await entries()).at(-1)?.data["runs_hash"];
    };
    const first = await hashOf(1);
    expect(await hashOf(1)).toBe(first);
    expect(await hashOf(2)).not.toBe(first);
  });

  it.each([
    ["a canary was hit", 1, [row()], "completed", "breached"],
    ["a call was let out", 0, [row(), out], "completed", "breached"],
    ["nothing was tried", 0, [], "completed", "inconclusive"],
    ["a program was stopped on its way", 0, [row()], "cpu_exceeded", "inconclusive"],
    ["a program was stopped after it had got out", 0, [out], "wall_exceeded", "breached"],
    ["all was tried, and denied", 0, [row()], "completed", "held"],
  ] as const)("when %s (hits %i) says so", async (_what, hits, rows, termination, verdict) => {
    has({ run: "run_a", termination, rows });
    expect(await redteam.record(ground.owner, { runs: ["run_a"], hits })).toMatchObject({ verdict, hits });
    expect(await entries()).toMatchObject([{ data: { verdict, hits } }]);
  });

  it("is not about runs of others, and not about runs that go on; then nothing is recorded", async () => {
    has({ run: "run_a", termination: null, rows: [] });
    kept.set(ground.ids("ten"), [{ run: "run_b", termination: "completed", rows: [row()] }]);
    for (const [run, says] of [
      ["run_a", "has not ended"],
      ["run_b", "is none of the tenant's"],
    ] as const) {
      await expect(redteam.record(ground.owner, { runs: [run], hits: 0 })).rejects.toMatchObject({
        code: "EGRESS_REDTEAM_RUN",
        parts: { detail: expect.stringContaining(says) },
      });
    }
    expect(await entries()).toEqual([]);
  });

  it("is about REDTEAM_RUNS_MAX runs at most, and about one at least", async () => {
    const runs = Array.from({ length: REDTEAM_RUNS_MAX + 1 }, (_, n) => `run_${String(n).padStart(26, "0")}`);
    has(...runs.map((run) => ({ run, termination: "completed", rows: [row()] })));
    expect(await redteam.record(ground.owner, { runs: runs.slice(1), hits: 0 })).toMatchObject({ verdict: "held" });
    for (const asked of [runs, []]) {
      const refused = redteam.record(ground.owner, { runs: asked, hits: 0 });
      await expect(refused).rejects.toMatchObject({ code: "EGRESS_REDTEAM_RUN" });
    }
  });
});
