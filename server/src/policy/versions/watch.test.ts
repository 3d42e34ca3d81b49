import { afterAll, beforeAll, expect, it } from "vitest";
import { ScriptedApprovals } from "../../../../tests/fixtures/approvals.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { type ContractDocument, HEADS_POLL_MS } from "../contract.ts";
import { Decider } from "../decide.ts";
import { ContractPolicy } from "../policy.ts";

let ground: Ground;
let clock: VirtualClock;
const decider = new Decider();

beforeAll(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock });
});
afterAll(() => ground.remove());

const by = () => [{ actor: ground.owned.owner, kind: "human" as const }];
const document = (cpu_ms: number): ContractDocument => ({
  name: "acme.yaml",
  text: `kind: Contract\nname: acme\nextends: scratch\nlimits: {cpu_ms: ${cpu_ms}}\n`,
});

/** A process of its own over the same store, and what it was told. */
function process() {
  const policy = new ContractPolicy({ ...ground, decider });
  const approvals = new ScriptedApprovals(ground.storage, policy);
  const told: string[] = [];
  const end = policy.watch(({ tenant, contract }) => told.push(`${tenant}/${contract}`));
  return { policy, approvals, told, end };
}

it("a change by this process is told at once, whether or not somebody has a view of it", async () => {
  const tenant: TenantId = ground.ids("ten");
  const { policy, told, end } = process();
  await policy.applyAll(tenant, [document(500)], by());
  expect(told).toEqual([`${tenant}/acme`]);
  const view = await policy.open(tenant, "acme");
  await policy.applyAll(tenant, [document(500)], by()); // Says the same.
  expect(told).toHaveLength(1);
  await policy.applyAll(tenant, [document(400)], by());
  expect(told).toHaveLength(2);
  expect(view.ref.version).toBe(1);
  end();
  await policy.applyAll(tenant, [document(300)], by());
  expect(told).toHaveLength(2);
});

it("a version that people decided is told when it holds, and not when it is proposed", async () => {
  const tenant: TenantId = ground.ids("ten");
  const { policy, approvals, told } = process();
  await policy.applyAll(tenant, [document(500)], by());
  await policy.applyAll(tenant, [document(900)], by());
  expect(told).toHaveLength(1);
  await approvals.decide("approved");
  expect(told).toHaveLength(2);
});

it("a change by another process is told once, within HEADS_POLL_MS, where somebody has a view", async () => {
  const tenant: TenantId = ground.ids("ten");
  const [mine, other] = [process(), process()];
  await other.policy.applyAll(tenant, [document(500)], by());
  const view = await mine.policy.open(tenant, "acme");
  mine.policy.heads.start();
  await mine.policy.heads.poll();
  expect(mine.told).toEqual([]);
  await other.policy.applyAll(tenant, [document(400)], by());
  clock.advance(HEADS_POLL_MS - 1);
  expect(mine.told).toEqual([]);
  clock.advance(1);
  await mine.policy.heads.poll();
  expect(mine.told).toEqual([`${tenant}/acme`]);
  clock.advance(HEADS_POLL_MS);
  await mine.policy.heads.poll();
  expect(mine.told).toHaveLength(1);
  expect(view.contract.limits.cpu_ms).toBe(500);
  await mine.policy.heads.close();
});

it("a change by another process that a new view finds first is told then", async () => {
  const tenant: TenantId = ground.ids("ten");
  const [mine, other] = [process(), process()];
  await other.policy.applyAll(tenant, [document(500)], by());
  const view = await mine.policy.open(tenant, "acme");
  await other.policy.applyAll(tenant, [document(400)], by());
  const next = await mine.policy.open(tenant, "acme");
  expect([view.ref.version, next.ref.version]).toEqual([1, 2]);
  expect(mine.told).toEqual([`${tenant}/acme`]);
  await mine.policy.heads.poll();
  expect(mine.told).toHaveLength(1);
});
