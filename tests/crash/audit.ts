import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";
import { readLog, type StoredLog } from "./log_audit.ts";

/**
 * What a stopped server's data directory says, read from its files alone. Nothing of the server's code takes part, so
 * that a mistake there cannot excuse itself here.
 */

type Value = string | number | null;

/** A row of `runs`, by column. */
export interface StoredRun {
  id: string;
  state: string;
  termination: string | null;
  attempt: number;
  key_hash: string | null;
  code_hash: string;
  input: string | null;
  input_hash: string;
  result: string | null;
  result_hash: string | null;
  /** JSON list. */
  entries: string;
  columns: Record<string, Value>;
}

export interface StoredEntry {
  arrival: number;
  id: string;
  kind: string;
  body: {
    refs: string[];
    data: { run?: string; attempt?: number; termination?: string };
    state: Record<string, string | null>;
  };
}

export interface StoredData {
  runs: Map<string, StoredRun>;
  /** By arrival. */
  entries: StoredEntry[];
  entries_of(run: string): StoredEntry[];
  /** The ledger as its sealed log has it. */
  log: StoredLog;
  /** `key run` of live idempotency keys. */
  keys: { key: string; run: string }[];
  codes: Set<string>;
  /** Timers that end runs which wait too long. */
  queue_timers: string[];
  integrity: string;
  state_key: Uint8Array;
}

export function readData(data: string): StoredData {
  const db = new DatabaseSync(join(data, "gantry.db"), { readOnly: true });
  const all = <T>(sql: string): T[] => db.prepare(sql).all() as T[];
  try {
    const runs = all<Record<string, Value>>("SELECT * FROM runs").map(
      (columns) => ({ ...columns, columns }) as unknown as StoredRun,
    );
    const entries = all<{ arrival: number; id: string; kind: string; body: Uint8Array }>(
      "SELECT arrival, id, kind, body FROM evidence_entries ORDER BY arrival",
    ).map(({ body, ...row }) => ({
      ...row,
      body: JSON.parse(Buffer.from(body).toString("utf8")) as StoredEntry["body"],
    }));
    const by_run = new Map<string, StoredEntry[]>();
    for (const entry of entries) {
      if (!entry.kind.startsWith("run.")) continue;
      const run = entry.body.data.run ?? "none";
      by_run.set(run, [...(by_run.get(run) ?? []), entry]);
    }
    return {
      runs: new Map(runs.map((run) => [run.id, run])),
      entries,
      entries_of: (run) => by_run.get(run) ?? [],
      log: readLog(join(data, "gantry.db")),
      keys: all("SELECT key, run FROM run_keys"),
      codes: new Set(all<{ hash: string }>("SELECT hash FROM code").map(({ hash }) => hash)),
      queue_timers: all<{ key: string }>("SELECT key FROM timers WHERE owner = 'intent.queue'").map(({ key }) => key),
      integrity: String(Object.values(all<Record<string, string>>("PRAGMA integrity_check")[0] ?? {})[0]),
      state_key: readFileSync(join(data, "keys", "state.key")),
    };
  } finally {
    db.close();
  }
}

/** Ends that only a run with a slot can come to. */
const AFTER_ADMISSION = ["completed", "threw", "cpu_exceeded", "node_lost"];

/** What is wrong with a run's story in the ledger; empty when it is whole and in order. */
export function storyFaults(run: StoredRun, entries: StoredEntry[]): string[] {
  const faults: string[] = [];
  let at = { kind: "none", attempt: 1 };
  for (const { kind, body } of entries) {
    const attempt = body.data.attempt ?? 0;
    if (!follows(at, kind, attempt)) faults.push(`${kind} of attempt ${attempt} after ${at.kind} of ${at.attempt}`);
    if (kind === "run.ended") {
      if (body.data.termination !== run.termination)
        faults.push(`ended ${body.data.termination}, row ${run.termination}`);
      const admitted = at.kind === "run.admitted";
      if (AFTER_ADMISSION.includes(run.termination ?? "") && !admitted)
        faults.push(`${run.termination} without a slot`);
    }
    at = { kind, attempt };
  }
  if ((at.kind === "run.ended") !== (run.state === "ended")) faults.push(`state ${run.state} after ${at.kind}`);
  if (at.attempt !== run.attempt) faults.push(`attempt ${run.attempt} in the row, ${at.attempt} in the ledger`);
  const ids = JSON.stringify(entries.map(({ id }) => id));
  if (ids !== run.entries) faults.push(`the row names ${run.entries}, the ledger has ${ids}`);
  return faults.map((fault) => `${run.id}: ${fault}`);
}

function follows(before: { kind: string; attempt: number }, kind: string, attempt: number): boolean {
  const is_same = attempt === before.attempt;
  switch (kind) {
    case "run.queued":
      return before.kind === "none" ? attempt === 1 : before.kind === "run.admitted" && attempt === before.attempt + 1;
    case "run.admitted":
      return is_same && (before.kind === "none" || before.kind === "run.queued");
    case "run.ended":
      return is_same && before.kind !== "run.ended";
    default:
      return false;
  }
}

/** Columns of `runs` that no entry's digest covers. */
const UNAUDITED = ["chain", "input", "input_blob", "result", "result_blob", "entries", "holder"];

/** Columns that came later, and that digests have only when there is something in them. */
const YOUNGER = ["session", "target", "approval", "facts", "authors", "parent", "root", "depth", "override", "egress"];

/** The digest that the newest entry of an unchanged row has: HMAC-SHA256 under `keys/state.key` (evidence, 3.3). */
export function digestOf(run: StoredRun, key: Uint8Array): string {
  // What a run does not have is told as runs were before there was such a column.
  const is_told = (name: string): boolean => !YOUNGER.includes(name) || run.columns[name] !== null;
  const names = Object.keys(run.columns).filter((name) => !UNAUDITED.includes(name) && is_told(name));
  // RFC 8785 of a flat object of strings, integers and nulls: members by UTF-16 code units, which is how sort() sorts.
  const members = names.sort().map((name) => `${JSON.stringify(name)}:${JSON.stringify(run.columns[name])}`);
  const text = `gantry.state.v1\0runs\0${run.id}\0{${members.join(",")}}`;
  return createHmac("sha256", key).update(text).digest("hex");
}

export function sha256(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
