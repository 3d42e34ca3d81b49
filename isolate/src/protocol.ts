/** What Node and the host worker say to each other over the runner's in-socket; both sides import it. */

/**
 * Header of `POST /run`: stands before the host's own lines; the guest's isolate never sees it. It is no member of the
 * body, so that the host can say that it has begun before it has read anything that belongs to a guest.
 */
export const NONCE_HEADER = "gantry-nonce";
/** Header that the host sets on each call of a guest, whatever the guest sent: says which run it is. */
export const STAMP_HEADER = "gantry-stamp";
/** Which of a run's doors a call is for. The runner's configuration sets it, over whatever the guest sent. */
export const DOOR_HEADER = "gantry-door";
/** The only door there is; a call that names none is for it. */
export const EGRESS_DOOR = "egress";

/**
 * The engine sends no header with a CONNECT, not even an injected one (measured on workerd 1.20261023.1): the stamp stands
 * in the authority, `<stamp>.<host in hexadecimal>:<port>`. Hexadecimal, because the host is whatever the guest wrote, and
 * the engine takes an address in brackets for one only where nothing stands before it.
 */
export function tunnelAuthority(stamp: string, target: string): string {
  const colon = target.lastIndexOf(":");
  const host = new TextEncoder().encode(target.slice(0, Math.max(0, colon)));
  const hex = Array.from(host, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${stamp}.${hex}:${target.slice(colon + 1)}`;
}

const STAMPED = /^([0-9a-f]{32})\.((?:[0-9a-f]{2})*):([0-9]+)$/;

/** What `tunnelAuthority` was made of; undefined of any other authority. */
export function stampedTunnel(authority: string): { stamp: string; target: string } | undefined {
  const [, stamp = "", hex = "", port] = STAMPED.exec(authority) ?? [];
  if (port === undefined) return undefined;
  const host = Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  return { stamp, target: `${new TextDecoder().decode(host)}:${port}` };
}

/** Body of `POST /run`, JSON. */
export interface RunCall {
  run: string;
  session?: string;
  /** Milliseconds UTC. */
  deadline: number;
  entry: string;
  modules: Record<string, HostModule>;
  /** Adds the `nodejs_compat` flag: only when the graph imports `node:`, because it makes each load dearer. */
  node_compat: boolean;
  vars: Record<string, string>;
  /** JSON text. */
  input: string;
  output_bytes_max: number;
  log_nonce: string;
  /** Present when the run may call out. Its calls are stamped where others use the process before or after it. */
  door?: { stamp?: string };
}

/** `data` and `wasm` are base64. */
export type HostModule = { js: string } | { json: string } | { text: string } | { data: string } | { wasm: string };

/** Characters of a `Response`'s status and headers as JSON. */
export const HTTP_HEAD_MAX = 32 * 1024;

/**
 * Header of the answer, set by the host, never by a text of the guest: `<HostOutcome> <begun> <started>[ silent]`. `begun`
 * is what the line of that name says. `started` is when the guest's modules had been evaluated, milliseconds UTC, as the
 * guest's isolate says; `-` where its call did not come to its own end. `silent`: no line was printed since `begun`, and no
 * `ended` follows.
 */
export const OUTCOME_HEADER = "gantry-outcome";
/** Header of an answer `http`: the response's status and headers, JSON. */
export const HTTP_HEADER = "gantry-http";

/**
 * - `value`: body is the result's JSON text
 * - `http`: body is the response's body
 * - `threw`, `not_json`, `load_failed`, `no_entry`: body is a `GuestFault`
 * - `never_settles`, `stopped`: the engine ended the guest's call (nothing can settle it; `process.exit()`, an aborted
 *   isolate); body is a `GuestFault`
 * - `output_exceeded`: no body
 */
export type HostOutcome =
  | "value"
  | "http"
  | "threw"
  | "not_json"
  | "load_failed"
  | "no_entry"
  | "never_settles"
  | "stopped"
  | "output_exceeded";

export interface GuestFault {
  name: string;
  message: string;
  stack?: string;
}

/**
 * What follows the host nonce on a line of stdout. `begun` is the first line of a run: what came before it is not the
 * run's. `ended` is the last line of a run that answers, unless its answer is `silent`: when Node has read it, it has read
 * every line of the guest's, and need not wait for the process to be gone.
 */
export type HostLine =
  /** `at` is the host's clock, milliseconds UTC: Node may read the line much later. */
  { event: "begun"; at: number } | { event: "blocked"; host: string; method: string } | { event: "ended" };
