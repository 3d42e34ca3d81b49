import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { isHostPattern } from "../kernel/hosts.ts";
import { agreementsOf } from "../storage/agreements.ts";
import { EGRESS_DENY_CACHE_MS, EGRESS_DENY_MAX, type SettingGate, type TenantSettings } from "./contract.ts";
import { IdentityRegistry } from "./identity.ts";
import { settingsSchema } from "./route_schemas.ts";

let ground: Ground;
let clock: VirtualClock;
/** What people were asked. */
let asked: TenantSettings[];

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock });
  asked = [];
});
afterEach(() => ground.remove());

const gate: SettingGate = {
  async request(_tx, { after }) {
    asked.push(after);
    return { approval: `apr_${asked.length}`, statement_hash: "0".repeat(64) };
  },
};
const deny = (egress_deny: string[], rev: number) =>
  ground.identity.changeSettings(ground.owner, gate, { rev, settings: { egress_deny } });
/** Another process over the same store. */
const elsewhere = () => new IdentityRegistry({ ...ground, agreements: agreementsOf(ground.storage) });

describe("hosts that a tenant denies", () => {
  it("hold at once when there are more, in one order and without repeats", async () => {
    const answer = await deny(["b.example", "a.example", "b.example"], 1);
    expect(answer).toMatchObject({ done: true, tenant: { settings: { egress_deny: ["a.example", "b.example"] } } });
    expect(await deny(["b.example", "a.example"], 2)).toMatchObject({ done: true, tenant: { settings_rev: 2 } });
    expect(await ground.identity.deniedHosts(ground.owned.tenant)).toEqual(["a.example", "b.example"]);
  });

  it("wait for people when one is taken out, also when others come in", async () => {
    await deny(["a.example", "b.example"], 1);
    expect(await deny(["a.example", "c.example"], 2)).toMatchObject({ done: false, approval: "apr_1" });
    expect(asked).toMatchObject([{ egress_deny: ["a.example", "c.example"] }]);
    expect(await ground.identity.deniedHosts(ground.owned.tenant)).toEqual(["a.example", "b.example"]);
  });

  it("are told at once in this process, and known in others within EGRESS_DENY_CACHE_MS", async () => {
    const { tenant } = ground.owned;
    const other = elsewhere();
    expect(await other.deniedHosts(tenant)).toEqual([]);
    const told: string[] = [];
    const end = ground.identity.watchSettings((of) => told.push(of));
    expect(await ground.identity.deniedHosts(tenant)).toEqual([]);
    await deny(["a.example"], 1);
    expect(told).toEqual([tenant]);
    expect(await ground.identity.deniedHosts(tenant)).toEqual(["a.example"]);
    clock.advance(EGRESS_DENY_CACHE_MS - 1);
    expect(await other.deniedHosts(tenant)).toEqual([]);
    clock.advance(1);
    expect(await other.deniedHosts(tenant)).toEqual(["a.example"]);
    end();
    await deny(["a.example", "b.example"], 2);
    expect(told).toHaveLength(1);
  });

  it("are read once for all who ask at the same time", async () => {
    let reads = 0;
    const counting = new Proxy(ground.storage, {
      get(of, name) {
        if (name === "get") reads += 1;
        const member: unknown = Reflect.get(of, name);
        return typeof member === "function" ? member.bind(of) : member;
      },
    });
    const registry = new IdentityRegistry({ ...ground, storage: counting, agreements: agreementsOf(ground.storage) });
    await Promise.all(Array.from({ length: 20 }, () => registry.deniedHosts(ground.owned.tenant)));
    expect(reads).toBe(1);
  });

  it("of a read that began before a change are not kept", async () => {
    const { tenant } = ground.owned;
    const before = ground.identity.deniedHosts(tenant);
    await deny(["a.example"], 1);
    await before;
    expect(await ground.identity.deniedHosts(tenant)).toEqual(["a.example"]);
  });

  it("are as many as EGRESS_DENY_MAX, and not one more", () => {
    const list = (n: number) => Array.from({ length: n }, (_, i) => `h${i}.example`);
    const parses = (n: number) => settingsSchema.partial().safeParse({ egress_deny: list(n) }).success;
    expect([EGRESS_DENY_MAX, EGRESS_DENY_MAX + 1].map(parses)).toEqual([true, false]);
  });

  it.each([
    "a.example",
    "*.example",
    "**.a.example",
    "**",
    "192.0.2.1",
    "[2001:db8::1]",
    "_a.b-c.example",
    "localhost",
  ])("may be %s", (host) => expect(isHostPattern(host)).toBe(true));

  it.each([
    "",
    "A.example",
    "a.example.",
    "https://a.example",
    "a.example:443",
    "a*.example",
    "***.example",
    "bücher.example",
    "127.1",
    "0x7f.0.0.1",
    "10.0.0.0/8",
    "::1",
    "[::0001]",
    "[2001:db8::1]:443",
    "xn--a",
    "user@a.example",
    "a..b",
    `${"a".repeat(64)}.example`,
    `${"a.".repeat(127)}a`,
  ])("may not be %j", (host) => expect(isHostPattern(host)).toBe(false));
});
