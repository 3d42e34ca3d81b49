/** What an audit looked at; what it did not reach, because something before it was wrong, is not counted. */
export interface AuditCounts {
  /** Entries of the sealed log, and those that wait for it. */
  sealed: number;
  pending: number;
  tiles: number;
  checkpoints: number;
  /** Rows of audited tables. */
  rows: number;
  /** Private values that are there to be compared. */
  values: number;
}

/** The names are stable: scripts may tell them apart. What each means is in docs/evidence.md. */
export type AuditCheck =
  | "index"
  | "entry"
  | "place"
  | "order"
  | "leaf"
  | "body"
  | "columns"
  | "refs"
  | "subject"
  | "private"
  | "tile"
  | "root"
  | "checkpoint"
  | "signature"
  | "head"
  | "latest"
  | "saved"
  | "row"
  | "unreadable";

/** The first thing that is wrong, in the order of the log: sealed entries, pending ones, then what names no entry. */
export interface AuditFault {
  /** Of the entry in the log; null when it is not sealed, or when there is none. */
  index: number | null;
  /** Its id; null when it is gone, or when no entry is meant. */
  entry: string | null;
  check: AuditCheck;
  /** A sentence for people. */
  detail: string;
  /** The audited row that is meant. */
  table?: string;
  row?: string;
}

export interface AuditReport {
  ok: boolean;
  /** Of the log as its entries make it, up to the first that is wrong. */
  size: number;
  /** Base64, as it stands in a checkpoint. */
  root: string;
  /** Sizes of the copies that the log was compared with. Without one, a log made anew with the same key passes. */
  compared: { saved: number | null; latest: number | null };
  counts: AuditCounts;
  first_bad: AuditFault | null;
}

/** Told when an audit begins, and then from time to time. */
export interface AuditProgress {
  part: "entries" | "rows" | "values";
  done: number;
  total: number;
}

export interface AuditQuery {
  /** A checkpoint that was kept elsewhere: the log must agree with it. */
  saved?: string;
  progress?: (progress: AuditProgress) => void;
  signal?: AbortSignal;
}

/** Looks whether the whole store is what its ledger says. */
export interface Audits {
  /**
   * Reads one state of the store, by page. Ends with the signal's reason when that aborts.
   * @throws EVIDENCE_AUDITS  as many go on as may. EVIDENCE_BAD_NOTE  `saved` is no checkpoint.
   */
  audit(query: AuditQuery): Promise<AuditReport>;
}
