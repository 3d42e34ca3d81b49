import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { Agent, WebSocket } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { need } from "../../../../tests/fixtures/need.ts";
import { makeCertificate, opensslMissing } from "../../../../tests/fixtures/throwaway_certificate.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import {
  grantedLive,
  WEBSOCKET_HOST,
  WEBSOCKET_KEY,
  webSocketGround,
} from "../../../../tests/fixtures/websocket_ground.ts";
import { acceptOf, clientFrame, frame } from "../../../../tests/fixtures/websocket_server.ts";
import { makeToken } from "../../identity/token.ts";
import { GantryError } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { EGRESS_IDLE_MS_MAX, egress_errors, WEBSOCKET_MESSAGE_BYTES_MAX, WEBSOCKET_RATE_MAX } from "../contract.ts";

const HOST = WEBSOCKET_HOST;
const KEY = WEBSOCKET_KEY;
const granted = grantedLive;

const { ends, openServer, openRaw, openDoor, openGuest: open, close } = webSocketGround();
afterEach(close);

describe("a WebSocket", () => {
  it("carries messages both ways, byte for byte, and closes in order", async () => {
    const server = await openServer();
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    const guest = await open(port, `http://${HOST}:${server.port}/feed?a=1`);
    expect(guest.status).toBe(101);
    expect(guest.head).toContain(`Sec-WebSocket-Accept: ${acceptOf(KEY)}`);
    const sent = [
      clientFrame({ payload: "hello" }),
      clientFrame({ opcode: 2, payload: randomBytes(70_000) }),
      clientFrame({ fin: false, payload: "in " }),
      clientFrame({ opcode: 9, payload: "ping" }),
      clientFrame({ opcode: 0, payload: "pieces" }),
      clientFrame({ opcode: 8, payload: Buffer.from([3, 232]) }),
    ];
    for (const bytes of sent) guest.socket.write(bytes);
    await guest.over;
    const [served] = server.sockets;
    expect(served!.raw().equals(Buffer.concat(sent))).toBe(true);
    expect(guest.frames().map(({ payload }) => payload.length)).toEqual([5, 70_000, 3, 4, 6, 2]);
    await eventually(() => core.ends.length === 1);
    expect(core.ends[0]).toMatchObject({ code: null, status: 101 });
    expect(core.outcomes).toEqual([{ state: "done", status: 101 }]);
    expect(core.intents[0]!.call).toMatchObject({ method: "GET", target: { protocol: "ws", path: "/feed" } });
  });

  it("is asked for without extensions and what ends at each connection, and with all the rest", async () => {
    const server = await openServer();
    server.answer = (_, accept) =>
      `HTTP/1.1 101 Yes\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\nsec-websocket-accept: ${accept}\r\n` +
      "sec-websocket-protocol: chat\r\nset-cookie: a=b\r\ngantry-final-url: forged\r\nkeep-alive: 5\r\n\r\n";
    const { port } = await openDoor({ rules: [granted(server.port)] });
    const guest = await open(port, `ws://${HOST}:${server.port}/`.replace("ws:", "http:"), {
      "sec-websocket-extensions": "permessage-deflate",
      "sec-websocket-protocol": "chat, other",
      connection: "upgrade, x-hop",
      "x-hop": "1",
      "gantry-stamp": "forged",
      "proxy-authorization": "Basic x",
      origin: "https://app.example.com",
      cookie: "c=d",
    });
    const { headers, url } = server.sockets[0]!.call;
    expect(url).toBe("/");
    expect(headers).toEqual({
      host: `${HOST}:${server.port}`,
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": KEY,
      "sec-websocket-protocol": "chat, other",
      origin: "https://app.example.com",
      cookie: "c=d",
    });
    expect(guest.head.split("\r\n").slice(1).sort()).toEqual([
      "connection: Upgrade",
      `sec-websocket-accept: ${acceptOf(KEY)}`,
      "sec-websocket-protocol: chat",
      "set-cookie: a=b",
      "upgrade: websocket",
    ]);
  });

  it("passes on what came with the server's answer, and what the guest sent too early", async () => {
    const answer = `HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(KEY)}\r\n\r\n`;
    const server = await openRaw(Buffer.concat([Buffer.from(answer), frame({ payload: "welcome" })]));
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    const guest = await open(port, `http://${HOST}:${server.port}/`, {}, clientFrame({ payload: "early" }));
    await eventually(() => guest.frames()[0]?.payload.toString() === "welcome");
    await eventually(() => server.heard().includes(clientFrame({ payload: "early" }).toString("latin1")));
    guest.socket.destroy();
    await eventually(() => core.ends.length === 1);
    expect(core.ends[0]!.received).toBe(answer.length + frame({ payload: "welcome" }).length);
  });

  it("over TLS is held to the host's certificate", async (context) => {
    need(context, "openssl", opensslMissing());
    const certificate = await makeCertificate([HOST]);
    ends.push(() => certificate.remove());
    const server = await openServer({ tls: certificate });
    const rules = [granted(server.port, { protocol: "wss" })];
    const trusting = await openDoor({ rules, ca_files: [certificate.file] });
    const guest = await open(trusting.port, `https://${HOST}:${server.port}/`);
    guest.socket.write(clientFrame({ payload: "secret" }));
    await eventually(() => guest.frames()[0]?.payload.toString() === "secret");
    const { core, port } = await openDoor({ rules });
    const refused = await open(port, `https://${HOST}:${server.port}/`);
    expect(refused.status).toBe(502);
    expect(core.ends[0]!.code).toBe("EGRESS_TLS");
    expect(core.outcomes).toEqual([{ state: "failed" }]);
  });

  it("sends the secret in the lease's place", async () => {
    const server = await openServer();
    const lease = { token: "gl_lease", secret: "s3cret" };
    const { core, port } = await openDoor({ rules: [granted(server.port)], lease });
    const guest = await open(port, `http://${HOST}:${server.port}/`, { authorization: "Bearer gl_lease" });
    expect(guest.status).toBe(101);
    expect(server.sockets[0]!.call.headers.authorization).toBe("Bearer s3cret");
    expect([...core.live][0]!.lease).toBe("lse_test");
    server.answer = (_, accept) =>
      `HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nx-echo: s3cret\r\n\r\n`;
    const echoed = await open(port, `http://${HOST}:${server.port}/`, { authorization: "Bearer gl_lease" });
    expect(echoed.status).toBe(502);
    expect(echoed.head + echoed.raw()).not.toContain("s3cret");
    expect(core.ends[0]!.code).toBe("EGRESS_SECRET_ECHO");
    server.answer = () => "HTTP/1.1 403 No\r\ncontent-length: 12\r\n\r\nnot s3cret !";
    const body = await open(port, `http://${HOST}:${server.port}/`, { authorization: "Bearer gl_lease" });
    expect(body.status).toBe(502);
  });

  it("does not carry our own tokens, masked as they are", async () => {
    const server = await openServer();
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    const guest = await open(port, `http://${HOST}:${server.port}/`);
    const token = makeToken("agt", systemRandom());
    guest.socket.write(clientFrame({ fin: false, payload: `take ${token.slice(0, 20)}` }));
    await eventually(() => server.sockets[0]!.frames.length === 1);
    guest.socket.write(clientFrame({ opcode: 0, payload: token.slice(20) }));
    await guest.over;
    expect(core.ends).toMatchObject([{ code: "EGRESS_OWN_TOKEN" }]);
    expect(server.sockets[0]!.frames.length).toBe(1);
    expect(guest.frames().at(-1)!.payload.subarray(2).toString()).toBe("EGRESS_OWN_TOKEN");
  });
});

describe("undici's WebSocket", () => {
  it("speaks through the door, and is told why it was closed", async () => {
    const server = await openServer();
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    const dispatcher = new Agent({
      connect: (_, callback) => {
        const socket = connect(port, "127.0.0.1", () => callback(null, socket));
      },
    });
    ends.push(() => dispatcher.close());
    const socket = new WebSocket(`ws://${HOST}:${server.port}/`, { dispatcher });
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    expect(socket.extensions).toBe("");
    const answered = new Promise((resolve) => socket.addEventListener("message", ({ data }) => resolve(data)));
    socket.send("hello");
    expect(await answered).toBe("hello");
    const closed = new Promise<{ code: number; reason: string }>((resolve) =>
      socket.addEventListener("close", resolve),
    );
    socket.send("a".repeat(WEBSOCKET_MESSAGE_BYTES_MAX + 1));
    expect(await closed).toMatchObject({ code: 1009, reason: "EGRESS_SIZE" });
    expect(core.ends).toMatchObject([{ code: "EGRESS_SIZE" }]);
  });
});

describe("a WebSocket is closed", () => {
  async function floodWith(...bytes: Buffer[]) {
    const server = await openServer();
    server.serve = () => {};
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    const guest = await open(port, `http://${HOST}:${server.port}/`);
    for (const each of bytes) guest.socket.write(each);
    await guest.over;
    await eventually(() => core.ends.length === 1);
    const [close] = guest.frames();
    expect(close).toMatchObject({ opcode: 8 });
    expect(close!.payload.subarray(2).toString()).toBe(core.ends[0]!.code);
    expect(core.outcomes).toEqual([{ state: "unknown" }]);
    return { code: core.ends[0]!.code, close: close!.payload.readUInt16BE(0), frames: server.sockets[0]!.frames };
  }

  it("when the guest sends more than WEBSOCKET_RATE_MAX messages in a second", async () => {
    const flood = Array.from({ length: WEBSOCKET_RATE_MAX * 3 }, () => clientFrame({ payload: "x" }));
    const { code, close, frames } = await floodWith(...flood);
    expect([code, close]).toEqual(["EGRESS_BUDGET", 1008]);
    expect(frames.length).toBeLessThanOrEqual(WEBSOCKET_RATE_MAX);
  });

  it("when a message is larger than WEBSOCKET_MESSAGE_BYTES_MAX, in one frame or in several", async () => {
    const half = Buffer.alloc(WEBSOCKET_MESSAGE_BYTES_MAX / 2 + 1);
    const one = await floodWith(clientFrame({ payload: Buffer.concat([half, half]) }));
    expect([one.code, one.close, one.frames]).toEqual(["EGRESS_SIZE", 1009, []]);
    const two = await floodWith(clientFrame({ fin: false, payload: half }), clientFrame({ opcode: 0, payload: half }));
    expect([two.code, two.close]).toEqual(["EGRESS_SIZE", 1009]);
  });

  it("when the guest breaks the protocol", async () => {
    expect(await floodWith(clientFrame({ rsv: 4 }))).toMatchObject({ code: "EGRESS_BAD_REQUEST", close: 1002 });
    expect(await floodWith(frame({ payload: "unmasked" }))).toMatchObject({ code: "EGRESS_BAD_REQUEST" });
  });

  it("when the server breaks it, or sends too much at once", async () => {
    for (const [bytes, code] of [
      [frame({ rsv: 4 }), "EGRESS_UPSTREAM"],
      [frame({ length: BigInt(WEBSOCKET_MESSAGE_BYTES_MAX + 1) }), "EGRESS_SIZE"],
    ] as const) {
      const server = await openServer();
      const { core, port } = await openDoor({ rules: [granted(server.port)] });
      const guest = await open(port, `http://${HOST}:${server.port}/`);
      server.sockets[0]!.socket.write(bytes);
      await guest.over;
      expect(core.ends).toMatchObject([{ code }]);
      expect(guest.raw().includes(bytes)).toBe(false);
    }
  });

  it("when nothing comes for EGRESS_IDLE_MS_MAX", async () => {
    const server = await openServer();
    const clock = new VirtualClock();
    const { core, port } = await openDoor({ rules: [granted(server.port)] }, clock);
    const guest = await open(port, `http://${HOST}:${server.port}/`);
    server.sockets[0]!.socket.write(frame({ fin: false, payload: "half a message" }).subarray(0, 5));
    await eventually(() => guest.raw().length === 5);
    clock.advance(EGRESS_IDLE_MS_MAX);
    await guest.over;
    expect(core.ends).toMatchObject([{ code: "EGRESS_TIME" }]);
    expect(guest.raw().length).toBe(5);
  });

  it("with the run, and when the server is gone", async () => {
    const server = await openServer();
    const { core, port } = await openDoor({ rules: [granted(server.port)] });
    const guest = await open(port, `http://${HOST}:${server.port}/`);
    core.stop(new GantryError(egress_errors.FENCED, { detail: "A newer attempt is there." }));
    await guest.over;
    const other = await open(port, `http://${HOST}:${server.port}/`);
    (server.sockets[1]!.socket as Socket).resetAndDestroy();
    await other.over;
    await eventually(() => core.ends.length === 2);
    expect(core.ends.map(({ code }) => code)).toEqual(["EGRESS_FENCED", "EGRESS_INCOMPLETE"]);
  });
});
