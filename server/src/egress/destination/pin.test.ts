import { describe, expect, it } from "vitest";
import { contractWith, type JudgeOptions, judge, refusalOf, TRIAGE } from "../../../../tests/fixtures/egress_calls.ts";
import type { Contract, EgressRule } from "../../policy/contract.ts";
import { pinAddress } from "./pin.ts";

const refused = (url: string, o?: JudgeOptions, contract: Contract = TRIAGE) =>
  refusalOf(() => judge(contract, url, o));
describe("a private address", () => {
  const options = { nat64: [], isSelf: () => false, was_public: false };
  const inside = (more: Partial<EgressRule> = {}) =>
    contractWith([{ hosts: ["db.example", "10.0.0.9", "[fd00::9]", "localhost"], protocol: "http", ...more }]);
  const pin = (contract: Contract, url: string, addresses: string[], o = {}) =>
    pinAddress(judge(contract, url), addresses, { ...options, ...o });

  it("is reached where the rule is private and names it, and nowhere else", () => {
    const granted = inside({ private: true, addresses: ["10.0.0.5", "fd00::5"] });
    expect(pin(granted, "http://db.example/", ["10.0.0.5", "fd00::5"])).toEqual({
      address: "10.0.0.5",
      is_public: false,
    });
    expect(pin(granted, "http://db.example/", ["93.184.216.34"])).toEqual({
      address: "93.184.216.34",
      is_public: true,
    });
    expect(pin(granted, "http://10.0.0.9/", ["10.0.0.9"])).toEqual({ address: "10.0.0.9", is_public: false });
    expect(pin(granted, "http://[fd00::9]/", ["fd00::9"]).address).toBe("fd00::9");
    // In hosts it is a literal that is granted, also for the names beside it.
    expect(pin(granted, "http://db.example/", ["10.0.0.9"]).address).toBe("10.0.0.9");
    for (const address of ["10.0.0.6", "fd00::6", "::ffff:10.0.0.5", "127.0.0.1"]) {
      expect(refusalOf(() => pin(granted, "http://db.example/", [address])).code).toBe("EGRESS_PRIVATE_ADDR");
    }
    for (const more of [{}, { addresses: ["10.0.0.5"] }]) {
      expect(refusalOf(() => pin(inside(more), "http://db.example/", ["10.0.0.5"])).code).toBe("EGRESS_PRIVATE_ADDR");
    }
  });

  it("among public ones refuses the call, wherever it stands", () => {
    const contract = inside();
    for (const addresses of [
      ["10.0.0.5", "8.8.8.8"],
      ["8.8.8.8", "10.0.0.5"],
      ["8.8.8.8", "::ffff:7f00:1"],
    ]) {
      expect(refusalOf(() => pin(contract, "http://db.example/", addresses)).code).toBe("EGRESS_PRIVATE_ADDR");
    }
    expect(refusalOf(() => pin(contract, "http://db.example/", ["8.8.8.8", "169.254.169.254"])).code).toBe(
      "EGRESS_METADATA",
    );
  });

  it("of localhost is the one that is granted", () => {
    const granted = inside({ private: true, addresses: ["::1"] });
    expect(pin(granted, "http://localhost/", ["127.0.0.1", "::1"])).toEqual({ address: "::1", is_public: false });
    expect(refused("http://localhost/", {}, inside()).code).toBe("EGRESS_PRIVATE_ADDR");
    expect(refused("http://a.localhost/", {}, inside({ hosts: ["a.localhost"], private: true })).code).toBe(
      "EGRESS_PRIVATE_ADDR",
    );
  });

  it("of a name that had public ones is a name that moved", () => {
    const granted = inside({ private: true, addresses: ["10.0.0.5"] });
    const moved = () => pin(granted, "http://db.example/", ["10.0.0.5"], { was_public: true });
    expect(refusalOf(moved)).toMatchObject({ code: "EGRESS_DNS_REBIND" });
    expect(pin(granted, "http://db.example/", ["8.8.4.4"], { was_public: true }).is_public).toBe(true);
  });

  it("of Gantry itself is never reached, not wrapped either", () => {
    const isSelf = (address: string, port: number) => ["127.0.0.1", "10.0.0.5"].includes(address) && port === 80;
    const granted = inside({
      private: true,
      addresses: ["10.0.0.5", "127.0.0.1", "0.0.0.0", "::ffff:a00:5"],
      ports: [80, 81],
    });
    for (const address of ["10.0.0.5", "127.0.0.1", "0.0.0.0", "::ffff:a00:5", "64:ff9b::a00:5"]) {
      expect(refusalOf(() => pin(granted, "http://db.example/", ["8.8.8.8", address], { isSelf })).code).toBe(
        "EGRESS_SELF",
      );
    }
    expect(pin(granted, "http://db.example:81/", ["10.0.0.5"], { isSelf }).address).toBe("10.0.0.5");
  });

  it("of a metadata service is never reached, whatever a rule names", () => {
    const hosts = ["169.254.169.254", "metadata.google.internal", "db.example"];
    const granted = contractWith([{ hosts, protocol: "http", private: true, addresses: ["169.254.169.254"] }]);
    for (const host of hosts.slice(0, 2)) {
      const error = refused(`http://${host}/`, {}, granted);
      expect([error.code, error.parts.next_steps]).toEqual(["EGRESS_METADATA", undefined]);
    }
    expect(refusalOf(() => pin(granted, "http://db.example/", ["169.254.169.254"])).code).toBe("EGRESS_METADATA");
  });

  it("that is none, and a name without any, is unreachable", () => {
    for (const addresses of [[], ["8.8.8.8", "nonsense"]]) {
      expect(refusalOf(() => pin(inside(), "http://db.example/", addresses)).code).toBe("EGRESS_UPSTREAM");
    }
  });

  it("of this network's NAT64 is what is in it", () => {
    const o = { nat64: ["fd00:64::/96"] };
    expect(pin(inside(), "http://db.example/", ["fd00:64::808:808"], o)).toEqual({
      address: "fd00:64::808:808",
      is_public: true,
    });
    expect(refusalOf(() => pin(inside(), "http://db.example/", ["fd00:64::a00:1"], o)).code).toBe(
      "EGRESS_PRIVATE_ADDR",
    );
  });
});
