/**
 * `npm run bench -- control`: what a governed run costs in the control plane itself. The real HTTP surface, store, ledger
 * and admission in one process, with a pool whose guests answer at once; the callers are in another process.
 * `control-load` and `control-idle` are its parts.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import type { Spent } from "./parts/cpu.ts";
import { closedLoop, median, printMachine, sleep, summarise, table } from "./parts/measure.ts";

const ROUNDS = 5;
const ROUND_MS = 3_000;
/** Until the engine has compiled what it will: the first thousand runs cost twice as much as the later ones. */
const WARM_MS = 15_000;
/** As many as one tenant may have at once. */
const CALLERS = 8;
const body = JSON.stringify({
  code: { source: "export default (input) => ({ sum: input.a + input.b });" },
  input: { a: 1, b: 2 },
  on_busy: "delay",
});

interface Plane {
  run(): Promise<void>;
  spent(): Promise<Spent>;
  close(): Promise<void>;
}

const what = process.argv[2] ?? "";
const plane = await openPlane();
printMachine();
await closedLoop(CALLERS, WARM_MS, plane.run);
if (what === "" || what === "load") await load();
if (what === "" || what === "idle") await idle();
await plane.close();
process.exit();

async function load(): Promise<void> {
  const per_second: number[] = [];
  const spent: Spent[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = await plane.spent();
    const began = performance.now();
    const rate = await closedLoop(CALLERS, ROUND_MS, plane.run);
    const runs = (rate * (performance.now() - began)) / 1_000;
    const after = await plane.spent();
    per_second.push(rate);
    spent.push({
      process_us: (after.process_us - before.process_us) / runs,
      main_us: (after.main_us - before.main_us) / runs,
      writer_us: (after.writer_us - before.writer_us) / runs,
    });
  }
  console.log(`${CALLERS} callers without pause, guests that answer at once (medians of ${ROUNDS} rounds)`);
  table(
    ["", "value"],
    [
      ["governed runs/s, callers on the same cores", median(per_second)],
      ["CPU of one run, µs", median(spent.map((each) => each.process_us))],
      ["  main thread", median(spent.map((each) => each.main_us))],
      ["  writer thread", median(spent.map((each) => each.writer_us))],
    ],
  );
}

async function idle(): Promise<void> {
  const times: number[] = [];
  const before = await plane.spent();
  for (let i = 0; i < 200; i++) {
    await sleep(20);
    const from = performance.now();
    await plane.run();
    times.push(performance.now() - from);
  }
  const between = await plane.spent();
  await sleep(5_000);
  const after = await plane.spent();
  const { p50, p95, p99 } = summarise(times);
  console.log("One run at a time, 20 ms between them (ms, seen by the caller); then 5 s of nothing");
  table(
    ["", "p50", "p95", "p99"],
    [
      ["governed run, two synced commits in it", p50, p95, p99],
      ["CPU of one run, µs", (between.process_us - before.process_us) / times.length, "", ""],
      ["CPU of an idle second, µs", (after.process_us - between.process_us) / 5, "", ""],
    ],
  );
}

async function openPlane(): Promise<Plane> {
  const child = fork(fileURLToPath(new URL("parts/control_plane.ts", import.meta.url)));
  process.on("exit", () => child.kill("SIGKILL")); // a bench that fails leaves nothing running
  const { url, secret } = (await answer(child)) as { url: string; secret: string };
  const { hostname, port } = new URL(url);
  const agent = new Agent({ keepAlive: true });
  const headers = {
    authorization: `Bearer ${secret}`,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  };
  const run = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const o = { agent, host: hostname, port, method: "POST", path: "/v1/runs", headers };
      const call = request(o, (response) => {
        response.resume().on("end", () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`answered ${response.statusCode}`));
        });
      });
      call.on("error", reject).end(body);
    });
  return {
    run,
    async spent() {
      child.send("spent");
      return (await answer(child)) as Spent;
    },
    async close() {
      child.send("close");
      await once(child, "exit");
    },
  };
}

async function answer(child: ChildProcess): Promise<unknown> {
  const [message] = await once(child, "message");
  return message;
}
