import { isApiError, isConnectionError, type ProblemDocument, type Termination } from "@gantry/sdk";
import { isFailure } from "./failure.ts";

/** The exit codes of every command; `gantry help run` prints them. */
export const EXIT = {
  completed: 0,
  /** The guest threw or did not load; for other commands: the answer is no. */
  threw: 1,
  /** The command line, the code or the input is wrong. */
  usage: 2,
  denied: 3,
  limit: 4,
  capacity: 5,
  /** The run or the server went away. */
  lost: 6,
  cancelled: 130,
} as const;

/** One row for each reason why a run can end. */
const OF_TERMINATION: Record<Termination, number> = {
  completed: EXIT.completed,
  threw: EXIT.threw,
  load_failed: EXIT.threw,
  cpu_exceeded: EXIT.limit,
  memory_exceeded: EXIT.limit,
  wall_exceeded: EXIT.limit,
  output_exceeded: EXIT.limit,
  log_exceeded: EXIT.limit,
  denied: EXIT.denied,
  approval_declined: EXIT.denied,
  expired: EXIT.capacity,
  cancelled: EXIT.cancelled,
  capacity: EXIT.capacity,
  node_lost: EXIT.lost,
  runner_lost: EXIT.lost,
};

/** A newer server may end runs for a reason that this client does not know: that is no success. */
export function exitOfTermination(termination: Termination | undefined): number {
  return (termination === undefined ? undefined : OF_TERMINATION[termination]) ?? EXIT.threw;
}

/** By status alone, so that codes that do not exist yet fall into the right class. */
export function exitOfProblem(problem: Pick<ProblemDocument, "status">): number {
  if (problem.status === 401 || problem.status === 403) return EXIT.denied;
  if (problem.status === 429 || problem.status === 503) return EXIT.capacity;
  if (problem.status >= 400 && problem.status < 500) return EXIT.usage;
  return EXIT.lost;
}

/** Failures carry their own code, refusals are judged by status; what is left is a bug and exits 1. */
export function exitOfError(error: unknown): number {
  if (isFailure(error)) return error.exit;
  if (isApiError(error)) return exitOfProblem(error.problem);
  if (isConnectionError(error)) return EXIT.lost;
  return EXIT.threw;
}
