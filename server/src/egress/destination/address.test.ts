import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeAddress, knownAddresses } from "./address.ts";

const kind = (address: string, nat64: string[] = []) => judgeAddress(address, nat64)?.kind;

/** RFC 6052, 2.4: the examples of the standard, for 192.0.2.33. */
const RFC_6052: [string, string][] = [
  ["2001:db8::/32", "2001:db8:c000:221::"],
  ["2001:db8:100::/40", "2001:db8:1c0:2:21::"],
  ["2001:db8:122::/48", "2001:db8:122:c000:2:2100::"],
  ["2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"],
  ["2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"],
  ["2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"],
  ["64:ff9b::/96", "64:ff9b::192.0.2.33"],
];

describe("an address inside of an address", () => {
  it.each(RFC_6052)("of a NAT64 with %s is found in %s", (prefix, address) => {
    expect(judgeAddress(address, [prefix])?.faces.at(-1)).toBe("192.0.2.33");
  });

  it("of a NAT64 of this network is judged, and not the prefix", () => {
    const prefix = "fd00:64::/96";
    expect([kind("fd00:64::8.8.8.8"), kind("fd00:64::8.8.8.8", [prefix])]).toEqual(["private", "public"]);
    expect([kind("fd00:64::10.0.0.1", [prefix]), kind("fd00:64::a9fe:a9fe", [prefix])]).toEqual([
      "private",
      "metadata",
    ]);
    // Byte 8 is never part of it (RFC 6052, 2.2), whatever stands there.
    expect(judgeAddress("2001:db8:122:3c0:ff00:221::", ["2001:db8:122:300::/56"])?.faces.at(-1)).toBe("192.0.2.33");
  });

  it("is found by every form that it has", () => {
    // 6to4 and ISATAP at once, and each end of Teredo.
    expect(judgeAddress("2002:808:808::5efe:10.0.0.1", [])?.faces).toEqual([
      "2002:808:808::5efe:a00:1",
      "8.8.8.8",
      "10.0.0.1",
    ]);
    expect(judgeAddress("2001:0:4136:e378:8000:63bf:3fff:fdd2", [])?.faces).toEqual([
      "2001:0:4136:e378:8000:63bf:3fff:fdd2",
      "65.54.227.120",
      "192.0.2.45",
    ]);
  });

  it("makes a public one of nothing that has a private one anywhere", () => {
    const quad = fc.tuple(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0xffff }));
    const hex = ([a, b]: [number, number]) => `${a.toString(16)}:${b.toString(16)}`;
    const dotted = ([a, b]: [number, number]) => [a >> 8, a & 255, b >> 8, b & 255].join(".");
    const forms: ((q: [number, number]) => string)[] = [
      (q) => `::ffff:${hex(q)}`,
      (q) => `::ffff:0:${hex(q)}`,
      (q) => `64:ff9b::${hex(q)}`,
      (q) => `2002:${hex(q)}::1`,
      (q) => `2001:0:808:808::${hex([q[0] ^ 0xffff, q[1] ^ 0xffff])}`,
      (q) => `2001:0:${hex(q)}::f7f7:f7f7`,
      (q) => `2606:4700::5efe:${hex(q)}`,
      (q) => `2606:4700::200:5efe:${hex(q)}`,
    ];
    fc.assert(
      fc.property(quad, fc.constantFrom(...forms), (q, form) => {
        expect(kind(form(q)), form(q)).toBe(kind(dotted(q)));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("an address", () => {
  it("with a zone is private, and a metadata one stays that", () => {
    expect([kind("fe80::1%eth0"), kind("2606:4700::1%1"), kind("fe80::a9fe:a9fe%eth0")]).toEqual([
      "private",
      "private",
      "metadata",
    ]);
  });

  it("that is none is nothing", () => {
    for (const text of [
      "",
      "a.example",
      "127.1",
      "0x7f.0.0.1",
      "0177.0.0.1",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      ":::",
      "1::2::3",
      "[::1]",
      "::1/128",
    ]) {
      expect(judgeAddress(text, []), text).toBeUndefined();
    }
  });

  it("is written as the parser of URLs writes it, so that rules can name it", () => {
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const text = groups.map((each) => each.toString(16)).join(":");
        expect(`[${judgeAddress(text, [])?.address}]`).toBe(new URL(`http://[${text}]/`).hostname);
      }),
    );
  });

  it("of a literal and of localhost is known without a resolver, and no other", () => {
    expect(knownAddresses("192.0.2.1")).toEqual(["192.0.2.1"]);
    expect(knownAddresses("[2001:db8::1]")).toEqual(["2001:db8::1"]);
    expect(knownAddresses("a.localhost")).toEqual(["127.0.0.1", "::1"]);
    for (const name of ["a.example", "localhost.example", "notlocalhost"]) expect(knownAddresses(name)).toBeUndefined();
  });
});
