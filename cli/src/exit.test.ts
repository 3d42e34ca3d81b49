import { GantryApiError, GantryConnectionError, type Termination } from "@gantry/sdk";
import { expect, test } from "vitest";
import { exitOfError, exitOfProblem, exitOfTermination } from "./exit.ts";
import { Failure, usage } from "./failure.ts";

test.each<[Termination, number]>([
  ["completed", 0],
  ["threw", 1],
  ["load_failed", 1],
  ["denied", 3],
  ["cpu_exceeded", 4],
  ["memory_exceeded", 4],
  ["wall_exceeded", 4],
  ["output_exceeded", 4],
  ["log_exceeded", 4],
  ["capacity", 5],
  ["expired", 5],
  ["node_lost", 6],
  ["runner_lost", 6],
  ["cancelled", 130],
])("%s exits %i", (termination, code) => {
  expect(exitOfTermination(termination)).toBe(code);
});

test("a termination that this client does not know is no success", () => {
  expect(exitOfTermination("abducted" as Termination)).toBe(1);
  expect(exitOfTermination(undefined)).toBe(1);
});

test.each([
  [400, 2],
  [401, 3],
  [403, 3],
  [404, 2],
  [409, 2],
  [413, 2],
  [422, 2],
  [429, 5],
  [500, 6],
  [502, 6],
  [503, 5],
])("a problem with status %i exits %i", (status, code) => {
  expect(exitOfProblem({ status })).toBe(code);
});

test("errors exit by their kind", () => {
  const problem = { type: "", status: 403, code: "X", title: "", detail: "" };
  expect(exitOfError(new GantryApiError(problem))).toBe(3);
  expect(exitOfError(new GantryConnectionError("http://x", new Error("no")))).toBe(6);
  expect(exitOfError(usage("wrong"))).toBe(2);
  expect(exitOfError(new Failure(130, "stopped"))).toBe(130);
  expect(exitOfError(new TypeError("a bug"))).toBe(1);
});
