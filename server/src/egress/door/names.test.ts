import { connect } from "node:net";
import { type Answer, decode, encode, type RecordType } from "dns-packet";
import { afterEach, describe, expect, it } from "vitest";
import { type DnsServer, openDnsServer } from "../../../../tests/fixtures/dns_server.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { openDoorServer, smallCore } from "../../../../tests/fixtures/small_core.ts";
import { systemClock } from "../../kernel/clock.ts";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { createResolver } from "../adapters/resolver.ts";
import { DNS_QUERY_BYTES_MAX, DNS_TTL_MS_MAX, egress_errors } from "../contract.ts";
import { answerNames } from "./names.ts";
import { writeRefusal } from "./problem.ts";

const URL_OF_NAMES = "https://cloudflare-dns.com/dns-query";
const PUBLIC: EgressRule = { hosts: ["api.example.com", "*.cdn.example.com"], protocol: "https" };
const PRIVATE: EgressRule = {
  hosts: ["db.example.com"],
  protocol: "tcp",
  ports: [5432],
  private: true,
  addresses: ["10.0.0.5"],
};
const MAIL: EgressRule = { hosts: ["example.com"], protocol: "https", dns: ["TXT", "MX", "SRV"] };

const ends: (() => unknown)[] = [];
const bugs: unknown[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  expect(bugs.splice(0)).toEqual([]);
});

async function openNames(rules = [PUBLIC, PRIVATE, MAIL]) {
  const dns = await openDnsServer();
  ends.push(() => dns.close());
  const core = smallCore({ rules, resolver: createResolver(systemClock(), { servers: [dns.address] }) });
  const others: string[] = [];
  const door = await openDoorServer(
    {
      async request(call, answer) {
        try {
          if (await answerNames(core, call, answer)) return;
          others.push(call.url ?? "");
          answer.end();
        } catch (error) {
          if (!isGantryError(error)) throw error;
          writeRefusal(answer, error, true);
        }
      },
    },
    (error) => bugs.push(error),
  );
  ends.push(() => door.close());
  return { dns, core, others, ask: (how: Ask) => askDoor(door.port, how) };
}

interface Ask {
  url?: string;
  method?: string;
  headers?: Record<string, string>;
  body?: Buffer;
}

/** A request as workerd makes it to a proxy, the whole URL in its first line. */
async function askDoor(port: number, { url = URL_OF_NAMES, method = "GET", headers = {}, body }: Ask) {
  const socket = connect(port, "127.0.0.1");
  const all = {
    ...headers,
    connection: "close",
    ...(body === undefined ? {} : { "content-length": String(body.length) }),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.on("error", () => {});
  socket.write(
    Buffer.concat([Buffer.from(`${method} ${url} HTTP/1.1\r\n${lines.join("")}\r\n`), body ?? Buffer.alloc(0)]),
  );
  const chunks: Buffer[] = [];
  let is_over = false;
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.on("close", () => {
    is_over = true;
  });
  await eventually(() => is_over);
  const bytes = Buffer.concat(chunks);
  const at = bytes.indexOf("\r\n\r\n");
  const head = bytes.subarray(0, at).toString("latin1");
  return { status: Number(head.split(" ")[1]), head, body: bytes.subarray(at + 4) };
}

const json = (name: string, type: string): Ask => ({
  url: `${URL_OF_NAMES}?name=${encodeURIComponent(name)}&type=${type}`,
  headers: { accept: "application/dns-json" },
});

function query(name: string, type: RecordType, more: Partial<Parameters<typeof encode>[0]> = {}): Buffer {
  return encode({ type: "query", id: 7, flags: 256, questions: [{ type, name }], ...more });
}

const post = (body: Buffer, type = "application/dns-message"): Ask => ({
  method: "POST",
  headers: { "content-type": type },
  body,
});

describe("a name that a rule has", () => {
  it("is answered in JSON, as workerd's node:dns asks", async () => {
    const { dns, core, ask } = await openNames();
    dns.addresses("api.example.com", ["93.184.216.34", "93.184.216.35", "2606:2800:220:1::1"], 30);
    const { status, head, body } = await ask(json("api.example.com", "A"));
    expect(status).toBe(200);
    expect(head).toContain("content-type: application/dns-json");
    expect(head).not.toContain("gantry-egress");
    expect(JSON.parse(body.toString())).toEqual({
      Status: 0,
      TC: false,
      RD: true,
      RA: true,
      AD: false,
      CD: false,
      Question: [{ name: "api.example.com", type: 1 }],
      Answer: ["93.184.216.34", "93.184.216.35"].map((data) => ({ name: "api.example.com", type: 1, TTL: 30, data })),
    });
    const six = JSON.parse((await ask(json("API.example.com.", "AAAA"))).body.toString());
    expect(six.Answer).toEqual([{ name: "API.example.com.", type: 28, TTL: 30, data: "2606:2800:220:1::1" }]);
    expect(core.counted).toEqual([
      { host: "api.example.com", method: "DNS", verdict: "allowed", code: null },
      { host: "api.example.com", method: "DNS", verdict: "allowed", code: null },
    ]);
  });

  it("is answered on the wire, by GET and by POST", async () => {
    const { dns, ask } = await openNames();
    dns.addresses("a.cdn.example.com", ["93.184.216.34"], 0);
    const wire = query("a.cdn.example.com", "A");
    for (const how of [post(wire), { url: `${URL_OF_NAMES}?dns=${wire.toString("base64url")}` }]) {
      const { head, body } = await ask(how);
      expect(head).toContain("content-type: application/dns-message");
      expect(head).toContain("cache-control: max-age=1");
      const told = decode(body);
      expect(told).toMatchObject({ id: 7, type: "response", flag_rd: true, flag_ra: true });
      expect(told.flags! & 0xf).toBe(0);
      expect(told.answers).toMatchObject([{ type: "A", name: "a.cdn.example.com", ttl: 1, data: "93.184.216.34" }]);
    }
  });

  it("has no address of a family without one, which is no failure", async () => {
    const { dns, ask } = await openNames();
    dns.addresses("api.example.com", ["93.184.216.34"]);
    const told = JSON.parse((await ask(json("api.example.com", "AAAA"))).body.toString());
    expect([told.Status, "Answer" in told]).toEqual([0, false]);
    const wire = decode((await ask(post(query("api.example.com", "AAAA")))).body);
    expect([wire.flags! & 0xf, wire.answers]).toEqual([0, []]);
  });

  it("lives no longer than DNS_TTL_MS_MAX, and follows its CNAMEs", async () => {
    const { dns, ask } = await openNames();
    dns.set("api.example.com", [{ type: "CNAME", data: "edge.example.net", ttl: 90_000 }]);
    dns.addresses("edge.example.net", ["93.184.216.34", "2606:2800:220:1::1"], 90_000);
    const told = JSON.parse((await ask(json("api.example.com", "A"))).body.toString());
    expect(told.Answer).toEqual([
      { name: "api.example.com", type: 1, TTL: DNS_TTL_MS_MAX / 1_000, data: "93.184.216.34" },
    ]);
  });

  it("that nobody knows, or of which no server speaks, is a failure and no refusal", async () => {
    const { dns, core, ask } = await openNames();
    dns.set("x.cdn.example.com", "servfail");
    for (const name of ["api.example.com", "x.cdn.example.com"]) {
      const { status, head, body } = await ask(json(name, "A"));
      expect([status, JSON.parse(body.toString()).Status]).toEqual([200, 2]);
      expect(head).toContain("gantry-egress: failed; code=EGRESS_UPSTREAM");
    }
    expect(core.counted.map(({ verdict, code }) => [verdict, code])).toEqual([
      ["allowed", "EGRESS_UPSTREAM"],
      ["allowed", "EGRESS_UPSTREAM"],
    ]);
  });

  it("has EDNS in its answer when the question had it", async () => {
    const { dns, ask } = await openNames();
    dns.addresses("api.example.com", ["93.184.216.34"]);
    const opt = { type: "OPT", name: ".", udpPayloadSize: 4096, flags: 0, options: [] } as unknown as Answer;
    const told = decode((await ask(post(query("api.example.com", "A", { additionals: [opt] })))).body);
    expect(told.additionals).toMatchObject([{ type: "OPT" }]);
  });
});

describe("a name is refused", () => {
  async function refusal(how: Ask, code: string, rules?: EgressRule[], prepare: (dns: DnsServer) => void = () => {}) {
    const { dns, core, others, ask } = await openNames(rules);
    prepare(dns);
    const { status, head, body } = await ask(how);
    expect(status).toBe(200);
    expect(head).toContain(`gantry-egress: denied; code=${code}`);
    expect(head).toContain("cache-control: no-store");
    expect(core.counted).toMatchObject([{ method: "DNS", verdict: "denied", code }]);
    expect(others).toEqual([]);
    return { dns, body };
  }

  it("when no rule has it, and nobody is asked", async () => {
    const { dns, body } = await refusal(json("leak.evil.example.net", "A"), "EGRESS_DNS");
    const told = JSON.parse(body.toString());
    expect([told.Status, "Answer" in told]).toEqual([5, false]);
    expect(told.Comment[0]).toContain("EGRESS_DNS");
    expect(dns.questions).toEqual([]);
    const wire = await refusal(post(query("leak.evil.example.net", "A")), "EGRESS_DNS");
    expect(decode(wire.body).flags! & 0xf).toBe(5);
  });

  it("when its addresses are private and the rule grants none of them", async () => {
    const inward = (dns: DnsServer) => dns.addresses("api.example.com", ["93.184.216.34", "10.0.0.1"]);
    const { body } = await refusal(json("api.example.com", "A"), "EGRESS_PRIVATE_ADDR", undefined, inward);
    expect(body.toString()).not.toContain("Answer");
    const metadata = (dns: DnsServer) => dns.addresses("api.example.com", ["169.254.169.254"]);
    await refusal(json("api.example.com", "A"), "EGRESS_METADATA", undefined, metadata);
  });

  it("unless the rule grants them", async () => {
    const { dns, ask } = await openNames();
    dns.addresses("db.example.com", ["10.0.0.5"]);
    expect((await ask(json("db.example.com", "A"))).body.toString()).toContain("10.0.0.5");
  });

  it("when it is asked for what its rule does not list", async () => {
    for (const type of ["TXT", "CNAME", "65", "ANY"]) await refusal(json("api.example.com", type), "EGRESS_DNS");
    const { body } = await refusal(post(query("api.example.com", "UNKNOWN_65" as RecordType)), "EGRESS_DNS");
    expect(decode(body).questions).toEqual([{ name: "api.example.com", type: "UNKNOWN_65", class: "IN" }]);
    expect(decode(body).flags! & 0xf).toBe(5);
  });

  it("when it is none", async () => {
    for (const name of ["a..b", "*.cdn.example.com", "a b", `${"a".repeat(64)}.cdn.example.com`, "", "10.0.0.1"])
      await refusal(json(name, "A"), "EGRESS_DNS");
  });

  it("when the run has looked up too many", async () => {
    const { core, ask } = await openNames();
    core.lookUp = async () => {
      throw new GantryError(egress_errors.BUDGET, { detail: "There are no more names." });
    };
    expect((await ask(json("api.example.com", "A"))).head).toContain("denied; code=EGRESS_BUDGET");
  });
});

describe("other records", () => {
  it("of a rule that lists them are told in both forms", async () => {
    const { dns, ask } = await openNames();
    dns.set("example.com", [
      { type: "TXT", data: ["v=spf1 ", "-all"] },
      { type: "MX", data: { preference: 10, exchange: "mx.example.com" } },
      { type: "SRV", data: { priority: 1, weight: 2, port: 5060, target: "sip.example.com" } },
    ]);
    const texts: string[] = [];
    for (const type of ["TXT", "MX", "SRV"])
      texts.push(JSON.parse((await ask(json("example.com", type))).body.toString()).Answer[0].data);
    expect(texts).toEqual(['"v=spf1 ""-all"', "10 mx.example.com.", "1 2 5060 sip.example.com"]);
    const wires: unknown[] = [];
    for (const type of ["TXT", "MX", "SRV"] as const) {
      const [first] = decode((await ask(post(query("example.com", type)))).body).answers!;
      wires.push((first as { data: unknown }).data);
    }
    expect(wires).toEqual([
      [Buffer.from("v=spf1 "), Buffer.from("-all")],
      { preference: 10, exchange: "mx.example.com" },
      { priority: 1, weight: 2, port: 5060, target: "sip.example.com" },
    ]);
  });
});

describe("a question that cannot be read", () => {
  it.each([
    ["garbage", post(Buffer.from("no message"))],
    ["an answer", post(encode({ type: "response", id: 1, questions: [{ type: "A", name: "api.example.com" }] }))],
    ["no question", post(encode({ type: "query", id: 1, questions: [] }))],
    [
      "two questions",
      post(
        query("a", "A", {
          questions: [
            { type: "A", name: "a" },
            { type: "A", name: "b" },
          ],
        }),
      ),
    ],
    ["another class", post(query("a", "A", { questions: [{ type: "A", name: "a", class: "CH" }] }))],
    ["an update", post(query("a", "A", { flags: 5 << 11 }))],
    ["another content type", post(query("api.example.com", "A"), "text/plain")],
    ["base64 that is none", { url: `${URL_OF_NAMES}?dns=AA+A` }],
    ["no parameter", {}],
    ["another method", { method: "PUT", body: Buffer.alloc(0) }],
    ["more than DNS_QUERY_BYTES_MAX bytes", post(Buffer.alloc(DNS_QUERY_BYTES_MAX + 1))],
  ] as [string, Ask][])("(%s) is told so", async (_, how) => {
    const { core, dns, ask } = await openNames();
    const { status, body } = await ask(how);
    expect(status).toBe(400);
    expect(JSON.parse(body.toString()).code).toBe("EGRESS_BAD_REQUEST");
    expect(core.counted).toEqual([{ host: "?", method: "DNS", verdict: "denied", code: "EGRESS_BAD_REQUEST" }]);
    expect(dns.questions).toEqual([]);
  });

  it("is not one of DNS_QUERY_BYTES_MAX bytes", async () => {
    const { dns, ask } = await openNames();
    dns.addresses("api.example.com", ["93.184.216.34"]);
    const bare = query("api.example.com", "A");
    const opt = { type: "OPT", name: ".", udpPayloadSize: 4096, flags: 0, options: [] };
    const padded = (length: number) =>
      query("api.example.com", "A", {
        additionals: [{ ...opt, options: [{ code: 12, length }] } as unknown as Answer],
      });
    const spare = DNS_QUERY_BYTES_MAX - padded(0).length;
    const whole = padded(spare);
    expect([bare.length < whole.length, whole.length]).toEqual([true, DNS_QUERY_BYTES_MAX]);
    expect((await ask(post(whole))).status).toBe(200);
  });
});

it("whatever else is asked for is none of this", async () => {
  const { others, ask } = await openNames();
  const urls = [
    "https://api.example.com/dns-query?name=a",
    "http://cloudflare-dns.com/dns-query?name=a",
    "https://cloudflare-dns.com/dns-query/x",
    "https://cloudflare-dns.com:8443/dns-query",
    "/dns-query",
  ];
  for (const url of urls) await ask({ url });
  expect(others).toEqual(urls);
  await ask({ url: "https://CLOUDFLARE-dns.com.:443/dns-query?name=a" });
  expect(others.length).toBe(urls.length);
});
