import { describe, expect, it } from "vitest";
import { GantryError } from "../../kernel/errors.ts";
import { errors } from "../contract.ts";
import { connectFault, judgePg, TransactionLost, told } from "./postgres_errors.ts";

const failed = (code: string, more: object = {}) =>
  Object.assign(new Error("x"), { code, severity: "ERROR", detail: "Key (a)=(secret)", ...more });

it.each([
  ["23505", "unit", "CONSTRAINT"],
  ["23503", "unit", "CONSTRAINT"],
  ["22P02", "unit", "STATEMENT"], // text for an integer
  ["42P01", "unit", "STATEMENT"], // no such table
  ["25006", "unit", "STATEMENT"], // a write over a connection that reads
  ["57014", "unit", "DEADLINE"],
  ["53200", "unit", "BUSY"],
  ["XX001", "unit", "UNREACHABLE"], // damage
  ["58030", "unit", "UNREACHABLE"],
  ["40001", "again", "BUSY"],
  ["40P01", "again", "BUSY"],
  ["55P03", "again", "BUSY"],
  ["26000", "again", "BUSY"],
  ["53100", "full", "FULL"],
  ["57P01", "lost", "UNREACHABLE"],
  ["25P03", "lost", "UNREACHABLE"],
  ["08006", "lost", "UNREACHABLE"],
])("SQLSTATE %s is judged %s, %s", (code, scope, kind) => {
  const verdict = judgePg(failed(code), "SELECT secret");
  expect(verdict).toMatchObject({ scope, error: { code: `STORAGE_${kind}` } });
  expect(verdict.error.parts.detail).not.toContain("secret");
});

it("an error that is not the server's, or that ends the session, is the connection's", () => {
  expect(judgePg(new Error("Connection terminated unexpectedly")).scope).toBe("lost");
  expect(judgePg(Object.assign(new Error("read"), { code: "ECONNRESET" })).scope).toBe("lost");
  expect(judgePg(failed("XX000", { severity: "FATAL" })).scope).toBe("lost");
  expect(judgePg(failed("53100", { severity: "PANIC" })).scope).toBe("lost");
});

it("a plan that no longer fits its table is the session's, other unknown features the statement's", () => {
  const stale = Object.assign(failed("0A000"), { message: "cached plan must not change result type" });
  expect(judgePg(stale).scope).toBe("lost");
  expect(judgePg(failed("0A000")).scope).toBe("unit");
});

describe("what the adapter says to itself", () => {
  it("becomes the error of a room, and other errors stay as they are", async () => {
    const error = new GantryError(errors.FULL, { detail: "full" });
    const lost = new TransactionLost({ scope: "full", error });
    await expect(told(() => Promise.reject(lost))).rejects.toBe(error);
    const other = new Error("other");
    await expect(told(() => Promise.reject(other))).rejects.toBe(other);
    expect(judgePg(lost)).toBe(lost.verdict);
    expect(judgePg(error)).toEqual({ scope: "unit", error });
  });

  it("of a connection that cannot be made names the place and the reason", () => {
    for (const [code, reason] of [
      ["28P01", "refuses the password"],
      ["3D000", "no database of that name"],
      ["53300", "max_connections"],
      ["ECONNREFUSED", "nothing listens there"],
      ["ENOTFOUND", "no address"],
    ] as const) {
      const { code: kind, parts } = connectFault(failed(code), "u@h:5432/d");
      expect(kind).toBe("STORAGE_UNREACHABLE");
      expect(parts.detail).toContain("u@h:5432/d");
      expect(parts.detail).toContain(reason);
    }
  });
});
