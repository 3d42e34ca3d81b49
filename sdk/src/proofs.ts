import type { Transport } from "./transport.ts";
import type { BundleRequest, Envelope, KeyRotation } from "./types.ts";

/** Ends a request early. */
export interface ProofOptions {
  signal?: AbortSignal;
}

/**
 * What proves the ledger to somebody who trusts neither server nor operator: files that `@gantry/sdk/verify` judges
 * without either. Every method throws `GantryApiError` or `GantryConnectionError`.
 */
export class Proofs {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Entries with their inclusion paths, as the bytes of a bundle. A bundle that was cut off lacks its trailer: whoever
   * keeps it should see that first.
   * @throws GantryApiError `EVIDENCE_UNKNOWN`, `EVIDENCE_NOT_SEALED`, `EVIDENCE_TOO_MANY`, `SCOPE_MISSING`.
   */
  bundle(request: BundleRequest, options: ProofOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#transport.bytes({ method: "POST", path: "/v1/evidence/bundles", body: request, ...options });
  }

  /** The newest checkpoint: a signed note (C2SP tlog-checkpoint). Needs no token. */
  checkpoint(options: ProofOptions = {}): Promise<string> {
    return this.#transport.body({ method: "GET", path: "/log/checkpoint", ...options });
  }

  /** Verifier keys that have signed the log, the newest last (C2SP signed-note). Needs no token. */
  async keys(options: ProofOptions = {}): Promise<string[]> {
    const text = await this.#transport.body({ method: "GET", path: "/log/keys", ...options });
    return text.split("\n").filter((line) => line !== "");
  }

  /** Gives the log another key. @throws GantryApiError `EVIDENCE_ROTATING`, `SCOPE_MISSING`. */
  rotate(options: ProofOptions = {}): Promise<KeyRotation> {
    return this.#transport.json({ method: "POST", path: "/v1/evidence/keys", ...options });
  }

  /** That one entry is in the log, as `c2sp.org/tlog-proof@v1`. @throws GantryApiError `EVIDENCE_NOT_SEALED`. */
  proof(entry: string, options: ProofOptions = {}): Promise<string> {
    const path = `/v1/evidence/entries/${encodeURIComponent(entry)}/proof`;
    return this.#transport.body({ method: "GET", path, ...options });
  }

  /** What the ledger says of an ended run, signed: DSSE over an in-toto Statement v1. */
  statement(run: string, options: ProofOptions = {}): Promise<Envelope> {
    const path = `/v1/evidence/runs/${encodeURIComponent(run)}/statement`;
    return this.#transport.json({ method: "GET", path, ...options });
  }

  /** The public key of statements, PEM; it is not the log's. */
  statementKey(options: ProofOptions = {}): Promise<{ keyid: string; public_key: string }> {
    return this.#transport.json({ method: "GET", path: "/v1/evidence/statement-key", ...options });
  }
}
