/** The ways to run one program that the benches compare: each is called alike, and says whose CPU it has used. */
import { type Floor, openFloor } from "./floor_load.ts";
import { type Ask, type GantryServer, Refused } from "./gantry.ts";
import { cpuMsBelow, cpuMsOf } from "./processes.ts";

/** A function's expression, for ways that know no modules. */
export const PROGRAM = "(input) => ({ sum: input.a + input.b })";
export const MODULE = `export default ${PROGRAM};`;
export const INPUT = { a: 1, b: 2 };

/** CPU time so far in milliseconds, by who used it. */
export interface Cpu {
  caller: number;
  control: number;
  guests: number;
}

export interface Way {
  name: string;
  /** Runs the program once. @throws Error when it did not complete with the sum. */
  call(caller: number): Promise<void>;
  cpu(): Cpu;
  /** How many call it at once where nobody pauses, if not as many as the bench says. */
  callers?: number;
  /** The process to wait for until it is at rest. */
  rests?: number;
}

/** `n` raw workerds; a call takes the one that has been free for the shortest time, as it is the warmest. */
export async function rawLoad(n: number): Promise<{ way: Way; floors: Floor[] }> {
  const floors = await Promise.all(Array.from({ length: n }, openFloor));
  const free = [...floors];
  const waiting: ((floor: Floor) => void)[] = [];
  const call = async (): Promise<void> => {
    const floor = free.pop() ?? (await new Promise<Floor>((resolve) => waiting.push(resolve)));
    try {
      demandSum(JSON.parse(await floor.call(MODULE, INPUT)));
    } finally {
      const next = waiting.shift();
      if (next === undefined) free.push(floor);
      else next(floor);
    }
  };
  const guests = (): number => floors.reduce((sum, { pid }) => sum + cpuMsOf(pid), 0);
  return {
    floors,
    way: {
      name: "raw load(), unjailed, ungoverned",
      call,
      cpu: () => ({ caller: ownMs(), control: 0, guests: guests() }),
    },
  };
}

/** What the server's answers say of themselves, since the last `take`. */
export interface Answers {
  startup: number[];
  completion: number[];
  cold: number;
}

export interface Lane extends Way {
  rests: number;
  take(): Answers;
}

export type Isolation = "process" | "pooled" | "session";

const LANE_NAMES = {
  process: "governed run, a fresh process",
  pooled: "governed run, pooled",
  session: "governed run, in a session",
};

/**
 * One isolation of the server, or the reason why it has none. In a session a caller keeps to its own.
 * @param sessions  over how many sessions the calls are spread.
 */
export async function lane(gantry: GantryServer, isolation: Isolation, sessions = 8): Promise<Lane | string> {
  let seen: Answers = { startup: [], completion: [], cold: 0 };
  const ask = (caller: number): Ask => ({
    code: { source: MODULE },
    input: INPUT,
    on_busy: "delay",
    isolation,
    ...(isolation === "session" ? { session: `s${caller % sessions}` } : {}),
  });
  const call = async (caller: number): Promise<void> => {
    const view = await gantry.run(ask(caller));
    if (view.termination !== "completed") throw new Error(view.error?.code ?? view.termination ?? view.state);
    demandSum(view.result);
    seen.startup.push(view.timing?.startup_ms ?? Number.NaN);
    seen.completion.push(view.timing?.completion_ms ?? Number.NaN);
    if (view.cold) seen.cold += 1;
  };
  try {
    await call(0);
  } catch (error) {
    if (error instanceof Refused && error.problem.status < 500) return notOffered(isolation, error);
    throw error;
  }
  return {
    name: LANE_NAMES[isolation],
    call,
    rests: gantry.pid,
    cpu: () => ({ caller: ownMs(), control: cpuMsOf(gantry.pid), guests: cpuMsBelow(gantry.pid) }),
    take() {
      const taken = seen;
      seen = { startup: [], completion: [], cold: 0 };
      return taken;
    },
  };
}

function notOffered(isolation: Isolation, { problem }: Refused): string {
  return `${LANE_NAMES[isolation]}: not offered by this server (${problem.code})`;
}

/** CPU of this process, which is the caller, in milliseconds with fractions. */
export function ownMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** A way that does not do the work must not win. */
export function demandSum(result: unknown): void {
  const { sum } = result as { sum?: unknown };
  if (sum !== INPUT.a + INPUT.b) throw new Error(`the sum came out as ${JSON.stringify(result)}`);
}
