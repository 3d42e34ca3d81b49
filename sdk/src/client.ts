import { Approvals } from "./approvals.ts";
import { Egress, Leases, Secrets } from "./egress.ts";
import { GantryApiError, problemOfAnswer } from "./errors.ts";
import { Evidence } from "./evidence.ts";
import { ActorKeys, Actors, Session, Tenants, Tokens } from "./identity.ts";
import { Contracts, Policy } from "./policy.ts";
import { Proofs } from "./proofs.ts";
import { Runs } from "./runs.ts";
import { Stats } from "./stats.ts";
import { Timelines } from "./timelines.ts";
import { Transport } from "./transport.ts";
import { Webhooks } from "./webhooks.ts";

export type * from "./approval_types.ts";
export type { ApprovalQuery, Approvals } from "./approvals.ts";
export type { AuditFault, AuditLine, AuditOptions, AuditProgress, AuditReport } from "./audit.ts";
export type { BlockedCalls, Egress, EgressServices, Leases, Secrets } from "./egress.ts";
export type * from "./egress_types.ts";
export {
  ANSWER_UNREADABLE,
  GantryApiError,
  GantryConnectionError,
  isApiError,
  isConnectionError,
  isUntrusted,
} from "./errors.ts";
export type { EntryQuery, Evidence } from "./evidence.ts";
export type { ActorKeys, ActorQuery, Actors, ListQuery, OwnedQuery, Session, Tenants, Tokens } from "./identity.ts";
export type * from "./identity_types.ts";
export type { Contracts, Policy } from "./policy.ts";
export type * from "./policy_types.ts";
export type { ProofOptions, Proofs } from "./proofs.ts";
export type { GetOptions, LogOptions, RunQuery, Runs, SubmitOptions, WaitOptions } from "./runs.ts";
export type * from "./stats.ts";
export type { ActClaim, KeyPair, SigningKey } from "./tasks.ts";
export { actOf, audienceOf, codeHash, generateKey, inputHash, signCode, signTask } from "./tasks.ts";
export type { TimelineQuery, Timelines } from "./timelines.ts";
export type * from "./types.ts";
export type { Webhooks } from "./webhooks.ts";

/** Which server, and as whom. */
export interface GantryOptions {
  /** Where the server listens, as `http://127.0.0.1:4280`. */
  url: string;
  /** The bearer token, `gtr_…`; only `health` works without one. */
  token?: string | undefined;
  /** Instead of the global `fetch`: for tests, proxies, other runtimes. */
  fetch?: typeof globalThis.fetch;
}

/** Does the server take runs? */
export interface Health {
  ready: boolean;
  /** Why not, by the name of the check; empty when ready. */
  causes: { name: string; detail: string }[];
}

/**
 * The typed client of one Gantry server. It needs `fetch` and nothing else: Node 20, a browser, a Worker.
 *
 * @example
 * ```ts
 * import { Gantry, GantryApiError } from "@gantry/sdk";
 *
 * const gantry = new Gantry({ url: "http://127.0.0.1:4280", token: process.env.GANTRY_TOKEN });
 * const run = await gantry.runs.submit({
 *   code: { source: "export default async (input) => ({ sum: input.a + input.b })" },
 *   input: { a: 1, b: 2 },
 *   limits: { cpu_ms: 200 },
 * });
 * const ended = run.state === "ended" ? run : await gantry.runs.wait(run.id);
 * console.log(ended.termination, ended.result, ended.usage, ended.evidence.entries);
 * ```
 */
export class Gantry {
  readonly runs: Runs;
  readonly evidence: Evidence;
  readonly proofs: Proofs;
  readonly timelines: Timelines;
  readonly session: Session;
  readonly actors: Actors;
  readonly tokens: Tokens;
  readonly keys: ActorKeys;
  readonly tenants: Tenants;
  readonly contracts: Contracts;
  readonly policy: Policy;
  readonly approvals: Approvals;
  readonly webhooks: Webhooks;
  readonly secrets: Secrets;
  readonly leases: Leases;
  readonly egress: Egress;
  readonly stats: Stats;
  readonly #transport: Transport;

  /** @throws TypeError if the URL or the token cannot be used. */
  constructor(options: GantryOptions) {
    const transport = new Transport(options.url, options.token, options.fetch);
    this.#transport = transport;
    this.runs = new Runs(transport);
    this.evidence = new Evidence(transport);
    this.proofs = new Proofs(transport);
    this.timelines = new Timelines(transport);
    this.session = new Session(transport);
    this.actors = new Actors(transport);
    this.tokens = new Tokens(transport);
    this.keys = new ActorKeys(transport);
    this.tenants = new Tenants(transport);
    this.approvals = new Approvals(transport);
    this.webhooks = new Webhooks(transport);
    this.secrets = new Secrets(transport);
    this.leases = new Leases(transport);
    this.egress = new Egress(transport);
    this.contracts = new Contracts(transport);
    this.policy = new Policy(transport);
    this.stats = new Stats(transport);
  }

  /**
   * Whether the server takes runs. Needs no token.
   * @throws GantryConnectionError if nobody answers; GantryApiError if something else than Gantry does.
   */
  async health(): Promise<Health> {
    const { status, type, text } = await this.#transport.text({ method: "GET", path: "/readyz" });
    // Not being ready is an answer here, though its status is 503.
    const health = status === 200 || status === 503 ? parseHealth(text) : undefined;
    if (health === undefined) throw new GantryApiError(problemOfAnswer(status, type, text));
    return health;
  }
}

function parseHealth(text: string): Health | undefined {
  try {
    const body = JSON.parse(text) as Partial<Health> | null;
    return typeof body?.ready === "boolean" && Array.isArray(body.causes) ? (body as Health) : undefined;
  } catch {
    // Not JSON: the caller quotes the text.
    return undefined;
  }
}
