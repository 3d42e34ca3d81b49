import { GantryApiError, problemOfAnswer } from "./errors.ts";
import type { Transport } from "./transport.ts";

/** What an audit of the whole store found. Scripts tell faults apart by `check`; docs/evidence.md lists them. */
export interface AuditReport {
  ok: boolean;
  /** Entries of the log, up to the first that is wrong. */
  size: number;
  /** Base64, as in a checkpoint. */
  root: string;
  /** Sizes of the checkpoints that the log was compared with; null: there was none. */
  compared: { saved: number | null; latest: number | null };
  counts: { sealed: number; pending: number; tiles: number; checkpoints: number; rows: number; values: number };
  first_bad: AuditFault | null;
}

/** The first thing that is wrong, in the order of the log. */
export interface AuditFault {
  /** Of the entry in the log; null when it is not sealed, or when there is none. */
  index: number | null;
  /** Its id; null when it is gone, or when no entry is meant. */
  entry: string | null;
  check: string;
  /** A sentence. */
  detail: string;
  table?: string;
  row?: string;
}

export interface AuditProgress {
  part: "entries" | "rows" | "values";
  done: number;
  total: number;
}

export interface AuditOptions {
  /** A checkpoint that was kept elsewhere, as text: the log must agree with it. */
  checkpoint?: string;
  progress?: (progress: AuditProgress) => void;
  signal?: AbortSignal;
}

/** One line of an audit's output, of the server and of its command alike. */
export interface AuditLine {
  progress?: AuditProgress;
  result?: AuditReport;
  error?: object;
}

/** Asks for an audit and reads it to its end. */
export async function audit(
  transport: Transport,
  { checkpoint, progress, signal }: AuditOptions,
): Promise<AuditReport> {
  const body = checkpoint === undefined ? {} : { checkpoint };
  const path = "/v1/evidence/audits";
  for await (const line of transport.lines<AuditLine>({ method: "POST", path, body, signal })) {
    if (line.progress !== undefined) progress?.(line.progress);
    if (line.result !== undefined) return line.result;
    if (line.error !== undefined) throw failed(JSON.stringify(line.error));
  }
  throw failed("");
}

function failed(text: string): GantryApiError {
  return new GantryApiError(problemOfAnswer(500, "application/problem+json", text));
}
