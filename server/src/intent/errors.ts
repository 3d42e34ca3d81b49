import { defineErrors } from "../kernel/errors.ts";

// Why a request for a run is refused, and how a run that did not complete is explained. Other rooms find them in contract.ts.

const never = { retry: "never", whose: "caller" } as const;
const limit = { status: 422, ...never } as const;

export const run_errors = defineErrors("RUN", {
  NOT_FOUND: { status: 404, ...never, title: "There is no such run." },
  CONCURRENCY: {
    status: 429,
    retry: "later",
    whose: "capacity",
    title: "The tenant has as many runs as it may have at once.",
  },
  CAPACITY: { status: 503, retry: "later", whose: "capacity", title: "There is no room for the run." },
  DENIED: { status: 403, retry: "never", whose: "policy", title: "The run was denied." },
  VAR_TAKEN: { status: 422, ...never, title: "A variable has the name of a lease." },
  WHY_REQUIRED: { status: 403, retry: "never", whose: "policy", title: "The contract asks for a reason." },
  SPAWN_DEPTH: { status: 429, retry: "never", whose: "policy", title: "Runs have started each other too deeply." },
  TREE_BUDGET: { status: 429, retry: "never", whose: "policy", title: "The tree of runs has used its budget." },
  TENANT_BUDGET: { status: 429, retry: "later", whose: "capacity", title: "The budget of the day is used up." },
  PARENT_ENDED: { status: 409, ...never, title: "The run that starts this one has ended." },
  FOLLOWERS: { status: 429, retry: "later", whose: "capacity", title: "Too many readers follow this log." },
  NEVER_SETTLES: { ...limit, title: "The guest waits for a promise that nothing can settle." },
  RESULT_NOT_JSON: { ...limit, title: "The result cannot be written as JSON." },
  THREW: { ...limit, title: "The guest threw." },
  LOAD_FAILED: { ...limit, title: "The engine could not load the code." },
  CPU_EXCEEDED: { ...limit, title: "The run used more CPU time than its limit." },
  MEMORY_EXCEEDED: { ...limit, title: "The run used more memory than its limit." },
  WALL_EXCEEDED: { ...limit, title: "The run took longer than its limit." },
  OUTPUT_EXCEEDED: { ...limit, title: "The result is larger than its limit." },
  LOG_EXCEEDED: { ...limit, title: "The run wrote more log than any run may." },
  EXPIRED: { status: 504, retry: "safe", whose: "capacity", title: "The run did not start in time." },
  CANCELLED: { status: 409, ...never, title: "The run was cancelled." },
  LOST: {
    status: 500,
    retry: "safe",
    whose: "gantry",
    title: "The process that held the run ended for no reason of the run's.",
  },
});
export const input_errors = defineErrors("INPUT", {
  TOO_LARGE: { status: 413, ...never, title: "The input is larger than its limit." },
  DEPTH: { status: 400, ...never, title: "The input is nested too deeply." },
});
export const limit_errors = defineErrors("LIMIT", {
  RANGE: { status: 400, ...never, title: "A limit is not a number in its range." },
});
export const isolation_errors = defineErrors("ISOLATION", {
  FLOOR: { status: 403, retry: "never", whose: "policy", title: "The contract asks for a stronger isolation." },
});
export const idempotency_errors = defineErrors("IDEMPOTENCY", {
  MISMATCH: { status: 409, ...never, title: "The idempotency key belongs to another request." },
});
