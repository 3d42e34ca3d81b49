import * as fs from "node:fs";
import process from "node:process";
import type { Attempt } from "./report.ts";

/** Names that are put together only here, so that no reader of the imports sees them. */
const hidden = (name: string): Promise<Record<string, unknown>> => import(["node", name].join(":"));

/** Files, environment and processes of the host. */
export function viaHost(file: string): Attempt[] {
  return [
    [`read ${file}`, () => fs.readFileSync(file, "utf8")],
    ["list /home", () => fs.readdirSync("/home").join() || undefined],
    ["process.env", () => Object.keys(process.env).join() || undefined],
    ["node:child_process", async () => call((await hidden("child_process"))["execSync"], "id")],
    ["node:worker_threads", async () => make((await hidden("worker_threads"))["Worker"], "1", { eval: true })],
    ["node:inspector", async () => call((await hidden("inspector"))["url"])],
  ];
}

/** Code that was not there when the run was admitted. */
export function viaCode(): Attempt[] {
  return [
    // biome-ignore lint/security/noGlobalEval: that it is refused is the point.
    ["eval", () => globalThis.eval("1 + 1")],
    ["new Function", () => new Function("return 1 + 1")()],
    ["WebAssembly.Module from bytes", () => make(WebAssembly.Module, Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0))],
  ];
}

function call(value: unknown, ...given: unknown[]): unknown {
  if (typeof value !== "function") throw new TypeError("is not there");
  return value(...given);
}

function make(value: unknown, ...given: unknown[]): unknown {
  if (typeof value !== "function") throw new TypeError("is not there");
  return Reflect.construct(value, given);
}
