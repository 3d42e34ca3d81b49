/** `policy-memory`: what twenty thousand contracts leave behind, and how long it takes to open one that is stored. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Principal } from "../../server/src/identity/contract.ts";
import { Decider } from "../../server/src/policy/decide.ts";
import { ContractPolicy } from "../../server/src/policy/policy.ts";
import { openGround } from "../../tests/fixtures/ground.ts";
import { summarise, table } from "./measure.ts";

const CONTRACTS = 200;
const MB = 1024 * 1024;

/** In a process of its own (`policy_many.ts`), which has nothing else to remember. */
export async function memory(): Promise<void> {
  const child = fork(fileURLToPath(new URL("policy_many.ts", import.meta.url)), {
    execArgv: ["--expose-gc", "--import", "tsx"],
  });
  process.on("exit", () => child.kill("SIGKILL")); // a bench that fails leaves nothing running
  const [{ before, first, second }] = (await once(child, "message")) as [Record<"before" | "first" | "second", number>];
  console.log("Memory of a process that decides under contracts of 50 rules, each of them another (MB)");
  table(
    ["", "resident", "more"],
    [
      ["after 300, so that every slot was used", before / MB, ""],
      ["after 10,000 more", first / MB, (first - before) / MB],
      ["after another 10,000", second / MB, (second - first) / MB],
    ],
  );
}

/** A contract that this process has not met: read, compiled, parsed, and asked once. */
export async function opening(): Promise<void> {
  const ground = await openGround();
  const { storage, ledger, clock } = ground;
  const decider = new Decider();
  const parts = { storage, ledger, clock, decider };
  const names = Array.from({ length: CONTRACTS }, (_, i) => `bench-${i}`);
  await applyAll(new ContractPolicy(parts), names, ground.owner);
  const fresh = new ContractPolicy(parts);
  const opens: number[] = [];
  const decides: number[] = [];
  for (const name of names) {
    const from = performance.now();
    const view = await fresh.open(ground.owner.tenant, name);
    opens.push(performance.now() - from);
    const asked = performance.now();
    if (view.decide({ action: "run.submit", resource: "code:1", context: {} }).verdict !== "allow")
      throw new Error("denied");
    decides.push(performance.now() - asked);
  }
  await ground.remove();
  console.log("A stored contract that the process has not met (ms)");
  const row = (name: string, times: number[]) => {
    const { p50, p95, p99 } = summarise(times);
    return [name, p50.toFixed(2), p95.toFixed(2), p99.toFixed(2)];
  };
  table(["", "p50", "p95", "p99"], [row("open", opens), row("its first decision", decides)]);
}

async function applyAll(policy: ContractPolicy, names: readonly string[], who: Principal): Promise<void> {
  for (const [i, name] of names.entries()) {
    const text = JSON.stringify({ kind: "Contract", name, extends: "scratch", limits: { cpu_ms: 100 + i } });
    await policy.apply({ name: `${name}.json`, text }, who);
  }
}
