import { describe, expect, it } from "vitest";
import {
  bases,
  document,
  parse,
  problems,
  rule,
  staging,
  wrong,
} from "../../../../tests/fixtures/contract_documents.ts";
import { EXECUTE_BEFORE_MS_DEFAULT, NOT_AFTER_MS_DEFAULT, REQUIREMENTS } from "../contract.ts";
import { parseContract } from "./document.ts";

describe("an heir", () => {
  const gate = { on: "*", name: "g" };

  it("of a read-only contract changes nothing", () => {
    const refused = (base: string, more: object) => problems(base, more).join("\n");
    expect(refused("read-only", { class: "controlled-mutation" })).toContain(
      "/class class is read-only: read-only changes",
    );
    expect(refused("scratch", { class: "privileged", gates: [gate] })).toContain("/class class is read-only");
    const reading = { hosts: ["a.example"], protocol: "https", methods: ["GET", "HEAD"] };
    expect(refused("read-only", { egress: [reading] })).toBe("");
    for (const more of [
      { methods: ["POST"] },
      { protocol: "wss", methods: undefined },
      { effect: true },
      { mcp: true },
    ]) {
      expect(refused("read-only", { egress: [{ ...reading, ...more }] })).toContain(
        "/egress Rule 1 could change something",
      );
    }
    expect(refused("read-only", { data: { writes: ["public"] } })).toContain(
      "/data A read-only contract writes no data",
    );
    expect(refused("read-only", { bindings: { flags: { app: "web", mode: "write" } } })).toContain(
      "/bindings A read-only",
    );
    expect(refused("read-only", { targets: ["production"] })).toBe("");
  });

  it.each(["scratch", "temporary"])("of %s has no network", (base) => {
    expect(problems(base, rule()).join()).toContain(`/egress ${base} has no network, and neither has an heir`);
    expect(problems(base, { egress: [] })).toEqual([]);
  });

  it("of staging-mutation acts on staging, and of temporary on no target", () => {
    expect(wrong({ targets: ["staging", "web"] })).toEqual([
      "/targets staging-mutation acts on staging, and an heir on no other target: leave out web, or extend production.",
    ]);
    expect(wrong({ targets: ["*"] })).toHaveLength(1);
    expect(problems("temporary", { targets: ["staging"] })[0]).toContain("temporary acts on none");
  });

  it("may be of a stronger class and of no weaker one", () => {
    expect(wrong({ class: "read-only" })).toEqual([
      "/class class is controlled-mutation or stronger: an heir cannot weaken the class of staging-mutation.",
    ]);
    expect(problems("production", { class: "controlled-mutation" }).join()).toContain(
      "cannot weaken the class of production",
    );
    expect(staging({ class: "privileged", gates: [gate] })).toMatchObject({
      class: "privileged",
      targets: ["staging"],
      require: [...REQUIREMENTS],
      isolation: "process",
      isolation_floor: "process",
      jail: "required",
    });
    expect(staging({ class: "privileged", gates: [gate], require: ["why"] }).require).toEqual(["why"]);
  });

  it("that is privileged has a gate on its runs, shares no process and is jailed", () => {
    expect(wrong({ class: "privileged" })[0]).toContain("A privileged contract has a gate on its runs");
    expect(wrong({ class: "privileged", gates: [{ on: "app.deploy", name: "g" }] })[0]).toContain(
      "/gates A privileged",
    );
    expect(wrong({ class: "privileged", gates: [{ on: "run.submit", name: "g" }] })).toEqual([]);
    const weak = problems("production", { isolation: "pooled", isolation_floor: "pooled", jail: "optional" });
    expect(weak.map((each) => each.split(" ")[0])).toEqual(
      expect.arrayContaining(["/isolation_floor", "/isolation", "/jail"]),
    );
  });

  it("inherits the gates, and can neither remove nor weaken one", () => {
    expect(parse("production", {}).gates).toEqual(bases.get("production")!.gates);
    const of = (gates: object[]) => problems("production", { gates });
    const whole = { on: "*", name: "other", quorum: 2, not_after_ms: 1_000, execute_before_ms: 1_000 };
    expect(of([whole])).toEqual([]);
    expect(of([whole, { on: "app.deploy", name: "deploy" }])).toEqual([]);
    for (const gates of [
      [],
      [{ ...whole, on: "run.submit" }],
      [{ ...whole, not_after_ms: NOT_AFTER_MS_DEFAULT + 1 }],
      [{ ...whole, execute_before_ms: EXECUTE_BEFORE_MS_DEFAULT + 1 }],
    ]) {
      expect(of(gates).join()).toContain(
        '/gates production has a gate that an heir cannot remove or weaken: add {on: "*"',
      );
    }
    const strict = { ...bases.get("production")!, gates: [{ ...bases.get("production")!.gates[0]!, quorum: 3 }] };
    const heir = () =>
      parseContract({ name: "x", text: document("production", { gates: [whole] }) }, new Map([["production", strict]]));
    expect(heir).toThrow(/quorum: 3/);
  });

  it("extends a built-in contract and no other", () => {
    expect(problems("acme", {})[0]).toContain("/extends extends is scratch or read-only or staging-mutation");
  });
});
