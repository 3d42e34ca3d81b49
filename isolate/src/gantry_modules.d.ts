/** Modules that the host generates for each run (`workerCode` in host.ts). */
declare module "gantry:config" {
  /** Stands before each of the guest's log lines. */
  export const log_nonce: string;
  export const run: string;
  export const session: string | undefined;
  /** Milliseconds UTC. */
  export const deadline: number;
  /** Longest result, in UTF-16 units; the exact limit is kept in Node. */
  export const output_bytes_max: number;
}

/** The guest's entry module. */
declare module "gantry:guest" {
  const guest: unknown;
  export default guest;
}

declare module "gantry:prelude" {
  export const natives: typeof import("./prelude.ts").natives;
}

declare module "*.txt" {
  const text: string;
  export default text;
}
