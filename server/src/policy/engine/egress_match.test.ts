import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EGRESS_PROTOCOLS, type EgressRule } from "../contract.ts";
import { EGRESS_DIMENSIONS, type EgressCall, matchEgress, mayMutate } from "./egress_match.ts";

const RULE: EgressRule = {
  hosts: ["api.example.com"],
  protocol: "https",
  methods: ["GET", "POST"],
  paths: ["/v1/*"],
};
const CALL: EgressCall = { host: "api.example.com", port: 443, protocol: "https", method: "POST", path: "/v1/issues" };

const small = {
  host: fc.constantFrom("a.test", "b.test", "x.a.test"),
  protocol: fc.constantFrom(...EGRESS_PROTOCOLS),
  port: fc.constantFrom(80, 443, 5432),
  method: fc.constantFrom("GET", "POST", "DELETE"),
  path: fc.constantFrom("/", "/v1", "/v1/a", "/v2/a"),
};
const call = fc.record(small, { requiredKeys: [] });
const some = <T>(each: fc.Arbitrary<T>) => fc.uniqueArray(each, { minLength: 1, maxLength: 3 });
const rule: fc.Arbitrary<EgressRule> = fc.record(
  {
    hosts: some(fc.constantFrom("a.test", "*.test", "**.test", "b.test")),
    protocol: small.protocol,
    ports: some(small.port),
    methods: some(small.method),
    paths: some(fc.constantFrom("/", "/v1/*", "/*")),
  },
  { requiredKeys: ["hosts", "protocol"] },
);
const rules = fc.array(rule, { maxLength: 5 });
const place = (dimension: string) => EGRESS_DIMENSIONS.indexOf(dimension as never);

describe("egress rules", () => {
  it("match a call in full, and the first that does is named", () => {
    expect(matchEgress([RULE], CALL)).toEqual({ rule: RULE, id: "0" });
    const named = { ...RULE, id: "issues" };
    const elsewhere = { ...RULE, hosts: ["other.example"] };
    expect(matchEgress([elsewhere, named, RULE], CALL)).toEqual({ rule: named, id: "issues" });
  });

  it.each([
    ["host", { host: "evil.example" }],
    ["host", { host: undefined }],
    ["host", { host: "api.example.com." }],
    ["protocol", { protocol: "http" }],
    ["protocol", { protocol: undefined }],
    ["port", { port: 8443 }],
    ["port", { port: undefined }],
    ["method", { method: "DELETE" }],
    ["method", { method: "post" }],
    ["method", { method: undefined }],
    ["path", { path: "/v2/issues" }],
    ["path", { path: undefined }],
    ["path", { path: "/v1/../v2" }],
    ["path", { path: "/v1/%2e%2e/v2" }],
    ["path", { path: "/v1/a%2Fb" }],
    ["path", { path: "/v1/a%5cb" }],
    ["path", { path: "/v1/a\\b" }],
    ["path", { path: "/v1/a?b" }],
    ["path", { path: "/v1/." }],
  ] as const)("say that a call stopped at its %s: %o", (stopped, change) => {
    const { [stopped]: _, ...rest } = CALL;
    const changed = Object.values(change).includes(undefined as never) ? rest : { ...CALL, ...change };
    expect(matchEgress([RULE], changed as EgressCall)).toEqual({ stopped });
  });

  it("say the furthest dimension that any of them reached", () => {
    const other = { ...RULE, hosts: ["other.example"] };
    const tunnel: EgressRule = { hosts: ["api.example.com"], protocol: "tcp", ports: [443] };
    expect(matchEgress([other, RULE, tunnel], { ...CALL, method: "PUT" })).toEqual({ stopped: "method" });
    expect(matchEgress([other, tunnel], CALL)).toEqual({ stopped: "protocol" });
    expect(matchEgress([], CALL)).toEqual({ stopped: "host" });
  });

  it("that say nothing of methods, ports and paths let GET and HEAD out, at the scheme's port, on any path", () => {
    const open: EgressRule = { hosts: ["api.example.com"], protocol: "https" };
    expect(matchEgress([open], { ...CALL, method: "HEAD", path: "/%2e%2e/" })).toHaveProperty("rule");
    expect(matchEgress([open], CALL)).toEqual({ stopped: "method" });
    expect(matchEgress([open], { ...CALL, method: "GET", port: 80 })).toEqual({ stopped: "port" });
  });

  it("of tunnels list their ports, and see neither method nor path", () => {
    const tunnel: EgressRule = { hosts: ["db.example"], protocol: "tcp", ports: [5432] };
    expect(matchEgress([tunnel], { host: "db.example", port: 5432, protocol: "tcp" })).toHaveProperty("rule");
    const { ports: _, ...without } = tunnel;
    expect(matchEgress([without], { host: "db.example", port: 5432, protocol: "tcp" })).toEqual({ stopped: "port" });
  });

  it("of WebSockets mean the GET that opens one", () => {
    const socket: EgressRule = { hosts: ["live.example"], protocol: "wss" };
    const opening = { host: "live.example", port: 443, protocol: "wss", path: "/" };
    expect(matchEgress([socket], opening)).toHaveProperty("rule");
    expect(matchEgress([socket], { ...opening, method: "POST" })).toEqual({ stopped: "method" });
  });

  it("never stop a call earlier when there are more of them, and never let one out when there are fewer", () => {
    fc.assert(
      fc.property(rules, rule, call, (fewer, another, asked) => {
        const [before, after] = [
          matchEgress(fewer, asked as EgressCall),
          matchEgress([...fewer, another], asked as EgressCall),
        ];
        if ("rule" in before) expect(after).toEqual(before);
        else if ("stopped" in after) expect(place(after.stopped)).toBeGreaterThanOrEqual(place(before.stopped));
      }),
    );
  });

  it("let nothing out of which something is unknown, but a tunnel's method and path", () => {
    fc.assert(
      fc.property(rules, call, (all, asked) => {
        const found = matchEgress(all, asked as EgressCall);
        if (!("rule" in found)) return;
        const { host, port, protocol } = asked;
        expect([host, port, protocol]).not.toContain(undefined);
        expect(found.rule.protocol).toBe(protocol);
      }),
    );
  });
});

describe("a call may change something", () => {
  it.each([
    ["GET", "https", undefined, false],
    ["HEAD", "http", undefined, false],
    ["OPTIONS", "https", undefined, false],
    ["POST", "https", undefined, true],
    ["PROPFIND", "https", undefined, true],
    ["GET", "https", true, true],
    ["GET", "wss", undefined, true],
    [undefined, "https", undefined, true],
    [undefined, "tcp", undefined, true],
  ] as const)("%s over %s, effect %s: %s", (method, protocol, effect, expected) => {
    const of: EgressRule = { hosts: ["a.test"], protocol, ...(effect === undefined ? {} : { effect }) };
    expect(mayMutate(of, method === undefined ? {} : { method })).toBe(expected);
  });
});
