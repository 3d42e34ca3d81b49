import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalHost, isAddress, isAddressHost, isHostPattern } from "../../kernel/hosts.ts";
import { isPathPattern } from "./host.ts";

describe("a host pattern", () => {
  it.each([
    "example.com",
    "a",
    "localhost",
    "*",
    "**",
    "*.example.com",
    "**.example.com",
    "api.*.example.com",
    "_dns.example.com",
    "xn--bcher-kva.example",
    "192.0.2.1",
    "[2001:db8::1]",
    `${"a".repeat(63)}.example`,
    "a.b.c.d.e.f",
    "1.example",
  ])("may be %s", (host) => expect(isHostPattern(host)).toBe(true));

  it.each([
    "",
    ".",
    "example.com.",
    ".example.com",
    "a..b",
    "Example.com",
    "bücher.example",
    "https://example.com",
    "example.com:443",
    "user@example.com",
    "example.com/path",
    "exa mple.com",
    "exa%6dple.com",
    "-a.example",
    "a-.example",
    `${"a".repeat(64)}.example`,
    `${"a.".repeat(130)}example`,
    "*a.example.com",
    "***.example.com",
    "xn--.example",
    "192.0.2.01",
    "192.0.2.256",
    "192.0.2",
    "3221225985",
    "0xc0000201",
    "0x1.example.0x7f",
    "*.0.2.1",
    "**.1",
    "*.168.1.*.1",
    "2001:db8::1",
    "[2001:DB8::1]",
    "[2001:db8:0::1]",
    "[*:db8::1]",
    "[::1",
    "a\u0000.example",
    "a\n.example",
  ])("is not %j", (host) => expect(isHostPattern(host)).toBe(false));

  it("without stars is what the parser of URLs makes of it", () => {
    fc.assert(
      fc.property(fc.oneof(fc.domain(), fc.ipV4(), fc.string({ maxLength: 20 })), (host) => {
        if (!isHostPattern(host) || host.includes("*")) return;
        expect(new URL(`https://${host}:8443/x?y`).hostname).toBe(host);
        expect(canonicalHost(host)).toBe(host);
      }),
    );
  });

  it("has a right spelling where the URL standard knows one", () => {
    expect(canonicalHost("Example.COM.")).toBe("example.com");
    expect(canonicalHost("bücher.example")).toBe("xn--bcher-kva.example");
    expect(canonicalHost("0x7f.1")).toBe("127.0.0.1");
    for (const text of ["a b", "a:80", "a/b", "user@a", "", "a%20", "[::1]:80"]) {
      expect(canonicalHost(text)).toBeUndefined();
    }
  });
});

it("an address is written in one way", () => {
  for (const right of ["10.0.0.5", "fd00::5", "::1", "::ffff:a00:5"]) expect(isAddress(right)).toBe(true);
  const wrong = [
    "10.0.0.0/8",
    "010.0.0.5",
    "10.5",
    "[fd00::5]",
    "FD00::5",
    "fd00:0::5",
    "::ffff:10.0.0.5",
    "a",
    "",
    "*",
  ];
  for (const text of wrong) expect(isAddress(text)).toBe(false);
  expect(isAddressHost("[fd00::5]")).toBe(true);
  expect(isAddressHost("example.com")).toBe(false);
});

it("a path is written as it is sent", () => {
  for (const right of ["/", "/*", "/v1/*/x", "/a%20b", "/~a/b.c", "/a;b=1"]) expect(isPathPattern(right)).toBe(true);
  const wrong = [
    "",
    "v1",
    "//a",
    "/a/../b",
    "/a/.",
    "/./a",
    "/a?b",
    "/a#b",
    "/a b",
    "/a%2fb",
    "/a%2E%2e/b",
    "/a\\b",
    "/ä",
    "/%5c",
  ];
  for (const text of wrong) expect(isPathPattern(text)).toBe(false);
});
