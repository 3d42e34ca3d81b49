import { expect, it } from "vitest";
import { GantryError } from "../../kernel/errors.ts";
import { errors } from "../contract.ts";
import { fromWire, judge } from "./sqlite_errors.ts";

const failed = (errcode: number) => Object.assign(new Error("x"), { code: "ERR_SQLITE_ERROR", errcode });

it.each([
  [1, "unit", "STATEMENT"],
  [2067, "unit", "CONSTRAINT"], // SQLITE_CONSTRAINT_UNIQUE
  [3091, "unit", "CONSTRAINT"], // SQLITE_CONSTRAINT_DATATYPE
  [20, "unit", "STATEMENT"],
  [5, "unit", "BUSY"],
  [13, "full", "FULL"],
  [4874, "full", "FULL"], // SQLITE_IOERR_SHMSIZE
  [10, "fatal", "CLOSED"],
  [1034, "fatal", "CLOSED"], // SQLITE_IOERR_FSYNC
  [11, "fatal", "CLOSED"],
  [26, "fatal", "CLOSED"],
  [7, "fatal", "CLOSED"],
])("result code %i is judged %s, %s", (errcode, scope, code) => {
  expect(judge(failed(errcode))).toMatchObject({ scope, error: { code } });
});

it("what nobody knows is fatal", () => {
  expect(judge(new Error("what?")).scope).toBe("fatal");
});

it("an error of ours crosses threads as it was, and the statement only in its internal part", () => {
  const error = new GantryError(errors.CONFLICT, { detail: "Changed.", internal: { sql: "SELECT 1" } });
  const crossed = fromWire(structuredClone(judge(error).error));
  expect(crossed).toMatchObject({
    code: "STORAGE_CONFLICT",
    parts: { detail: "Changed.", internal: { sql: "SELECT 1" } },
  });
  expect(judge(failed(1), "SELECT secret").error.detail).not.toContain("secret");
});
