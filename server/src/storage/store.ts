import type { Migration } from "./contract.ts";

/** The room's own tables. They come before those of all other rooms. */
export const migrations: Migration[] = [
  {
    id: "storage/0001",
    sql: `
CREATE TABLE timers (
  owner {text} NOT NULL,
  key {text} NOT NULL,
  due_at {int} NOT NULL,
  payload {text},
  epoch {int} NOT NULL,
  claimed_by {text},
  claimed_until {int} NOT NULL,
  attempts {int} NOT NULL,
  parked_at {int},
  PRIMARY KEY (owner, key)
);
CREATE INDEX timers_due ON timers (due_at) WHERE parked_at IS NULL;
CREATE TABLE locks (
  name {text} NOT NULL PRIMARY KEY,
  owner {text} NOT NULL,
  epoch {int} NOT NULL,
  until_at {int} NOT NULL
);
CREATE TABLE storage_probes (
  id {int} NOT NULL PRIMARY KEY,
  filler {blob} NOT NULL
);`,
    tables: { timers: "operational", locks: "operational", storage_probes: "operational" },
  },
  {
    id: "storage/0002",
    sql: "CREATE TABLE agreements (name {text} NOT NULL PRIMARY KEY, value {text} NOT NULL)",
    tables: { agreements: "operational" },
  },
];

/**
 * Timers. `epoch` of a new row is random and rises from there: after a `cancel` and a `set` a claim of the old row
 * must not fit the new one. `claimed_until` is also the earliest time of the next attempt; `due_at` never changes
 * under a handler, which may derive its idempotency from it.
 */
export const timer_sql = {
  set: `INSERT INTO timers (owner, key, due_at, payload, epoch, claimed_by, claimed_until, attempts, parked_at)
VALUES (?, ?, ?, ?, ?, NULL, 0, 0, NULL)
ON CONFLICT (owner, key) DO UPDATE SET due_at = excluded.due_at, payload = excluded.payload, epoch = timers.epoch + 1,
  claimed_by = NULL, claimed_until = 0, attempts = 0, parked_at = NULL`,
  cancel: "DELETE FROM timers WHERE owner = ? AND key = ?",
  done: "DELETE FROM timers WHERE owner = ? AND key = ? AND epoch = ?",
  /** Only while it is claimed: a renewal that overtakes the news of a retry must not move the next attempt. */
  renew: "UPDATE timers SET claimed_until = ? WHERE owner = ? AND key = ? AND epoch = ? AND claimed_by = ?",
  /** The next attempt is not before `claimed_until`. */
  retry: "UPDATE timers SET claimed_by = NULL, claimed_until = ? WHERE owner = ? AND key = ? AND epoch = ?",
  park: "UPDATE timers SET claimed_by = NULL, parked_at = ? WHERE owner = ? AND key = ? AND epoch = ? AND parked_at IS NULL",
  /** Is anything due? Parameters: now, now, owners. */
  due: (owners: number) =>
    `SELECT 1 AS due FROM timers WHERE parked_at IS NULL AND due_at <= ? AND claimed_until <= ? AND owner IN (${marks(owners)}) LIMIT 1`,
  /** Parameters: claimer, until, now, now, owners, how many. */
  claim: (owners: number) => `UPDATE timers
SET epoch = epoch + 1, attempts = attempts + 1, claimed_by = ?, claimed_until = ?
WHERE (owner, key) IN (
  SELECT owner, key FROM timers
  WHERE parked_at IS NULL AND due_at <= ? AND claimed_until <= ? AND owner IN (${marks(owners)})
  ORDER BY due_at LIMIT ? {skip_locked})
RETURNING owner, key, due_at, payload, epoch, attempts`,
} as const;

/** Locks. A row is never deleted, so that its epoch only rises. */
export const lock_sql = {
  /** Parameters: name, owner, until, now. No row comes back while another owner holds it. */
  take: `INSERT INTO locks (name, owner, epoch, until_at) VALUES (?, ?, 1, ?)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, epoch = locks.epoch + 1, until_at = excluded.until_at
WHERE locks.owner = excluded.owner OR locks.until_at <= ?
RETURNING epoch`,
  renew: "UPDATE locks SET until_at = ? WHERE name = ? AND owner = ? AND epoch = ?",
  /** Raises the epoch: what was taken no longer fits. */
  release: "UPDATE locks SET until_at = 0, epoch = epoch + 1 WHERE name = ? AND owner = ? AND epoch = ?",
  fence: "UPDATE locks SET epoch = epoch WHERE name = ? AND owner = ? AND epoch = ?",
} as const;

/** What all processes over the database have in common. Never changed, never deleted. */
export const agreement_sql = {
  read: "SELECT value FROM agreements WHERE name = ?",
  say: "INSERT INTO agreements (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
} as const;

/** What a process has committed last, on PostgreSQL: see `adapters/postgres_turn.ts`. */
export const mark_sql = {
  /** Parameters: process, number, now. */
  write: `INSERT INTO commit_marks (id, n, at) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET n = excluded.n, at = excluded.at`,
  read: "SELECT n FROM commit_marks WHERE id = ?",
  remove: "DELETE FROM commit_marks WHERE id = ?",
  /** Those of processes that have written nothing since. */
  sweep: "DELETE FROM commit_marks WHERE at < ?",
} as const;

/** What shows that a full disk takes writes again: it needs as much room as a small group. */
export const probe_sql =
  "INSERT INTO storage_probes (id, filler) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET filler = excluded.filler";

function marks(count: number): string {
  return Array.from({ length: count }, () => "?").join(", ");
}
