import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DnsServer, openDnsServer } from "../../../tests/fixtures/dns_server.ts";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { SenderRequest } from "../evidence/contract.ts";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { createDialer } from "./adapters/dialer.ts";
import { createResolver } from "./adapters/resolver.ts";
import { createOutgoing } from "./outgoing.ts";

/** A public address by its range (documented as example.com's), which tests have translated to loopback. */
const PUBLIC = "93.184.216.34";
const METADATA = "169.254.169.254";

let ends: (() => unknown)[];
let dns: DnsServer;
beforeEach(async () => {
  dns = await openDnsServer();
  ends = [() => dns.close()];
});
afterEach(async () => {
  for (const end of ends) await end();
});

function sender(o: { public_only?: boolean; clock?: Clock; self?: string } = {}) {
  const { public_only = false, clock = systemClock(), self } = o;
  const dialer = createDialer(clock, { translate: (address) => (address === PUBLIC ? "127.0.0.1" : address) });
  ends.push(() => dialer.close());
  const resolver = createResolver(clock, { servers: [dns.address] });
  return createOutgoing({ resolver, dialer, clock, nat64: [], isSelf: (address) => address === self }, { public_only });
}

async function listening(listener: RequestListener, host = "127.0.0.1"): Promise<number> {
  const server = createServer(listener).listen(0, host);
  ends.push(() => server.close() && server.closeAllConnections());
  await new Promise((resolve) => server.once("listening", resolve));
  return (server.address() as AddressInfo).port;
}

const asking = (url: string, more: Partial<SenderRequest> = {}): SenderRequest => ({
  ...{ method: "POST", url, body: "x", timeout_ms: 5_000, answer_bytes_max: 10, signal: new AbortController().signal },
  ...more,
});

describe("what is sent", () => {
  it("is the body, its length, and the headers that were given over those that are there anyway", async () => {
    const seen: unknown[] = [];
    const port = await listening(async (request, response) => {
      let body = "";
      for await (const chunk of request.setEncoding("utf8")) body += chunk;
      seen.push({ method: request.method, url: request.url, headers: request.headers, body });
      response.writeHead(201, { "content-type": "text/a" }).end("here");
    });
    const { send } = sender();
    const answer = await send(asking(`http://127.0.0.1:${port}/a?b=c#d`, { body: "\u00e9" }));
    expect(answer).toEqual({ status: 201, content_type: "text/a", body: new Uint8Array(Buffer.from("here")) });
    await send(
      asking(`http://me:p%40s@127.0.0.1:${port}/`, { headers: { "content-type": "application/json", "x-a": "1" } }),
    );
    await send(asking(`http://127.0.0.1:${port}/`, { method: "GET" }));
    const basic = `Basic ${Buffer.from("me:p@s").toString("base64")}`;
    expect(seen).toMatchObject([
      {
        ...{ method: "POST", url: "/a?b=c", body: "\u00e9" },
        headers: {
          ...{ host: `127.0.0.1:${port}`, "user-agent": "gantry", "content-length": "2" },
          "content-type": "text/plain; charset=utf-8",
        },
      },
      { headers: { "content-type": "application/json", "x-a": "1", authorization: basic } },
      { method: "GET", body: "" },
    ]);
    expect(seen[0]).not.toHaveProperty("headers.authorization");
  });

  it("follows no redirect", async () => {
    let asked = 0;
    const port = await listening((_, response) => {
      asked += 1;
      response.writeHead(302, { location: "/other" }).end();
    });
    expect((await sender().send(asking(`http://127.0.0.1:${port}/`))).status).toBe(302);
    expect(asked).toBe(1);
  });
});

describe("a sender that goes to public addresses only", () => {
  it("does not reach loopback, by address or by name, in whatever way it is written; the other one does", async () => {
    let asked = 0;
    const port = await listening((_, response) => {
      asked += 1;
      response.end("here");
    });
    for (const host of ["127.0.0.1", "localhost"]) {
      expect((await sender().send(asking(`http://${host}:${port}/`))).status).toBe(200);
    }
    const { send } = sender({ public_only: true });
    for (const host of ["127.0.0.1", "0x7f.1", "2130706433", "0177.0.0.1", "127.1", "[::1]", "[::ffff:10.0.0.1]"]) {
      await expect(send(asking(`http://${host}:${port}/`)), host).rejects.toThrow("the address is not a public one");
    }
    await expect(send(asking(`http://localhost:${port}/`))).rejects.toThrow("no answer: ADDRESS_NOT_PUBLIC");
    expect(asked).toBe(2);
  });

  it("judges the addresses that it dials: a name with one address inside has none", async () => {
    const port = await listening((_, response) => response.end("here"));
    const { send } = sender({ public_only: true });
    dns.addresses("outside.example", [PUBLIC]);
    expect((await send(asking(`http://outside.example:${port}/`))).status).toBe(200);
    dns.addresses("mixed.example", [PUBLIC, "127.0.0.1"]);
    await expect(send(asking(`http://mixed.example:${port}/`))).rejects.toThrow("no answer: ADDRESS_NOT_PUBLIC");
    await expect(send(asking(`http://nobody.example:${port}/`))).rejects.toThrow("no answer: EGRESS_UPSTREAM");
  });

  it("looks a name up each time that its answer has run out, and pins nothing else", async () => {
    const port = await listening((_, response) => response.end("here"));
    const clock = new VirtualClock();
    const { send } = sender({ public_only: true, clock });
    dns.addresses("moving.example", [PUBLIC], 1);
    expect((await send(asking(`http://moving.example:${port}/`))).status).toBe(200);
    dns.addresses("moving.example", ["127.0.0.1"], 1);
    clock.advance(2_000);
    await expect(send(asking(`http://moving.example:${port}/`))).rejects.toThrow("no answer: ADDRESS_NOT_PUBLIC");
  });
});

describe("a sender that may go inside", () => {
  it("still reaches no cloud's metadata, and not Gantry itself", async () => {
    const port = await listening((_, response) => response.end("here"));
    await expect(sender().send(asking(`http://${METADATA}/`))).rejects.toThrow("the address is not a public one");
    await expect(sender().send(asking("http://metadata.google.internal/"))).rejects.toThrow(/no answer/);
    dns.addresses("meta.example", [METADATA]);
    await expect(sender().send(asking("http://meta.example/"))).rejects.toThrow("no answer: ADDRESS_NOT_PUBLIC");
    const { send } = sender({ self: "127.0.0.1" });
    await expect(send(asking(`http://127.0.0.1:${port}/`))).rejects.toThrow("the address is not a public one");
  });

  it("tries the next address of a name while nothing has left", async () => {
    const port = await listening((_, response) => response.end("here"), "::1");
    expect((await sender().send(asking(`http://localhost:${port}/`))).status).toBe(200);
  });
});

describe("what comes back", () => {
  it("has at most as many bytes as were asked for, and the connection of a longer answer is cut", async () => {
    let is_cut = false;
    const port = await listening((request, response) => {
      if (request.url === "/whole") return void response.end("x".repeat(10));
      const write = (): void => {
        while (!response.destroyed && response.write("x".repeat(1_000)));
      };
      response.on("drain", write).on("close", () => {
        is_cut = true;
      });
      write();
    });
    const { send } = sender();
    expect((await send(asking(`http://127.0.0.1:${port}/whole`))).body.byteLength).toBe(10);
    await expect(send(asking(`http://127.0.0.1:${port}/`))).rejects.toThrow("the answer has more than 10 bytes");
    await eventually(() => is_cut, "the connection to be cut");
  });

  it("has its time, also when it drips, and the connection ends with it", async () => {
    const clock = new VirtualClock();
    let [asked, is_cut] = [false, false];
    const port = await listening((_, response) => {
      response.writeHead(200).write("a");
      response.on("close", () => {
        is_cut = true;
      });
      asked = true;
    });
    let ended: unknown;
    const going = sender({ clock })
      .send(asking(`http://127.0.0.1:${port}/`))
      .catch((error: Error) => {
        ended = error.message;
      });
    await eventually(() => asked, "the request");
    clock.advance(4_999);
    await new Promise(setImmediate);
    expect(ended).toBeUndefined();
    clock.advance(1);
    await going;
    expect(ended).toBe("no whole answer within 5 s");
    await eventually(() => is_cut, "the connection to be cut");
  });

  it("is not waited for once it is stopped", async () => {
    const stop = new AbortController();
    const { signal } = stop;
    const port = await listening(() => stop.abort());
    const { send } = sender();
    await expect(send(asking(`http://127.0.0.1:${port}/`, { signal }))).rejects.toThrow("the request was stopped");
    await expect(send(asking(`http://127.0.0.1:${port}/`, { signal }))).rejects.toThrow("the request was not begun");
  });

  it("that is no HTTP, a closed port and a connection that breaks are errors which do not name the URL", async () => {
    const raw = createTcpServer((socket) => socket.resume().end("SSH-2.0-canary\r\n")).listen(0, "127.0.0.1");
    await new Promise((resolve) => raw.once("listening", resolve));
    const { port } = raw.address() as AddressInfo;
    const { send } = sender();
    const secret = `http://u:secret@127.0.0.1:${port}/secret`;
    await expect(send(asking(secret))).rejects.toThrow(/^no answer: HPE_\w+$/);
    raw.close();
    await new Promise((resolve) => raw.once("close", resolve));
    await expect(send(asking(secret))).rejects.toThrow(/^no answer: ECONNREFUSED$/);
    const broken = await listening((_, response) => {
      response.writeHead(200, { "content-length": 100 }).write("half");
      setImmediate(() => response.destroy());
    });
    const bounds = { answer_bytes_max: 1_000 };
    await expect(send(asking(`http://127.0.0.1:${broken}/`, bounds))).rejects.toThrow(
      /^(the answer broke off|no answer): ECONNRESET$/,
    );
    for (const url of ["secret", "ftp://secret/", "http://sec ret/"]) {
      const failed = await send(asking(url)).catch((error: Error) => error.message);
      expect(failed).toMatch(/^the URL is /);
      expect(failed).not.toContain("secret");
    }
  });
});
