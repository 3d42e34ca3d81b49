import { describe, expect, it } from "vitest";
import type { ExitInfo } from "./adapters/jailed_process.ts";
import { classifyExit } from "./exit.ts";

const exit = (parts: Partial<ExitInfo>): ExitInfo => ({ code: null, signal: null, stderr: "", ...parts });

describe("why a process ended by itself", () => {
  it.each<[string, Partial<ExitInfo>, string]>([
    ["the kernel's own CPU limit", { signal: "SIGXCPU" }, "cpu_exceeded"],
    ["the same, told by the jail that waited for it", { code: 152 }, "cpu_exceeded"],
    ["V8's heap limit", { code: 133, stderr: "…\nFATAL ERROR: JavaScript heap out of memory\n" }, "memory_exceeded"],
    ["V8 without a zone", { signal: "SIGTRAP", stderr: "# Fatal process out of memory: Zone" }, "memory_exceeded"],
    ["C++ without memory", { signal: "SIGABRT", stderr: "std::bad_alloc" }, "memory_exceeded"],
    [
      "the CPU limit, though the heap was full too",
      { signal: "SIGXCPU", stderr: "heap out of memory" },
      "cpu_exceeded",
    ],
    ["a kill from outside", { signal: "SIGKILL" }, "runner_lost"],
    ["a kill that the jail tells of", { code: 137 }, "runner_lost"],
    ["a crash", { signal: "SIGSEGV", stderr: "*** Received signal #11" }, "runner_lost"],
    ["a clean end", { code: 0 }, "runner_lost"],
    ["nothing known", {}, "runner_lost"],
  ])("%s", (_, parts, ending) => expect(classifyExit(exit(parts))).toBe(ending));
});
