import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  DRAIN_WINDOW_MS,
  QUEUE_BATCH_MAX,
  RETRY_AFTER_MS_MAX,
  RETRY_AFTER_MS_MIN,
  type RunView,
} from "../../server/src/intent/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { quantile } from "../fixtures/simulated_node.ts";

/** One tenant's burst on a real server with real guests, and what it costs another; the exact numbers, and ten thousand runs, are in intent/burst.test.ts. */

const SLOTS = 2;
const SENT = 1_500;
const SENDERS = 16;
/** After each refusal, while the queue is kept full. */
const REFUSED_PAUSE_MS = 100;
const LONG_MS = 600_000;

let server: TestServer;
let neighbour: string;

beforeAll(async () => {
  server = await startServer({ config: { slots: SLOTS, warm_runners: 2, log_level: "warn" } });
  const { token } = await server.json<{ token: { secret: string } }>("/v1/tenants", { json: { slug: "b" } }, 201);
  neighbour = token.secret;
}, LONG_MS);
afterAll(() => server.dispose());

const code = {
  source: "export default (ms) => { const until = performance.now() + ms; while (performance.now() < until); };",
};
const body = (more: object) => ({ code, contract: "scratch", isolation: "pooled", input: 5, wait_ms: 0, ...more });

const submit = (token: string | undefined, more: object) =>
  server.request("/v1/runs", { json: body(more), ...(token === undefined ? {} : { token }) });

/** Twenty interactive runs of B's at once, as they were when they had ended. */
async function twenty(): Promise<RunView[]> {
  const views = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const answer = await submit(neighbour, { wait_ms: 60_000, on_busy: "delay" });
      return (await answer.json()) as RunView;
    }),
  );
  expect(views.map(({ termination }) => termination)).toEqual(Array.from({ length: 20 }, () => "completed"));
  return views;
}

const startOf = ({ created_at, timing }: RunView) => created_at + (timing?.queued_ms ?? Number.POSITIVE_INFINITY);
const p99 = (values: number[]) => quantile(values, 0.99);

/** How many runs of the node started while each of these waited: a wait that others' load on the machine does not change. */
function startsBefore(runs: RunView[], all: RunView[]): number[] {
  const starts = all.map(startOf);
  return runs.map((run) => starts.filter((at) => at >= run.created_at && at < startOf(run)).length);
}

async function everyRun(token?: string): Promise<RunView[]> {
  const all: RunView[] = [];
  for (let cursor: string | undefined = ""; cursor !== undefined; ) {
    const path = `/v1/runs?limit=200${cursor === "" ? "" : `&cursor=${cursor}`}`;
    const page: { items: RunView[]; next?: string } = await server.json(path, token === undefined ? {} : { token });
    all.push(...page.items);
    cursor = page.next;
  }
  return all;
}

async function gauge(name: string): Promise<number> {
  const line = (await (await server.request("/metrics")).text())
    .split("\n")
    .find((each) => each.startsWith(`${name} `));
  return Number(line?.split(" ")[1] ?? 0);
}
const queued = () => gauge('gantry_runs_queued{lane="batch"}');

describe("more batch runs of one tenant than it may have waiting", () => {
  it("leave another's interactive runs their turn, and those that found no place know when to come back", {
    timeout: LONG_MS,
  }, async () => {
    await twenty(); // the guests' code is known, and processes are warm
    const alone = await twenty();

    let accepted = 0;
    const refused: { status: number; code: string; retry_ms: number; at: number }[] = [];
    let left = SENT;
    const sendOne = async (): Promise<boolean> => {
      const answer = await submit(undefined, { lane: "batch" });
      const { code } = (await answer.json()) as { code: string };
      if (answer.status === 202) accepted += 1;
      else {
        const retry_ms = Number(answer.headers.get("retry-after")) * 1_000;
        refused.push({ status: answer.status, code, retry_ms, at: performance.now() });
      }
      return answer.status === 202;
    };
    const send = async () => {
      while (left > 0) {
        left -= 1;
        await sendOne();
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, send));
    expect(accepted).toBeGreaterThanOrEqual(QUEUE_BATCH_MAX);
    expect(accepted + refused.length).toBe(SENT);
    expect(new Set(refused.map(({ status, code }) => `${status} ${code}`))).toEqual(new Set(["429 RUN_CONCURRENCY"]));
    expect(refused.every(({ retry_ms }) => retry_ms >= RETRY_AFTER_MS_MIN && retry_ms <= RETRY_AFTER_MS_MAX)).toBe(
      true,
    );

    const beside = await twenty();
    expect(await queued()).toBeGreaterThan(0);

    // The storm itself took half of the machine, and nobody can foretell its end. So the queue is kept full for as long
    // as the rate at which it drains is measured, and the last refusal of that time is the one that must prove right.
    for (const until = performance.now() + DRAIN_WINDOW_MS + 2_000; performance.now() < until; ) {
      if (!(await sendOne())) await setTimeout(REFUSED_PAUSE_MS);
    }

    // Nothing starves: all that was taken is done, and the last who was refused was told when, within a factor of two.
    await eventually(async () => (await queued()) === 0, "the queue to drain", LONG_MS);
    const last = refused.at(-1);
    const truth = performance.now() - (last?.at ?? 0);
    const bounded = Math.min(RETRY_AFTER_MS_MAX, Math.max(RETRY_AFTER_MS_MIN, truth));
    console.log(
      `told ${last?.retry_ms} ms, took ${Math.round(truth)} ms; ${accepted} accepted, ${refused.length} refused`,
    );
    expect(last?.retry_ms).toBeGreaterThanOrEqual(bounded / 2);
    expect(last?.retry_ms).toBeLessThanOrEqual(bounded * 2);
    await eventually(async () => (await gauge("gantry_runs_active")) === 0, "the last runs to end", LONG_MS);
    const [own, batch] = [await everyRun(neighbour), await everyRun()];
    expect(batch.filter(({ termination }) => termination !== "completed")).toEqual([]);
    expect(batch).toHaveLength(accepted);

    const waits = [alone, beside].map((runs) => p99(startsBefore(runs, [...own, ...batch])));
    const ms = [alone, beside].map((runs) => p99(runs.map(({ timing }) => timing?.queued_ms ?? 0)));
    console.log(`p99 wait alone ${waits[0]} starts (${ms[0]} ms), beside the burst ${waits[1]} (${ms[1]} ms)`);
    expect(waits[1]).toBeLessThanOrEqual(2 * (waits[0] ?? 0) + SLOTS);
  });
});
