import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DnsServer, openDnsServer } from "../../../../tests/fixtures/dns_server.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import {
  DNS_ANSWERS_MAX,
  DNS_CACHED_MAX,
  DNS_MS_MAX,
  DNS_NEGATIVE_MS,
  DNS_TTL_MS_MAX,
  DNS_TTL_MS_MIN,
} from "../contract.ts";
import type { Resolver } from "../parts.ts";
import { createResolver } from "./resolver.ts";

let server: DnsServer;
let clock: VirtualClock;
let resolver: Resolver;
beforeEach(async () => {
  server = await openDnsServer();
  clock = new VirtualClock();
  resolver = createResolver(clock, { servers: [server.address] });
});
afterEach(() => server.close());

const many = (n: number): string[] => Array.from({ length: n }, (_, i) => `192.0.2.${i + 1}`);
const asked = (name: string): number => server.questions.filter((each) => each.name === name).length;

describe("a name's addresses", () => {
  it("are those of both families, and one family's when only that is wanted", async () => {
    server.addresses("a.example", ["192.0.2.1", "2001:db8::1"]);
    expect((await resolver.addresses("a.example")).addresses).toEqual(["192.0.2.1", "2001:db8::1"]);
    expect((await resolver.addresses("a.example", 6)).addresses).toEqual(["2001:db8::1"]);
    expect(asked("a.example")).toBe(2);
  });

  it("are found behind a name that stands for another", async () => {
    server.set("www.example", [{ type: "CNAME", data: "a.example" }]);
    server.addresses("a.example", ["127.0.0.9"]);
    expect((await resolver.addresses("www.example")).addresses).toEqual(["127.0.0.9"]);
  });

  it(`are believed up to ${DNS_ANSWERS_MAX}, over both families, and none of them beyond`, async () => {
    server.addresses("most.example", many(DNS_ANSWERS_MAX));
    expect((await resolver.addresses("most.example")).addresses).toHaveLength(DNS_ANSWERS_MAX);
    server.addresses("more.example", many(DNS_ANSWERS_MAX + 1));
    await expect(resolver.addresses("more.example")).rejects.toMatchObject({ code: "EGRESS_DNS" });
    server.addresses("both.example", [...many(DNS_ANSWERS_MAX), "2001:db8::1"]);
    await expect(resolver.addresses("both.example")).rejects.toMatchObject({ code: "EGRESS_DNS" });
  });

  it("are remembered for their time to live, at least and at most so long", async () => {
    for (const [ttl, ms] of [
      [0, DNS_TTL_MS_MIN],
      [30, 30_000],
      [3_600, DNS_TTL_MS_MAX],
    ] as const) {
      const name = `t${ttl}.example`;
      server.addresses(name, ["192.0.2.1"], ttl);
      expect(await resolver.addresses(name, 4)).toEqual({ addresses: ["192.0.2.1"], ttl_ms: ms });
      server.addresses(name, ["192.0.2.2"], ttl);
      clock.advance(ms - 1);
      expect(await resolver.addresses(name, 4)).toEqual({ addresses: ["192.0.2.1"], ttl_ms: 1 });
      clock.advance(1);
      expect((await resolver.addresses(name, 4)).addresses).toEqual(["192.0.2.2"]);
      expect(asked(name)).toBe(2);
    }
  });

  it("that are none are remembered for a short while", async () => {
    await expect(resolver.addresses("none.example")).rejects.toMatchObject({ code: "EGRESS_UPSTREAM" });
    server.addresses("none.example", ["192.0.2.1"]);
    clock.advance(DNS_NEGATIVE_MS - 1);
    await expect(resolver.addresses("none.example")).rejects.toMatchObject({ code: "EGRESS_UPSTREAM" });
    clock.advance(1);
    expect((await resolver.addresses("none.example")).addresses).toEqual(["192.0.2.1"]);
  });

  it("are asked for once by all who ask at the same time", async () => {
    server.addresses("a.example", ["192.0.2.1"]);
    await Promise.all(Array.from({ length: 20 }, () => resolver.addresses("a.example")));
    expect(asked("a.example")).toBe(2);
  });

  it("are not served beyond their time when the server is gone", async () => {
    server.addresses("a.example", ["192.0.2.1"], 1);
    await resolver.addresses("a.example", 4);
    server.set("a.example", "servfail");
    clock.advance(DNS_TTL_MS_MIN);
    await expect(resolver.addresses("a.example", 4)).rejects.toMatchObject({ code: "EGRESS_UPSTREAM" });
    server.addresses("a.example", ["192.0.2.2"]);
    expect((await resolver.addresses("a.example", 4)).addresses).toEqual(["192.0.2.2"]);
  });

  it(`are waited for no longer than ${DNS_MS_MAX} ms`, async () => {
    server.set("silent.example", "silence");
    const waiting = resolver.addresses("silent.example", 4);
    waiting.catch(() => {});
    await eventually(() => asked("silent.example") === 1);
    clock.advance(DNS_MS_MAX - 1);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    await expect(waiting).rejects.toMatchObject({ code: "EGRESS_UPSTREAM" });
  });

  it("are never asked for where there is nothing to ask", async () => {
    expect((await resolver.addresses("localhost")).addresses).toEqual(["127.0.0.1", "::1"]);
    expect((await resolver.addresses("a.localhost", 6)).addresses).toEqual(["::1"]);
    expect((await resolver.addresses("192.0.2.1")).addresses).toEqual(["192.0.2.1"]);
    expect((await resolver.addresses("2001:db8::1", 4)).addresses).toEqual([]);
    expect(server.questions).toEqual([]);
  });

  it(`are remembered of ${DNS_CACHED_MAX} names, and the oldest is forgotten first`, async () => {
    server.addresses("first.example", ["192.0.2.1"]);
    const fill = async (from: number, to: number): Promise<void> => {
      for (let n = from; n < to; n += 64) {
        const names = Array.from({ length: Math.min(64, to - n) }, (_, i) => `n${n + i}.example`);
        for (const name of names) server.addresses(name, ["192.0.2.1"]);
        await Promise.all(names.map((name) => resolver.addresses(name, 4)));
      }
    };
    await resolver.addresses("first.example", 4);
    await fill(1, DNS_CACHED_MAX);
    await resolver.addresses("first.example", 4);
    expect(asked("first.example")).toBe(1);
    await fill(DNS_CACHED_MAX, DNS_CACHED_MAX + 1);
    await resolver.addresses("first.example", 4);
    expect(asked("first.example")).toBe(2);
  });
});

it("other records come as Node gives them", async () => {
  server.set("a.example", [
    { type: "TXT", data: ["v=1"] },
    { type: "MX", data: { preference: 5, exchange: "mail.example" } },
  ]);
  expect((await resolver.records("a.example", "TXT")).records).toEqual([["v=1"]]);
  expect((await resolver.records("a.example", "MX")).records).toEqual([
    expect.objectContaining({ priority: 5, exchange: "mail.example" }),
  ]);
  expect((await resolver.records("a.example", "SRV")).records).toEqual([]);
});
