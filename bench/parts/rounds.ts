/** Interleaved rounds: each way is measured in turn, forwards and backwards, so that a drift of the machine meets all. */
import { closedLoop, median, openLoop, summarise } from "./measure.ts";
import { quiet } from "./processes.ts";
import type { Cpu, Way } from "./ways.ts";

/** Rounds of one bench; each number is the median of as many. */
export const ROUNDS = 5;

export interface Measured {
  /** With what failed, if anything did. */
  name: string;
  /** Medians over the rounds of each round's p50 and of its CPU per call. */
  p50: number;
  cpu: Cpu;
  /** Over all calls of all rounds: a tail needs many. */
  p95: number;
  p99: number;
  /** Calls per second that succeeded, medians. */
  per_second: number;
  /** Of this way's rounds to those of the first way, medians: p50 at a rate, calls per second without pause. */
  ratio: number;
  /** What came on top of the first way's p50, milliseconds, medians. */
  over: number;
}

interface Round {
  /** Of every call, failed ones too. */
  times: number[];
  failures: string[];
  per_second: number;
  cpu: Cpu;
}

type Turn = Omit<Round, "cpu">;
type Call = (caller: number) => Promise<void>;

/** Each way at a fixed rate, whether it keeps up or not. */
export function atRate(ways: readonly Way[], o: { per_second: number; calls: number }): Promise<Measured[]> {
  const turn = async (call: Call, failures: string[]): Promise<Turn> => {
    let caller = 0;
    const times = await openLoop(o.per_second, o.calls, () => call(caller++));
    return { times, failures, per_second: o.per_second };
  };
  return rounds(ways, 1, turn, ({ times }) => summarise(times).p50);
}

/** Each way with callers that do not pause. */
export function saturated(ways: readonly Way[], o: { callers: number; ms: number }): Promise<Measured[]> {
  const turn = async (call: Call, failures: string[], way: Way): Promise<Turn> => {
    const times: number[] = [];
    const per_second = await closedLoop(way.callers ?? o.callers, o.ms, async (caller) => {
      const from = performance.now();
      await call(caller);
      times.push(performance.now() - from);
    });
    return { times, failures, per_second: per_second * (1 - failures.length / times.length) };
  };
  return rounds(ways, o.callers, turn, ({ per_second }) => per_second);
}

async function rounds(
  ways: readonly Way[],
  callers: number,
  turn: (call: Call, failures: string[], way: Way) => Promise<Turn>,
  compared: (round: Round) => number,
): Promise<Measured[]> {
  const seen = ways.map((way) => ({ way, rounds: [] as Round[] }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { way, rounds } of round % 2 === 0 ? seen : seen.toReversed()) {
      const failures: string[] = [];
      // What a loaded machine does to a server is part of the answer: it must not end the bench.
      const call = (caller: number): Promise<void> =>
        way.call(caller).catch((error: Error) => void failures.push(error.message));
      // What was idle for a while may have been given up by its server.
      for (let i = 0; i < 2; i++)
        await Promise.all(Array.from({ length: way.callers ?? callers }, (_, caller) => call(caller)));
      if (way.rests !== undefined) await quiet(way.rests);
      failures.length = 0;
      const before = way.cpu();
      const measured = await turn(call, failures, way);
      if (way.rests !== undefined) await quiet(way.rests); // the process that replaces a used one is part of its price
      const after = way.cpu();
      rounds.push({ ...measured, cpu: perCall(before, after, measured.times.length) });
    }
  }
  const first = seen[0]?.rounds ?? [];
  return seen.map(({ way, rounds }) => summed(way.name, rounds, first, compared));
}

function perCall(before: Cpu, after: Cpu, calls: number): Cpu {
  return {
    caller: (after.caller - before.caller) / calls,
    control: (after.control - before.control) / calls,
    guests: (after.guests - before.guests) / calls,
  };
}

function summed(name: string, rounds: Round[], first: Round[], compared: (round: Round) => number): Measured {
  const middle = (of: (round: Round) => number): number => median(rounds.map(of));
  const p50 = ({ times }: Round): number => summarise(times).p50;
  const beside = (compare: (ours: Round, theirs: Round) => number): number =>
    median(rounds.map((round, i) => compare(round, first[i] ?? round)));
  const { n, p95, p99 } = summarise(rounds.flatMap(({ times }) => times));
  const failures = rounds.flatMap((round) => round.failures);
  const kinds = [...new Set(failures)].join(", ");
  return {
    name: failures.length === 0 ? name : `${name} (${failures.length} of ${n} failed: ${kinds})`,
    p50: middle(p50),
    p95,
    p99,
    per_second: middle(({ per_second }) => per_second),
    cpu: {
      caller: middle(({ cpu }) => cpu.caller),
      control: middle(({ cpu }) => cpu.control),
      guests: middle(({ cpu }) => cpu.guests),
    },
    ratio: beside((ours, theirs) => compared(ours) / compared(theirs)),
    over: beside((ours, theirs) => p50(ours) - p50(theirs)),
  };
}

/** Columns of CPU per call in milliseconds, and their sum. */
export const CPU_HEAD = ["CPU: caller", "control", "guests", "sum"];
export function cpuCells({ caller, control, guests }: Cpu): number[] {
  return [caller, control, guests, caller + control + guests];
}
