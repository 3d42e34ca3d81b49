import type { RequestOptions } from "../../fixtures/server.ts";

/** One request that is refused before anything happens. */
export interface Refusal {
  what: string;
  path?: string;
  send: RequestOptions | (() => RequestOptions);
  status: number;
  code: string;
  /** The place of the first problem: a JSON pointer or a file, with line and column where there are any. */
  at?: { at: string; line?: number; column?: number };
  says?: RegExp;
}

export const run = (members: object): RequestOptions => ({
  json: { code: { source: "export default () => 1" }, ...members },
});
export const modules = (entry: string, files: Record<string, unknown>): RequestOptions => ({
  json: { code: { entry, modules: files } },
});
export const source = (text: string): RequestOptions => ({ json: { code: { source: text } } });
export const raw = (body: string | Uint8Array<ArrayBuffer>, type = "application/json"): RequestOptions => ({
  body,
  headers: { "content-type": type },
});
export const withCpuMs = (limits: string): RequestOptions =>
  raw(`{"code":{"source":"export default () => 1"},"limits":{"cpu_ms":${limits}}}`);
export const MB = 1024 * 1024;
