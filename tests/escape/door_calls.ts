import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  BLOCK_BYTES,
  BLOCK_SOURCE,
  BLOCKS,
  block,
  type DoorGround,
  echoWebSocket,
  hashOfBlocks,
  LONG_MS,
  MB,
  ok,
  ROOMY,
  seeingDoor,
} from "./doors.ts";

/** Buffers of both kernels' ends, of the engine and of Node, on the way of one stream. */
const ON_THE_WAY_BYTES_MAX = 8 * MB;
/** What this process may grow by while 64 MiB pass in both directions. */
const GROWTH_BYTES_MAX = 48 * MB;

/** What a guest calls by HTTP, and the bodies of that. */
export function doorCalls({ guest }: DoorGround): void {
  describe("calls", () => {
    it("arrive with method, scheme, host, port and path as the guest wrote them", async () => {
      const door = seeingDoor({ request: ok });
      const calls = [
        ["GET", "http://api.test/a?b=1"],
        ["GET", "https://api.test/a"],
        ["GET", "https://api.test:8443/a%2Fb?x=%20"],
        ["DELETE", "http://api.test:81/a//b"],
        ["GET", "http://10.0.0.1/"],
        ["GET", "http://[2001:db8::1]:8080/"],
      ];
      await guest(door, "for (const [method, url] of input) await (await fetch(url, { method })).text();", {
        input: calls,
      });
      expect(door.seen.map(({ method, url }) => [method, url])).toEqual(calls);
    });

    it("of node:http and node:https arrive as well", async () => {
      const door = seeingDoor({ request: ok });
      const body = `const get = (module, url) => new Promise((resolve, reject) =>
          module.get(url, (answer) => { answer.resume(); answer.on("end", resolve); }).on("error", reject));
        await get(http, "http://api.test:8080/n?x=1"); await get(https, "https://api.test/n");`;
      await guest(door, body, { head: 'import http from "node:http"; import https from "node:https";' });
      expect(door.seen.map(({ url }) => url)).toEqual(["http://api.test:8080/n?x=1", "https://api.test/n"]);
    });

    it("of node:dns arrive as DNS over HTTPS", async () => {
      const door = seeingDoor({
        request: (call, answer) => {
          const name = new URL(call.url ?? "").searchParams.get("name");
          const body = {
            Status: 0,
            Question: [{ name, type: 1 }],
            Answer: [{ name, type: 1, TTL: 60, data: "192.0.2.7" }],
          };
          answer.writeHead(200, { "content-type": "application/dns-json" }).end(JSON.stringify(body));
        },
      });
      const told = await guest(door, "return dns.promises.resolve4('name.test');", {
        head: 'import dns from "node:dns";',
      });
      expect(told).toEqual(["192.0.2.7"]);
      expect(door.seen.map(({ url }) => url)).toEqual(["https://cloudflare-dns.com/dns-query?name=name.test&type=A"]);
      expect(door.seen[0]?.headers.accept).toBe("application/dns-json");
    });

    it("that a redirect leads to are calls of their own", async () => {
      const door = seeingDoor({
        request: (call, answer) => {
          if (call.url !== "http://a.test/1") return ok(call, answer);
          answer.writeHead(302, { location: "https://b.test:99/2" }).end();
        },
      });
      const told = await guest(
        door,
        `const [followed, told] = [await fetch("http://a.test/1"), await fetch("http://a.test/1", { redirect: "manual" })];
        return [followed.url, await followed.text(), told.status, told.headers.get("location")];`,
      );
      expect(told).toEqual(["https://b.test:99/2", "ok", 302, "https://b.test:99/2"]);
      expect(door.seen.map(({ url }) => url)).toEqual(["http://a.test/1", "https://b.test:99/2", "http://a.test/1"]);
    });

    it("carry no stamp, and no other door's name, whatever the guest sets", async () => {
      const door = seeingDoor({ request: ok, upgrade: echoWebSocket });
      const headers = {
        "gantry-stamp": "0".repeat(32),
        "Gantry-Door": "bindings",
        "gantry-redirect": "follow",
        "x-mine": "2",
      };
      const told = await guest(
        door,
        `const answer = await fetch("https://api.test/", { headers: input });
        const { webSocket } = await fetch("https://api.test/", { headers: { ...input, upgrade: "websocket" } });
        webSocket.accept(); webSocket.close();
        return [answer.status, await answer.text()];`,
        { input: headers },
      );
      expect(told).toEqual([200, "ok"]);
      expect(door.seen).toHaveLength(2);
      for (const { headers, raw, distinct } of door.seen) {
        expect(headers).toMatchObject({ "gantry-redirect": "follow", "x-mine": "2" });
        const names = raw.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
        for (const name of ["gantry-stamp", "gantry-door"]) {
          expect(names).not.toContain(name);
          expect(headers).not.toHaveProperty(name);
          expect(distinct).not.toHaveProperty(name);
        }
      }
    });
  });

  describe("bodies", () => {
    it("of 64 MiB pass byte for byte in both directions, through a memory that stays flat", {
      timeout: LONG_MS,
    }, async () => {
      const uploaded = createHash("sha256");
      let most = 0;
      const door = seeingDoor({
        request: (call, answer) => {
          answer.writeHead(200);
          call.on("data", (chunk: Buffer) => {
            uploaded.update(chunk);
            most = Math.max(most, process.memoryUsage.rss());
          });
          call.pipe(answer);
        },
      });
      const before = process.memoryUsage.rss();
      const body = `let at = 0, bytes = 0;
        const sent = new ReadableStream({ type: "bytes", async pull(c) {
          if (at % 128 === 0) await scheduler.wait(5);
          if (at === BLOCKS) c.close(); else c.enqueue(block(at++)); } });
        const hash = createHash("sha256");
        const answer = await fetch("https://api.test/", { method: "POST", body: sent });
        for await (const chunk of answer.body) {
          hash.update(chunk); bytes += chunk.length;
          if (bytes % ${4 * MB} < chunk.length) await scheduler.wait(5);
        }
        return [bytes, hash.digest("hex")];`;
      const head = `import { createHash } from "node:crypto"; ${BLOCK_SOURCE}`;
      const told = await guest(door, body, { head, limits: ROOMY });
      const hash = hashOfBlocks();
      expect(told).toEqual([BLOCKS * BLOCK_BYTES, hash]);
      expect(uploaded.digest("hex")).toBe(hash);
      expect(most - before).toBeLessThan(GROWTH_BYTES_MAX);
    });

    it("wait for who reads them, in both directions", async () => {
      let sent = 0;
      let held: IncomingMessage | undefined;
      const door = seeingDoor({
        request: (call, answer) => {
          if (call.method === "POST") {
            held = call; // is not read
            return;
          }
          answer.writeHead(200);
          const more = (): void => {
            let goes_on = !answer.destroyed;
            for (; goes_on; sent += BLOCK_BYTES) goes_on = answer.write(block(0));
          };
          answer.on("drain", more);
          more();
        },
      });
      const told = await guest(
        door,
        `const { body } = await fetch("http://api.test/");
        const reader = body.getReader(); await reader.read();
        let made = 0;
        const leave = new AbortController();
        const endless = new ReadableStream({ pull(c) { made += BLOCK_BYTES; c.enqueue(block(0)); } });
        const up = fetch("http://api.test/", { method: "POST", body: endless, signal: leave.signal }).catch(() => {});
        await scheduler.wait(500);
        leave.abort(); await reader.cancel(); await up;
        return made;`,
        { head: BLOCK_SOURCE },
      );
      expect(held).toBeDefined();
      expect(sent).toBeGreaterThan(0);
      expect(sent).toBeLessThan(ON_THE_WAY_BYTES_MAX);
      expect(told).toBeGreaterThan(0);
      expect(told).toBeLessThan(ON_THE_WAY_BYTES_MAX);
    });

    it("that break off are an error to whoever reads them, never a short success", async () => {
      const breaks: Record<string, (answer: ServerResponse, socket: Duplex) => void> = {
        "a length that lies, reset": (answer) =>
          void answer.writeHead(200, { "content-length": 1_000 }).write("x".repeat(100), () => answer.destroy()),
        "a length that lies, ended": (answer, socket) =>
          void answer.writeHead(200, { "content-length": 1_000 }).write("x".repeat(100), () => socket.end()),
        "no last chunk, reset": (answer) => void answer.writeHead(200).write("x".repeat(100), () => answer.destroy()),
        "no last chunk, ended": (answer, socket) =>
          void answer.writeHead(200).write("x".repeat(100), () => socket.end()),
        "a chunk that is none": (_answer, socket) =>
          void socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\nzz\r\n"),
        "a head without a body": (answer, socket) => {
          answer.writeHead(200, { "content-length": 10 }).flushHeaders();
          socket.end();
        },
        "no head": (answer) => void answer.destroy(),
      };
      const door = seeingDoor({
        request: (call, answer) => {
          const name = decodeURIComponent(new URL(call.url ?? "").pathname.slice(1));
          const breakOff = breaks[name];
          if (breakOff === undefined) answer.end("whole");
          else breakOff(answer, call.socket);
        },
      });
      const body = `const ways = {
          text: async (url) => (await fetch(url)).text(),
          stream: async (url) => { let n = 0; for await (const c of (await fetch(url)).body) n += c.length; return n; },
          late: async (url) => { const a = await fetch(url); await scheduler.wait(20); return (await a.arrayBuffer()).byteLength; },
          node: (url) => new Promise((resolve, reject) => http.get(url, (answer) => {
            let n = 0; answer.on("data", (d) => { n += d.length; }).on("error", reject).on("end", () => resolve(n)); }).on("error", reject)),
        };
        const told = {};
        for (const name of input) for (const [how, way] of Object.entries(ways)) {
          const was = await way("http://api.test/" + encodeURIComponent(name)).then((v) => "short: " + v, () => "error");
          told[name + ", " + how] = was;
        }
        return told;`;
      const told = (await guest(door, body, {
        head: 'import http from "node:http";',
        input: [...Object.keys(breaks), "whole"],
      })) as Record<string, string>;
      const whole = Object.entries(told).filter(([name]) => name.startsWith("whole"));
      expect(whole.map(([, was]) => was)).toEqual(["short: whole", "short: 5", "short: 5", "short: 5"]);
      const broken = Object.entries(told).filter(([name]) => !name.startsWith("whole"));
      expect(broken).toHaveLength(4 * Object.keys(breaks).length);
      expect(broken.filter(([, was]) => was !== "error")).toEqual([]);
    });
  });
}
