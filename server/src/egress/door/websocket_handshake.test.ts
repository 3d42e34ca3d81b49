import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import {
  grantedLive,
  WEBSOCKET_HOST,
  WEBSOCKET_KEY,
  webSocketGround,
} from "../../../../tests/fixtures/websocket_ground.ts";
import { acceptOf } from "../../../../tests/fixtures/websocket_server.ts";
import { GantryError } from "../../kernel/errors.ts";
import {
  EGRESS_FIRST_BYTE_MS_MAX,
  EGRESS_HEADER_BYTES_MAX,
  egress_errors,
  WEBSOCKET_ANSWER_BYTES_MAX,
} from "../contract.ts";

const HOST = WEBSOCKET_HOST;
const KEY = WEBSOCKET_KEY;
const granted = grantedLive;

const { openRaw, openServer, openDoor, openGuest: open, close } = webSocketGround();
afterEach(close);

describe("a WebSocket handshake", () => {
  it.each([
    ["http://evil.example.com/", {}, 403, "EGRESS_HOST"],
    [`https://${HOST}:1/`, {}, 403, "EGRESS_PROTO"],
    [`http://${HOST}:1/`, { upgrade: "h2c" }, 400, "EGRESS_BAD_REQUEST"],
    [`http://${HOST}:1/`, { "sec-websocket-key": "short" }, 400, "EGRESS_BAD_REQUEST"],
    [`http://${HOST}:1/`, { "sec-websocket-version": "8" }, 400, "EGRESS_BAD_REQUEST"],
    [`http://${HOST}:1/`, { "content-length": "3" }, 400, "EGRESS_BAD_REQUEST"],
    [`http://${HOST}:1/`, { host: "evil.example.com" }, 400, "EGRESS_BAD_REQUEST"],
    [`http://u:p@${HOST}:1/`, {}, 400, "EGRESS_BAD_REQUEST"],
  ])("to %s with %j gets %i %s, and nothing is dialled", async (url, headers, status, code) => {
    const { core, port } = await openDoor({ rules: [granted(1)] });
    const guest = await open(port, url, headers as Record<string, string>);
    await guest.over;
    expect(guest.status).toBe(status);
    expect(guest.head).toContain(`code=${code}`);
    expect(JSON.parse(guest.raw().toString())).toMatchObject({ code });
    expect(core.counted).toMatchObject([{ verdict: "denied", code }]);
    expect([core.intents, core.ends]).toEqual([[], []]);
  });

  it("that is refused by what looks at heads leaves nothing behind", async () => {
    const server = await openServer();
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    (core as { guards: unknown }).guards = {
      head() {
        throw new GantryError(egress_errors.OWN_TOKEN, { detail: "One of ours." });
      },
    };
    const guest = await open(port, `http://${HOST}:${server.port}/`);
    expect(guest.status).toBe(403);
    expect([core.ends.map(({ code }) => code), core.intents, server.sockets]).toEqual([["EGRESS_OWN_TOKEN"], [], []]);
  });

  it.each([
    ["with a length", "HTTP/1.1 401 No\r\nwww-authenticate: Basic\r\ncontent-length: 4\r\n\r\nnope", "stay"],
    [
      "in chunks",
      "HTTP/1.1 401 No\r\nwww-authenticate: Basic\r\ntransfer-encoding: chunked\r\n\r\n2;x=1\r\nno\r\n2\r\npe\r\n0\r\nt: 1\r\n\r\n",
      "stay",
    ],
    ["up to its end", "HTTP/1.1 401 No\r\nwww-authenticate: Basic\r\n\r\nnope", "end"],
    [
      "after interim ones",
      "HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 401 No\r\nwww-authenticate: Basic\r\ncontent-length: 4\r\n\r\nnope",
      "stay",
    ],
  ] as const)("that opens nothing has an ordinary answer: %s", async (_, answer, then) => {
    const server = await openRaw(answer, then);
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    const guest = await open(port, `http://${HOST}:${server.port}/`);
    await guest.over;
    expect(guest.status).toBe(401);
    expect(guest.head).toContain("www-authenticate: Basic");
    expect(guest.raw().toString()).toBe("nope");
    expect(core.ends).toMatchObject([{ code: null, status: 401 }]);
    expect(core.outcomes).toEqual([{ state: "done", status: 401 }]);
  });

  it("that is to be tried again later is an effect that was rejected", async () => {
    const server = await openRaw("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    expect((await open(port, `http://${HOST}:${server.port}/`)).status).toBe(503);
    expect(core.outcomes).toEqual([{ state: "rejected", status: 503 }]);
  });

  const switching = (more: string) => `HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${more}\r\n`;
  const accepted = `Sec-WebSocket-Accept: ${acceptOf(KEY)}\r\n`;
  it.each([
    ["no accept", switching(""), "EGRESS_UPSTREAM"],
    ["another accept", switching("Sec-WebSocket-Accept: AAAA\r\n"), "EGRESS_UPSTREAM"],
    ["extensions", switching(`${accepted}Sec-WebSocket-Extensions: permessage-deflate\r\n`), "EGRESS_UPSTREAM"],
    ["a subprotocol", switching(`${accepted}Sec-WebSocket-Protocol: chat\r\n`), "EGRESS_UPSTREAM"],
    ["no upgrade", `HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\n${accepted}\r\n`, "EGRESS_UPSTREAM"],
    ["no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", "EGRESS_UPSTREAM"],
    ["a folded field", switching(`${accepted}x: a\r\n b\r\n`), "EGRESS_UPSTREAM"],
    [
      "a body of two lengths",
      "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "EGRESS_UPSTREAM",
    ],
    ["a chunk that is none", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", "EGRESS_UPSTREAM"],
    ["a head that is too long", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(EGRESS_HEADER_BYTES_MAX)}\r\n\r\n`, "EGRESS_SIZE"],
    [
      "a body that is too long",
      `HTTP/1.1 200 OK\r\ncontent-length: ${WEBSOCKET_ANSWER_BYTES_MAX + 1}\r\n\r\n`,
      "EGRESS_SIZE",
    ],
  ])("that is answered with %s fails", async (_, answer, code) => {
    const server = await openRaw(answer);
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    const guest = await open(port, `http://${HOST}:${server.port}/`);
    expect(guest.head).toContain(`code=${code}`);
    expect(core.ends).toMatchObject([{ code }]);
    expect(core.outcomes).toEqual([{ state: "unknown" }]);
  });

  it("may be answered with WEBSOCKET_ANSWER_BYTES_MAX bytes", async () => {
    const body = "a".repeat(WEBSOCKET_ANSWER_BYTES_MAX);
    for (const [head, then] of [
      [`content-length: ${body.length}\r\n`, "stay"],
      ["", "end"],
    ] as const) {
      const server = await openRaw(`HTTP/1.1 200 OK\r\n${head}\r\n${body}`, then);
      const { port } = await openDoor({ rules: [granted(server.port)] });
      const guest = await open(port, `http://${HOST}:${server.port}/`);
      await guest.over;
      expect(guest.raw().length).toBe(body.length);
    }
    const long = await openRaw(`HTTP/1.1 200 OK\r\n\r\n${body}b`, "end");
    const { port } = await openDoor({ rules: [granted(long.port)] });
    expect((await open(port, `http://${HOST}:${long.port}/`)).status).toBe(413);
  });

  it("whose answer breaks off, or does not come, fails", async () => {
    const server = await openRaw("HTTP/1.1 101 Y", "end");
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    expect((await open(port, `http://${HOST}:${server.port}/`)).head).toContain("EGRESS_INCOMPLETE");
    const short = await openRaw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "end");
    const second = await openDoor({ rules: [granted(short.port)] });
    expect((await open(second.port, `http://${HOST}:${short.port}/`)).head).toContain("EGRESS_INCOMPLETE");
    expect(core.outcomes).toEqual([{ state: "unknown" }]);
    const silent = await openRaw("");
    const clock = new VirtualClock();
    const third = await openDoor({ rules: [granted(silent.port)] }, clock);
    const waiting = open(third.port, `http://${HOST}:${silent.port}/`);
    await eventually(() => silent.heard() !== "");
    clock.advance(EGRESS_FIRST_BYTE_MS_MAX);
    expect((await waiting).status).toBe(504);
  });
});
