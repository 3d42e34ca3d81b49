import fc from "fast-check";
import { expect, it } from "vitest";
import type { TenantId } from "../kernel/ids.ts";
import { runnerKey } from "./runner_key.ts";

const word = fc.string({ unit: "grapheme-ascii", maxLength: 12 });
const authority = fc.record({
  tenant: word.map((id) => id as TenantId),
  chain_hash: word,
  contract: word,
  contract_version: fc.nat(),
  snapshot: word,
  session: fc.option(word),
  isolation: fc.constantFrom("pooled" as const, "session" as const),
});
type Authority = Parameters<typeof runnerKey>[0];
const PARTS = ["tenant", "chain_hash", "contract", "contract_version", "snapshot", "session"] as const;

it("runs of one authority and session have one key", () => {
  fc.assert(
    fc.property(authority, (a) => {
      expect(runnerKey({ ...a })).toBe(runnerKey(a));
      expect(runnerKey(a)).toMatch(/^[0-9a-f]{64}$/);
    }),
  );
});

it("any part that differs gives another key", () => {
  fc.assert(
    fc.property(authority, authority, fc.constantFrom(...PARTS), (a, b, part) => {
      fc.pre(a[part] !== b[part]);
      expect(runnerKey({ ...a, [part]: b[part] } as Authority)).not.toBe(runnerKey(a));
    }),
  );
});

it("parts cannot be moved across their borders", () => {
  const row = { chain_hash: "c", contract: "k", contract_version: 1, snapshot: "s", isolation: "pooled" } as const;
  const key = (tenant: string, session: string | null) => runnerKey({ ...row, tenant: tenant as TenantId, session });
  expect(key("a", "null")).not.toBe(key("a", null));
  expect(key('a","b', null)).not.toBe(runnerKey({ ...row, tenant: "a" as TenantId, chain_hash: "b", session: null }));
});

it("a run with a process of its own has none", () => {
  fc.assert(
    fc.property(authority, (a) => {
      expect(runnerKey({ ...a, isolation: "process" })).toBeUndefined();
    }),
  );
});
