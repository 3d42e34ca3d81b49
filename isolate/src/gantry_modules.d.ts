/** What the host writes before and behind the texts of the modules that it loads for each run (`workerCode` in host.ts). */

/** Before the prelude, and exported by it. */
declare const config: {
  /** Stands before each of the guest's log lines. */
  log_nonce: string;
  run: string;
  session?: string;
  /** Milliseconds UTC. */
  deadline: number;
  /** Longest result, in UTF-16 units; the exact limit is kept in Node. */
  output_bytes_max: number;
};

/** Behind the wrapper: the default export of the guest's entry module. */
declare const guest: unknown;

declare module "gantry:prelude" {
  export const natives: typeof import("./prelude.ts").natives;
  export const printed: boolean;
  export { config };
}

declare module "*.txt" {
  const text: string;
  export default text;
}
