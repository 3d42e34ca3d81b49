/** The wire types of what leaves a run, held against the server's schemas by a contract test. Points in time are milliseconds UTC. */
import type { NextStep } from "./types.ts";

export type EgressProtocol = "http" | "https" | "ws" | "wss" | "tcp" | "tls";

/** A secret without its value, which nothing gives back. */
export interface Secret {
  name: string;
  /** Rises by one each time that it is set. */
  version: number;
  created_at: number;
  /** The actor who set it. */
  actor: string;
}

/** The right of one run to use one secret in one place of a call. */
export interface Lease {
  id: string;
  /** The run that holds it. */
  subject: string;
  secret: string;
  hosts: string[];
  methods: string[];
  /** `bearer`, `basic-password` or `header:<name>`. */
  slot: string;
  not_after_at: number;
  revoked_at: number | null;
}

/** What to ask of a contract. */
export interface EgressQuestion {
  contract: string;
  /** For `tcp` and `tls` it is `host:port`. */
  url: string;
  /** Default `GET`. */
  method?: string;
  /** Default: the URL's scheme. */
  protocol?: EgressProtocol;
}

/** What a call would be told. Names are not looked up for it: an address may still be refused. */
export interface EgressVerdict {
  verdict: "allow" | "deny" | "needs_human";
  /** The rule that decides. */
  rule?: string;
  code?: string;
  detail?: string;
  /** For a denial: the narrowest rule that would allow the call. */
  next_steps?: NextStep[];
  service?: string;
  environment?: string;
}

/** A mutating call that was stopped, and kept because its rule says so. */
export interface BlockedEgressCall {
  id: string;
  /** The run that made it. */
  subject: string;
  contract: { name: string; version: number };
  code: string;
  method: string;
  url: string;
  body_bytes: number;
  state: "waiting" | "sent" | "failed" | "dropped" | "expired";
  /** Of a retry that was answered. */
  status: number | null;
  created_at: number;
  expires_at: number;
}

/** One entry of the tenant's catalogue: what a rule may name instead of hosts. */
export interface EgressService {
  name: string;
  class: string;
  environment: string;
  hosts: string[];
  protocol: EgressProtocol;
  ports?: number[];
  methods?: string[];
  data_class?: "public" | "internal" | "confidential" | "restricted";
}

/** What hostile programs came to, by the rows of their runs. */
export interface RedteamRecord {
  /** The ledger entry that says all this. */
  entry: string;
  runs: number;
  /** Calls that reached the door, those of them that were denied, and those that were let out. */
  attempts: number;
  blocked: number;
  completed: number;
  hits: number;
  verdict: "held" | "breached" | "inconclusive";
  classes: { run: string; attempts: number; blocked: number; completed: number; termination: string }[];
}
