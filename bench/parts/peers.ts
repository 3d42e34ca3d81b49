/** Other ways to run a program for one answer, as their manuals show them. None of them is governed or recorded. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { cpuMsWaitedFor } from "./processes.ts";
import { demandSum, INPUT, ownMs, PROGRAM, type Way } from "./ways.ts";

/** The one that is called must be the one that is documented: newer majors need a newer Node. */
const ISOLATED_VM = "isolated-vm@5.0.4";

/** The parts of its interface that are used here. */
interface IsolatedVm {
  Isolate: new (o: {
    memoryLimit: number;
  }) => {
    createContext(): Promise<{ eval(code: string, o: { copy: true; timeout: number }): Promise<unknown> }>;
    dispose(): void;
  };
}

/** Those that this machine has, and a sentence for each that it has not. */
export function peers(): (Way | string)[] {
  return [forked(), thread(), context(), isolatedVm()];
}

const cpu: Way["cpu"] = () => ({ caller: ownMs(), control: 0, guests: 0 });

function forked(): Way {
  const directory = mkdtempSync(join(tmpdir(), "gantry-peer-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "child.cjs");
  writeFileSync(file, `process.once("message", (input) => process.send((${PROGRAM})(input), () => process.exit()));`);
  return {
    name: "child_process.fork",
    async call() {
      const child = fork(file, { execArgv: [] });
      child.send(INPUT);
      const exit = once(child, "exit");
      const [result] = await once(child, "message");
      demandSum(result);
      await exit;
    },
    // The bench's other children live on, so that all that it has waited for are these.
    cpu: () => ({ caller: ownMs(), control: 0, guests: cpuMsWaitedFor(process.pid) }),
  };
}

function thread(): Way {
  const code = `const { parentPort, workerData } = require("node:worker_threads");
    parentPort.postMessage((${PROGRAM})(workerData));`;
  return {
    name: "worker_threads, a thread per run",
    async call() {
      const worker = new Worker(code, { eval: true, execArgv: [], workerData: INPUT });
      const exit = once(worker, "exit");
      const [result] = await once(worker, "message");
      demandSum(result);
      await exit;
    },
    cpu,
  };
}

function context(): Way {
  return {
    name: "node:vm, a context per run (no boundary)",
    async call() {
      demandSum(
        JSON.parse(runInNewContext(`JSON.stringify((${PROGRAM})(${JSON.stringify(INPUT)}))`, {}, { timeout: 1_000 })),
      );
    },
    cpu,
  };
}

function isolatedVm(): Way | string {
  const path = process.env["GANTRY_BENCH_ISOLATED_VM"];
  if (path === undefined) {
    const directory = join(tmpdir(), "isolated-vm");
    const install = `npm install --prefix ${directory} ${ISOLATED_VM}`;
    return `isolated-vm: skipped: not installed (${install}, then GANTRY_BENCH_ISOLATED_VM=${directory}/node_modules/isolated-vm)`;
  }
  const ivm = createRequire(import.meta.url)(path) as IsolatedVm;
  return {
    name: "isolated-vm, an isolate per run",
    async call() {
      const isolate = new ivm.Isolate({ memoryLimit: 128 });
      const context = await isolate.createContext();
      const code = `JSON.stringify((${PROGRAM})(${JSON.stringify(INPUT)}))`;
      const json = await context.eval(code, { copy: true, timeout: 1_000 });
      isolate.dispose();
      demandSum(JSON.parse(String(json)));
    },
    cpu,
  };
}
