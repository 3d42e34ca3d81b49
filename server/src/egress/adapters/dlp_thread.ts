/** The thread that looks for secrets: matching takes milliseconds, which the calls of others must not wait for. */
import { parentPort } from "node:worker_threads";
import { DlpSearch } from "../guards/dlp_search.ts";
import type { DlpAnswer, DlpAsk } from "./dlp.ts";

const search = new DlpSearch();

parentPort?.on("message", ({ id, window, bytes }: DlpAsk) => {
  parentPort?.postMessage({ id, found: search.find(window), bytes } satisfies DlpAnswer);
});
