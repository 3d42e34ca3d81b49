import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DoorGround, openDoorGround, PUBLIC, PUBLIC_HERE } from "../../../../tests/fixtures/door_ground.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { openUpstreams, reset, type Upstreams } from "../../../../tests/fixtures/upstreams.ts";
import type { EgressRule } from "../../policy/contract.ts";

let ground: DoorGround;
let upstreams: Upstreams;
beforeAll(async () => {
  upstreams = openUpstreams();
  ground = await openDoorGround();
});
afterAll(async () => {
  await ground.remove();
  await upstreams.close();
});

const HERE: Pick<EgressRule, "private" | "addresses"> = { private: true, addresses: ["127.0.0.2"] };
const rule = (port: number, more: Partial<EgressRule> = {}): EgressRule => ({
  id: "api",
  hosts: ["api.example"],
  protocol: "http",
  ports: [port],
  methods: ["GET", "HEAD", "POST", "PUT"],
  ...HERE,
  ...more,
});

/** A destination that is looked up and granted, on 127.0.0.2. */
async function upstream(listener: Parameters<Upstreams["http"]>[0], more: Partial<EgressRule> = {}) {
  ground.dns.addresses("api.example", ["127.0.0.2"]);
  const port = await upstreams.http(listener, "127.0.0.2");
  return { port, url: `http://api.example:${port}`, rules: [rule(port, more)] };
}
const digestOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

describe("a call that the contract grants", () => {
  it("arrives as it was sent, and its answer as it was answered", async () => {
    let seen: { url?: string; raw: string[] } | undefined;
    const { port, url, rules } = await upstream((call, answer) => {
      seen = { url: call.url ?? "", raw: call.rawHeaders };
      answer.writeHead(
        207,
        [
          ["X-Mixed", "\u00e9"],
          ["Set-Cookie", "a=1"],
          ["set-cookie", "b=2"],
        ].flat(),
      );
      answer.end("whole");
    });
    const { text, door } = await ground.open(rules);
    const answer = await text(`${url}/a/%7Eb?c=%20d&e`, { headers: { "X-Own": "\u00e9", accept: ["a", "b"] } });
    expect([answer.status, answer.text]).toEqual([207, "whole"]);
    expect(seen?.url).toBe("/a/%7Eb?c=%20d&e");
    expect(seen?.raw).toEqual(expect.arrayContaining(["host", `api.example:${port}`, "X-Own", "\u00e9"]));
    expect(answer.raw_headers.slice(0, 6)).toEqual(["X-Mixed", "\u00e9", "Set-Cookie", "a=1", "set-cookie", "b=2"]);
    const summary = await door.close();
    expect(summary.rows).toEqual([
      {
        ...{ host: "api.example", method: "GET", path: "*", rule: "api", verdict: "allowed", code: null },
        ...{ count: 1, request_bytes: 0, response_bytes: 5 },
      },
    ]);
    const [line = ""] = summary.log.split("\n");
    expect(JSON.parse(line)).toMatchObject({ method: "GET", url: `${url}/a/%7Eb?c=*&*`, status: 207, rule: "api" });
    expect(line).not.toContain("20d");
  });

  it("loses what ends at each connection, and our own names, both ways", async () => {
    let seen: IncomingMessage["headers"] = {};
    const { url, rules } = await upstream((call, answer) => {
      seen = call.headers;
      answer.writeHead(200, { connection: "close, x-hop", "x-hop": "1", "gantry-egress": "forged", "x-kept": "1" });
      answer.end();
    });
    const { text } = await ground.open(rules);
    const headers = {
      connection: "x-secret, keep-alive",
      "x-secret": "1",
      te: "trailers",
      "gantry-stamp": "x",
      "x-own": "1",
      "proxy-authorization": "x",
    };
    const answer = await text(`${url}/`, { headers });
    expect(Object.keys(seen).sort()).toEqual(["connection", "host", "x-own"]);
    expect([answer.headers["x-kept"], answer.headers["x-hop"], answer.headers["gantry-egress"]]).toEqual([
      "1",
      undefined,
      undefined,
    ]);
  });

  it("passes a body of any chunks byte for byte, both ways", async () => {
    const { url, rules } = await upstream((call, answer) => void call.pipe(answer));
    const { call } = await ground.open(rules);
    for (let round = 0; round < 8; round += 1) {
      const pieces = Array.from({ length: 1 + (round % 4) * 9 }, (_, n) =>
        randomBytes(1 + ((n * 7919 * (round + 1)) % 40_000)),
      );
      const whole = Buffer.concat(pieces);
      const length = round % 2 === 0 ? { "content-length": String(whole.byteLength) } : {};
      const answer = await call(`${url}/`, { method: "POST", headers: length, body: Readable.from(pieces) });
      expect(digestOf(await buffer(answer.body))).toBe(digestOf(whole));
    }
  });

  it("answers HEAD, and what has no body, at once", async () => {
    const { url, rules } = await upstream((call, answer) => {
      answer.writeHead(call.url === "/304" ? 304 : 200, { "content-length": "5" });
      answer.end(call.method === "HEAD" ? undefined : call.url === "/304" ? undefined : "12345");
    });
    const { text } = await ground.open(rules);
    const head = await text(`${url}/`, { method: "HEAD" });
    expect([head.status, head.headers["content-length"], head.text]).toEqual([200, "5", ""]);
    expect((await text(`${url}/304`)).status).toBe(304);
  });

  it("passes a bomb as it is, compressed", async () => {
    const bomb = gzipSync(Buffer.alloc(8 << 20));
    const { url, rules } = await upstream((_call, answer) => {
      answer.writeHead(200, { "content-encoding": "gzip" });
      answer.end(bomb);
    });
    const { call } = await ground.open(rules);
    const answer = await call(`${url}/`);
    expect(answer.headers["content-encoding"]).toBe("gzip");
    expect((await buffer(answer.body)).equals(bomb)).toBe(true);
  });

  it("goes to a public address under the name, without a grant of addresses", async () => {
    ground.dns.addresses("www.example", [PUBLIC]);
    const port = await upstreams.http((call, answer) => answer.end(call.headers.host), PUBLIC_HERE);
    const { text } = await ground.open([{ hosts: ["www.example"], protocol: "http", ports: [port] }]);
    expect((await text(`http://www.example:${port}/`)).text).toBe(`www.example:${port}`);
  });

  it("passes 256 MiB whole to a guest that is slow, and does not hold them in memory", {
    timeout: 60_000,
  }, async () => {
    const bytes = 256 << 20;
    // Thirteen, so that no two neighbours and no two multiples of a buffer's size are alike.
    const pieces = Array.from({ length: 13 }, () => randomBytes(1 << 20));
    const [sent, got] = [createHash("sha256"), createHash("sha256")];
    let written = 0;
    const { url, rules } = await upstream(
      (_call, answer) => {
        answer.writeHead(200, { "content-length": String(bytes) });
        const push = (): void => {
          while (written < bytes) {
            const piece = pieces[(written >> 20) % pieces.length]!;
            written += piece.byteLength;
            sent.update(piece);
            if (!answer.write(piece)) return void answer.once("drain", push);
          }
          answer.end();
        };
        push();
      },
      { response_bytes_max: bytes },
    );
    const { call } = await ground.open(rules, {
      contract: { budgets: { egress_calls_max: 1, egress_bytes_max: bytes } },
    });
    const answer = await call(`${url}/`);
    let read = 0;
    let ahead_max = 0;
    let rss_max = 0;
    const rss = process.memoryUsage().rss;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      read += chunk.byteLength;
      got.update(chunk);
      ahead_max = Math.max(ahead_max, written - read);
      rss_max = Math.max(rss_max, process.memoryUsage().rss);
      if (read % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(read).toBe(bytes);
    expect(got.digest("hex")).toBe(sent.digest("hex"));
    // Buffers of five streams and six sockets, never the body.
    expect(ahead_max).toBeLessThan(24 << 20);
    expect(rss_max - rss).toBeLessThan(96 << 20);
  });
});

describe("an answer that breaks off", () => {
  it("is 502 before its head, and a cut connection after it, wherever it is cut", async () => {
    ground.dns.addresses("api.example", ["127.0.0.2"]);
    const whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (const end of [reset, undefined]) {
      const ports: number[] = [];
      for (let cut = 1; cut < whole.length; cut += 3)
        ports.push(await upstreams.saying(whole.slice(0, cut), end, "127.0.0.2"));
      const rules: EgressRule[] = [];
      for (let n = 0; n < ports.length; n += 16) rules.push({ ...rule(0), id: `r${n}`, ports: ports.slice(n, n + 16) });
      const { text } = await ground.open(rules);
      for (const port of ports) {
        const told = await text(`http://api.example:${port}/`).then(
          ({ status, code }) => `${status} ${code}`,
          () => "cut",
        );
        expect(told).toMatch(/^(cut|502 EGRESS_(INCOMPLETE|UPSTREAM))$/);
      }
    }
  });

  it("has no length and no end but its connection's: a reset is an error, an end is not and is noted", async () => {
    ground.dns.addresses("api.example", ["127.0.0.2"]);
    const bare = "HTTP/1.1 200 OK\r\n\r\nhello";
    const cut = await upstreams.saying(bare, reset, "127.0.0.2");
    const fine = await upstreams.saying(bare, undefined, "127.0.0.2");
    const { text, door } = await ground.open([rule(cut, { ports: [cut, fine] })]);
    await expect(text(`http://api.example:${cut}/`)).rejects.toThrow(/aborted|hang up/);
    expect((await text(`http://api.example:${fine}/`)).text).toBe("hello");
    const { log } = await door.close();
    expect(log.split("\n").filter((line) => line.includes('"unverifiable":true'))).toHaveLength(2);
  });

  it("ends the upstream's connection too when it is the guest who hangs up", async () => {
    let closed = false;
    const { url, rules } = await upstream((call, answer) => {
      call.socket.on("close", () => (closed = true));
      answer.write("begun");
    });
    const { call, door } = await ground.open(rules);
    const answer = await call(`${url}/`);
    answer.body.destroy();
    await eventually(() => closed);
    expect((await door.close()).rows).toMatchObject([{ verdict: "allowed", code: "EGRESS_INCOMPLETE" }]);
  });
});
