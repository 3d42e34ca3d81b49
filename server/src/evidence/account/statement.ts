import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Random } from "../../kernel/random.ts";
import type { Agreements, PrivateFiles } from "../../storage/contract.ts";
import {
  ENTRIES_PAGE_MAX,
  type EntryView,
  errors,
  type LedgerReader,
  type LogReader,
  SEAL_EVERY_MS,
  STATEMENT_ENTRIES_MAX,
} from "../contract.ts";
import { coveringCheckpoint } from "../log/seal_wait.ts";
import { openStatementKey, type StatementKey } from "./statement_key.ts";

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE = "urn:gantry:run:v1";
/** In the order in which a run comes to them. */
const RUN_KINDS = ["run.queued", "run.admitted", "run.ended"] as const;

/** A DSSE envelope (secure-systems-lab/dsse 1.0), as JSON. */
export interface Envelope {
  payloadType: string;
  /** Base64. */
  payload: string;
  signatures: { keyid: string; sig: string }[];
}

export interface StatementParts {
  ledger: LedgerReader;
  log: LogReader;
  clock: Clock;
  agreements: Agreements;
  files: PrivateFiles;
  random: Random;
}

/** What a statement takes of the entries' data; what it does not know, it does not say. */
const admitted = z.object({
  input_hash: z.string(),
  limits: z.record(z.string(), z.int()),
  lane: z.string(),
  isolation: z.string(),
  deadline_at: z.int(),
});
const ended = z.object({
  attempt: z.int(),
  termination: z.string(),
  code: z.string().optional(),
  code_hash: z.string(),
  result_hash: z.string().optional(),
  log_hash: z.string().optional(),
  isolation: z.string().optional(),
  jail: z.string().optional(),
});
const usage = z.object({
  startup_ms: z.int().optional(),
  completion_ms: z.int().optional(),
  cpu_ms: z.int().optional(),
  rss_peak_mb: z.int().optional(),
  output_bytes: z.int().optional(),
  log_bytes: z.int().optional(),
  log_dropped: z.int().optional(),
});

/**
 * Signs what the ledger says of one run, for tools that speak DSSE and in-toto. The signature is the server's word; that
 * the entries are in the log, their proofs show. The same ledger gives the same bytes: Ed25519 has no chance in it.
 */
export class RunStatements {
  readonly #parts: StatementParts;
  #key: Promise<StatementKey> | undefined;

  constructor(parts: StatementParts) {
    this.#parts = parts;
  }

  /** The public half of the key that signs statements. @throws EVIDENCE_KEY */
  async key(): Promise<{ keyid: string; public_key: string }> {
    const { keyid, public_key } = await this.#open();
    return { keyid, public_key };
  }

  /**
   * A DSSE envelope over an in-toto Statement v1 of what the ledger says of an ended run.
   * @throws EVIDENCE_UNKNOWN EVIDENCE_NOT_SEALED EVIDENCE_TOO_MANY EVIDENCE_KEY
   */
  async statement(run: string, tenant: TenantId): Promise<Envelope> {
    const { origin, entries } = await this.#sealedEntries(run, tenant);
    const key = await this.#open();
    const payload = Buffer.from(JSON.stringify(statementOf(run, tenant, origin, entries)), "utf8");
    return {
      payloadType: PAYLOAD_TYPE,
      payload: payload.toString("base64"),
      signatures: [{ keyid: key.keyid, sig: base64(key.sign(preAuthenticated(PAYLOAD_TYPE, payload))) }],
    };
  }

  /** A file that could not be used may be put right: nothing is remembered then. */
  #open(): Promise<StatementKey> {
    const { agreements, files, random } = this.#parts;
    this.#key ??= openStatementKey(agreements, files, random).catch((error: unknown) => {
      this.#key = undefined;
      throw error;
    });
    return this.#key;
  }

  async #sealedEntries(run: string, tenant: TenantId): Promise<{ origin: string; entries: EntryView[] }> {
    const [end] = await this.#entriesOf(run, tenant, "run.ended");
    if (end === undefined) throw await this.#notEnded(run, tenant);
    const indexOf = async () => (await this.#parts.ledger.get(end.id, tenant)).index;
    const { origin } = await coveringCheckpoint(this.#parts, indexOf);
    const entries: EntryView[] = [];
    // All of them arrived before the end, so that they are sealed too.
    for (const kind of RUN_KINDS) entries.push(...(await this.#entriesOf(run, tenant, kind)));
    return { origin, entries: entries.sort((a, b) => (a.index ?? 0) - (b.index ?? 0)) };
  }

  async #entriesOf(run: string, tenant: TenantId, kind: string): Promise<EntryView[]> {
    const entries: EntryView[] = [];
    for (let cursor: string | undefined; ; ) {
      const query = { tenant, ref: run, kind, limit: ENTRIES_PAGE_MAX };
      const page = await this.#parts.ledger.list(cursor === undefined ? query : { ...query, cursor });
      entries.push(...page.items);
      if (entries.length > STATEMENT_ENTRIES_MAX) {
        throw new GantryError(errors.TOO_MANY, {
          detail: `The run has more than ${STATEMENT_ENTRIES_MAX} entries of the kind ${kind}. Export them as a bundle.`,
        });
      }
      if (page.next === undefined) return entries;
      cursor = page.next;
    }
  }

  async #notEnded(run: string, tenant: TenantId): Promise<GantryError> {
    const { items } = await this.#parts.ledger.list({ tenant, ref: run, limit: 1 });
    if (items.length === 0) return new GantryError(errors.UNKNOWN, { detail: "The ledger knows no run of this id." });
    return new GantryError(errors.NOT_SEALED, {
      detail: "The run has not ended, or what is named is no run. A statement is made of a run's end.",
      retry_after_ms: SEAL_EVERY_MS,
    });
  }
}

/** @param entries  by index; the last `run.ended` is the end. */
function statementOf(run: string, tenant: TenantId, origin: string, entries: readonly EntryView[]): object {
  const last = (kind: string) => entries.findLast((entry) => entry.kind === kind);
  const [begun, end] = [last("run.admitted"), last("run.ended")];
  const start = begun === undefined ? undefined : admitted.parse(begun.data);
  const outcome = ended.parse(end?.data);
  const subjects = [
    { name: "code", sha256: outcome.code_hash },
    { name: "input", sha256: start?.input_hash },
    { name: "result", sha256: outcome.result_hash },
    { name: "log", sha256: outcome.log_hash },
  ];
  return {
    _type: STATEMENT_TYPE,
    subject: subjects.flatMap(({ name, sha256 }) => (sha256 === undefined ? [] : [{ name, digest: { sha256 } }])),
    predicateType: PREDICATE_TYPE,
    // Members without a value are left out by JSON.
    predicate: {
      run,
      tenant,
      chain: end?.actor,
      contract: end?.contract,
      snapshot: end?.snapshot,
      decision: end?.decision ?? begun?.decision,
      lane: start?.lane,
      limits: start?.limits,
      deadline_at: start?.deadline_at,
      isolation: outcome.isolation ?? start?.isolation,
      jail: outcome.jail,
      attempt: outcome.attempt,
      admitted_at: begun?.at,
      ended_at: end?.at,
      termination: outcome.termination,
      code: outcome.code,
      usage: usage.parse(end?.data),
      log: origin,
      entries: entries.map(({ id, kind, at, index, leaf }) => ({ id, kind, at, index, leaf })),
    },
  };
}

/** What is signed: `DSSEv1 SP LEN(type) SP type SP LEN(body) SP body`, lengths in bytes (DSSE protocol 1.0). */
function preAuthenticated(type: string, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.byteLength} `), body]);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
