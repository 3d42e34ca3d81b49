import type { ExitInfo } from "./adapters/jailed_process.ts";
import type { Ending } from "./contract.ts";

/** SIGXCPU is 24; a jail that waits for its child reports it as 128 + 24. V8 says why it gave up before it does. */
export function classifyExit(exit: ExitInfo): Extract<Ending, "cpu_exceeded" | "memory_exceeded" | "runner_lost"> {
  if (exit.signal === "SIGXCPU" || exit.code === 152) return "cpu_exceeded";
  return /heap out of memory|Fatal process out of memory|std::bad_alloc/.test(exit.stderr)
    ? "memory_exceeded"
    : "runner_lost";
}
