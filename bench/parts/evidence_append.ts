/** `evidence-append`: recorded and sealed entries against raw synced commits of the same bytes. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { canonicalJson } from "../../server/src/kernel/canonical.ts";
import { openDriver } from "../../server/src/storage/adapters/driver.ts";
import { draft, openLedger, type SealedLedger } from "./evidence_ground.ts";
import { closedLoop, median, openLoop, summarise, table } from "./measure.ts";

const ROUNDS = 3;
const WRITERS = [1, 16, 64];
const PER_SECOND = 1_000;
const GROUP = 64;
/** An entry's canonical JSON with its id, salt and digest. */
const BODY_BYTES = Buffer.byteLength(canonicalJson(draft(1).data)) + 512;

interface Row {
  name: string;
  per_second: number[];
  p50: number[];
  p99: number[];
  lag_p99: number[];
}

export async function append(directory: string, round_ms: number): Promise<void> {
  const ours = await openLedger(join(directory, "ledger"));
  const raw = await rawCommits(directory);
  const singles = row("raw: a synced commit for each (A)");
  const groups = row(`raw: a synced commit for ${GROUP} (B)`);
  const writers = WRITERS.map((n) => ({
    n,
    row: row(`ours, recorded and sealed, ${n} ${n === 1 ? "writer" : "writers"}`),
  }));
  for (let round = 0; round < ROUNDS; round++) {
    await closed(singles, 1, round_ms, async () => raw.commit(1));
    groups.per_second.push(GROUP * (await closedLoop(1, round_ms, async () => raw.commit(GROUP))));
    for (const each of writers) await sealed(ours, each.row, each.n, round_ms);
  }
  const floor = median(singles.per_second);
  console.log(`Entries without pause (ms; lag: from an append to the checkpoint that covers it, p99)`);
  table(
    ["", "per second", "ratio to A", "p50", "p99", "lag"],
    [singles, groups, ...writers.map((each) => each.row)].map((each) => cells(each, floor)),
  );
  await paced(ours);
  raw.close();
  await ours.close();
}

async function paced(ours: SealedLedger): Promise<void> {
  ours.lags();
  const { p50, p95, p99 } = summarise(await openLoop(PER_SECOND, 5 * PER_SECOND, ours.append));
  await ours.sealer.seal();
  console.log(`At ${PER_SECOND}/s, whether earlier ones have ended or not (ms)`);
  table(
    ["", "p50", "p95", "p99", "lag"],
    [["ours, a unit each", two(p50), two(p95), two(p99), two(summarise(ours.lags()).p99)]],
  );
}

/** Counts what a checkpoint covers: the time to seal what was left is part of it. */
async function sealed(ours: SealedLedger, into: Row, writers: number, ms: number): Promise<void> {
  ours.lags();
  const before = await sizeOf(ours);
  const from = performance.now();
  await closed(into, writers, ms, ours.append);
  await ours.sealer.seal();
  into.per_second.pop();
  into.per_second.push((((await sizeOf(ours)) - before) * 1_000) / (performance.now() - from));
  into.lag_p99.push(summarise(ours.lags()).p99);
}

async function sizeOf({ log }: SealedLedger): Promise<number> {
  return log.checkpoint().then(
    ({ size }) => size,
    () => 0, // nothing is sealed yet
  );
}

async function closed(into: Row, callers: number, ms: number, call: () => Promise<void>): Promise<void> {
  const times: number[] = [];
  into.per_second.push(
    await closedLoop(callers, ms, async () => {
      const from = performance.now();
      await call();
      times.push(performance.now() - from);
    }),
  );
  const { p50, p99 } = summarise(times);
  into.p50.push(p50);
  into.p99.push(p99);
}

async function rawCommits(directory: string) {
  const db = await openDriver(join(directory, "raw.db"), { read_only: false, busy_ms: 0 });
  for (const setting of ["journal_mode = wal", "synchronous = full", "secure_delete = on"]) db.pragma(setting);
  db.exec("CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL)");
  const body = randomBytes(BODY_BYTES);
  return {
    commit(rows: number): void {
      db.exec("BEGIN IMMEDIATE");
      for (let i = 0; i < rows; i++) db.run("INSERT INTO bodies (body) VALUES (?)", [body]);
      db.exec("COMMIT");
    },
    close: () => db.close(),
  };
}

function row(name: string): Row {
  return { name, per_second: [], p50: [], p99: [], lag_p99: [] };
}

function cells({ name, per_second, p50, p99, lag_p99 }: Row, floor: number): string[] {
  const rate = median(per_second);
  const or = (values: number[]): string => (values.length === 0 ? "" : two(median(values)));
  return [name, rate.toFixed(0), two(rate / floor), or(p50), or(p99), or(lag_p99)];
}

function two(ms: number): string {
  return ms.toFixed(2);
}
