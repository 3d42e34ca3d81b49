/** `policy-gates`: from the deciding vote until the run has started, beside a run that waits for nobody; and a page of what waits. */
import { APPROVALS_PENDING_MAX } from "../../server/src/gates/contract.ts";
import { agentOf, applyApproved, loginOf, vote } from "../../tests/fixtures/people.ts";
import { ask, openRunsGround } from "../../tests/fixtures/runs_ground.ts";
import { summarise, table } from "./measure.ts";

const CALLS = 300;
const PAGE = 50;
const PAGES = 200;

/** Runs are real up to the runner, which answers at once. */
export async function gated(): Promise<void> {
  const house = await openRunsGround();
  await house.runs.recover();
  const [agent, human] = [await agentOf(house), await loginOf(house)];
  const gates = "gates: [{on: run.submit, name: release, quorum: 1}]";
  const text = `kind: Contract\nname: held\nextends: scratch\n${gates}\n`;
  await applyApproved(house, { name: "held.yaml", text });
  let started = (): void => {};
  house.pool.script = () => {
    started();
    return {};
  };
  const untilStarted = async (begin: () => Promise<unknown>): Promise<number> => {
    const start = new Promise<void>((resolve) => {
      started = resolve;
    });
    const from = performance.now();
    const begun = begin();
    await start;
    const took = performance.now() - from;
    await begun;
    return took;
  };
  const times = { free: [] as number[], held: [] as number[] };
  for (let n = 0; n < CALLS; n++) {
    const code = { source: `export default () => ${n}` };
    times.free.push(await untilStarted(() => house.runs.submit(agent.who, ask({ code }))));
    const { id, approval = "" } = await house.runs.submit(agent.who, ask({ code, contract: "held" }));
    times.held.push(await untilStarted(() => vote(house.gates, human, approval)));
    await house.runs.get(agent.who, id, 10_000);
  }
  const [free, held] = [summarise(times.free), summarise(times.held)];
  console.log("Until the run has started (ms)");
  table(
    ["", "p50", "p99", "over"],
    [
      ["from the request of one that waits for nobody", free.p50.toFixed(2), free.p99.toFixed(2), "0.00"],
      ["from the deciding vote", held.p50.toFixed(2), held.p99.toFixed(2), (held.p50 - free.p50).toFixed(2)],
    ],
  );

  for (let n = 0; n < APPROVALS_PENDING_MAX; n++) {
    await house.runs.submit(agent.who, ask({ code: { source: `export default () => "${n}"` }, contract: "held" }));
  }
  const pages: number[] = [];
  for (let n = 0; n < PAGES; n++) {
    const from = performance.now();
    await house.gates.list(human.who, { status: "pending", limit: PAGE });
    pages.push(performance.now() - from);
  }
  const page = summarise(pages);
  console.log(`A page of ${PAGE} of ${APPROVALS_PENDING_MAX.toLocaleString("en")} that wait (ms)`);
  table(["", "p50", "p99"], [["listed", page.p50.toFixed(2), page.p99.toFixed(2)]]);
  await house.remove();
}
