import type { Storage } from "../../server/src/storage/contract.ts";
import { BODY, INSERT, type Raw } from "./floor_commit.ts";
import { table } from "./measure.ts";
import { atRate, saturated } from "./rounds.ts";
import { type Cpu, ownMs, type Way } from "./ways.ts";

/** A store of ours beside what it is built on. */
export interface Engine {
  name: string;
  storage: Storage;
  raw_commit: Raw;
  raw_sync: Raw;
  /** CPU that processes of the engine have used, milliseconds. */
  guests(): number;
}

const WRITERS = 64;
/** A moderate rate: below what a disk can sync one by one on most machines. */
const PER_SECOND = 500;

/** One row per unit: with callers that do not pause, and at a rate, against single commits in the same rounds. */
export async function commits({ name, storage, raw_commit, raw_sync, guests }: Engine): Promise<void> {
  const cpu = (): Cpu => ({ caller: ownMs(), control: 0, guests: guests() });
  const unit = (): Promise<void> => storage.write((tx) => tx.run(INSERT, [BODY], 1));
  const ours = (callers: number): Way => ({ name: `ours, ${count(callers)}, a unit each`, callers, call: unit, cpu });
  const raw: Way = { name: "raw single commits, one after the other", callers: 1, call: raw_commit.step, cpu };
  const sync: Way = { name: "raw fdatasync of 4 KiB appends", callers: 1, call: raw_sync.step, cpu };
  const full = await saturated([raw, sync, ours(1), ours(WRITERS)], { callers: 1, ms: 2_000 });
  console.log(`${name}: durable steps without pause (ms; CPU in µs per step)`);
  table(
    ["", "per second", "ratio", "p50", "p99", "CPU"],
    full.map((m) => [m.name, m.per_second.toFixed(0), m.ratio.toFixed(2), two(m.p50), two(m.p99), micros(m.cpu)]),
  );
  const paced = await atRate([ours(1)], { per_second: PER_SECOND, calls: 2 * PER_SECOND });
  console.log(`${name}: at ${PER_SECOND}/s, whether earlier ones have ended or not (ms)`);
  table(
    ["", "p50", "p95", "p99"],
    paced.map((m) => ["ours, a unit each", two(m.p50), two(m.p95), two(m.p99)]),
  );
}

function count(writers: number): string {
  return writers === 1 ? "1 writer" : `${writers} writers`;
}

function two(ms: number): string {
  return ms.toFixed(2);
}

function micros({ caller, guests }: Cpu): string {
  return ((caller + guests) * 1000).toFixed(0);
}
