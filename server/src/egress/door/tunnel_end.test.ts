import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { need } from "../../../../tests/fixtures/need.ts";
import { ownPostgresMissing, startPostgres } from "../../../../tests/fixtures/postgres.ts";
import { makeCertificate, opensslMissing } from "../../../../tests/fixtures/throwaway_certificate.ts";
import {
  granted,
  TUNNEL_ADDRESS,
  TUNNEL_HOST,
  tunnelEnded,
  tunnelGround,
} from "../../../../tests/fixtures/tunnel_ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { EGRESS_IDLE_MS_MAX, egress_errors } from "../contract.ts";

const HOST = TUNNEL_HOST;
const ADDRESS = TUNNEL_ADDRESS;
const ended = tunnelEnded;

const { ends, openFarEnd, openDoor, tunnelTo, close } = tunnelGround();
afterEach(close);

describe("a tunnel that is refused before it is open", () => {
  it.each([
    ["evil.example.com:443", 403, "EGRESS_HOST"],
    ["db.example.com:1", 403, "EGRESS_PORT"],
    ["web.example.com:443", 403, "EGRESS_PROTO"],
    ["db.example.com", 400, "EGRESS_BAD_REQUEST"],
    ["user@db.example.com:443", 400, "EGRESS_BAD_REQUEST"],
    ["169.254.169.254:80", 403, "EGRESS_METADATA"],
  ])("to %s gets %i %s", async (authority, status, code) => {
    const web: EgressRule = { hosts: ["web.example.com"], protocol: "https" };
    const { core, port } = await openDoor({ rules: [granted("tcp", 5432), web] });
    const tunnel = await tunnelTo(port, authority);
    expect(await tunnel.over).toBe("end");
    expect(tunnel.status).toBe(status);
    expect(tunnel.head).toContain(`gantry-egress: ${status === 400 ? "failed" : "denied"}; code=${code}`);
    expect(tunnel.head).toContain("content-type: application/problem+json");
    expect(JSON.parse(tunnel.got())).toMatchObject({ code, status });
    expect(core.counted).toMatchObject([{ method: "CONNECT", verdict: "denied", code }]);
    expect([core.intents, core.ends]).toEqual([[], []]);
  });

  it("because nobody answers is told so, and its effect never was", async () => {
    const { core, port } = await openDoor({ rules: [granted("tcp", 1)] });
    const tunnel = await tunnelTo(port, `${HOST}:1`);
    expect(tunnel.status).toBe(502);
    expect(tunnel.head).toContain("gantry-egress: failed; code=EGRESS_UPSTREAM");
    expect(core.outcomes).toEqual([{ state: "failed" }]);
    expect(core.ends).toMatchObject([{ code: "EGRESS_UPSTREAM" }]);
  });

  it("because its intent could not be recorded is not dialled", async () => {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    core.refuse_intents = new GantryError(egress_errors.LEDGER, { detail: "The ledger cannot be written." });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    expect(tunnel.status).toBe(503);
    expect(core.ends).toMatchObject([{ code: "EGRESS_LEDGER" }]);
    expect([core.outcomes, far.sockets]).toEqual([[], []]);
  });

  it("because another attempt has taken over while it was dialled carries nothing", async () => {
    const far = await openFarEnd();
    const clock = new VirtualClock();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] }, clock);
    const dial = core.dialer.connect;
    core.dialer.connect = async (to) => {
      const socket = await dial(to);
      clock.advance(2_001);
      return socket;
    };
    core.effects.demandCurrent = async () => {
      throw new GantryError(egress_errors.FENCED, { detail: "A newer attempt is there." });
    };
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    expect(tunnel.status).toBe(409);
    expect(core.outcomes).toEqual([{ state: "failed" }]);
    await eventually(() => far.sockets[0]?.readableEnded === true || far.sockets[0]?.destroyed === true);
  });
});

describe("a tunnel's end", () => {
  it("comes when nothing moves for EGRESS_IDLE_MS_MAX, and not while one side sends", async () => {
    const far = await openFarEnd();
    const clock = new VirtualClock();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] }, clock);
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    for (let n = 1; n <= 3; n += 1) {
      clock.advance(EGRESS_IDLE_MS_MAX - 1);
      far.sockets[0]!.write("x");
      await eventually(() => tunnel.got().length === n);
    }
    clock.advance(EGRESS_IDLE_MS_MAX - 1);
    expect(core.ends).toEqual([]);
    clock.advance(1);
    expect(await tunnel.over).toBe("ECONNRESET");
    expect(core.ends).toMatchObject([{ code: "EGRESS_TIME" }]);
  });

  it("comes when one side takes nothing, however much the other sends", async () => {
    const far = await openFarEnd((socket) => socket.pause());
    const clock = new VirtualClock();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] }, clock);
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    // The far end does not read, so that its window fills; the other direction stays alive.
    const chunk = Buffer.alloc(1024 * 1024, 97);
    const written: Promise<unknown>[] = [];
    for (let n = 0; n < 16; n += 1) written.push(new Promise((resolve) => tunnel.socket.write(chunk, resolve)));
    await eventually(() => tunnel.socket.writableLength > 0 && core.live.size === 1);
    // Kernels take a little more for a while: the clock of a stall starts when they have enough.
    await eventually(async () => {
      const before = tunnel.got().length;
      far.sockets[0]!.write("beat");
      await eventually(() => tunnel.got().length > before || core.ends.length > 0);
      clock.advance(EGRESS_IDLE_MS_MAX / 3);
      return core.ends.length > 0;
    });
    expect(core.ends).toMatchObject([{ code: "EGRESS_TIME", status: 200 }]);
    expect(core.outcomes).toEqual([{ state: "unknown" }]);
  });

  it("comes with the run's, at once", async () => {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`, "hello");
    await eventually(() => far.heard() === "hello");
    core.stop(new GantryError(egress_errors.FENCED, { detail: "A newer attempt is there." }));
    expect(await tunnel.over).not.toBe("end");
    await ended(core);
    expect(core.ends).toMatchObject([{ code: "EGRESS_FENCED", sent: 5 }]);
    expect(core.outcomes).toEqual([{ state: "unknown" }]);
  });

  it("comes with the budget's", async () => {
    const far = await openFarEnd((socket) => socket.write(Buffer.alloc(600)));
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)], bytes_max: 1_000 });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    await eventually(() => tunnel.got().length === 600);
    tunnel.socket.write(Buffer.alloc(401));
    expect(await tunnel.over).not.toBe("end");
    await ended(core);
    expect(core.ends).toMatchObject([{ code: "EGRESS_BUDGET" }]);
    expect(far.heard()).toBe("");
  });

  it("by the far end's reset is a failure, by the guest's none", async () => {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const first = await tunnelTo(port, `${HOST}:${far.port}`, "hello");
    await eventually(() => far.heard() === "hello");
    far.sockets[0]!.resetAndDestroy();
    expect(await first.over).not.toBe("end");
    const second = await tunnelTo(port, `${HOST}:${far.port}`);
    second.socket.resetAndDestroy();
    await eventually(() => core.ends.length === 2);
    expect(core.ends.map(({ code }) => code)).toEqual(["EGRESS_INCOMPLETE", null]);
    expect(core.outcomes).toEqual([{ state: "unknown" }, { state: "failed" }]);
    await eventually(() => far.sockets.every(({ destroyed, readableEnded }) => destroyed || readableEnded));
  });
});

describe("tunnels", () => {
  it("hold no more of a stream than sockets do when its reader is slow", async () => {
    const total = 64 * 1024 * 1024;
    const chunk = Buffer.alloc(1024 * 1024);
    let taken = 0;
    const far = await openFarEnd((socket) => {
      const more = (): void => {
        while (taken < total) {
          taken += chunk.length;
          if (!socket.write(chunk)) return void socket.once("drain", more);
        }
        socket.end();
      };
      more();
    });
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const { socket } = await tunnelTo(port, `${HOST}:${far.port}`);
    socket.removeAllListeners("data");
    socket.pause();
    let before = -1;
    await eventually(() => {
      const is_still = taken === before;
      before = taken;
      return is_still && taken > 0;
    });
    expect(taken).toBeLessThan(total / 2);
    let got = 0;
    socket.on("data", (bytes) => {
      got += bytes.length;
    });
    const closed = once(socket, "close");
    socket.resume();
    socket.end();
    await ended(core);
    await closed;
    expect([core.ends[0]!.received, core.ends[0]!.code]).toEqual([total, null]);
    expect(got).toBeGreaterThan(total - 16 * 1024 * 1024);
  });

  it("are as many at once as the door lets out, and the rest are told", async () => {
    const far = await openFarEnd((socket) => socket.on("end", () => socket.end()));
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)], calls_max: 32 });
    const tunnels = await Promise.all(Array.from({ length: 500 }, () => tunnelTo(port, `${HOST}:${far.port}`)));
    const open = tunnels.filter(({ status }) => status === 200);
    expect(open.length).toBe(32);
    expect(tunnels.filter(({ status }) => status === 503).length).toBe(468);
    for (const { socket } of open) socket.end();
    await eventually(() => core.ends.length === 32);
    expect((await tunnelTo(port, `${HOST}:${far.port}`)).status).toBe(200);
  });
});

describe("real clients", () => {
  it("psql asks a server through a granted tunnel", async (context) => {
    need(context, "postgres", ownPostgresMissing());
    const postgres = await startPostgres({ own: true });
    ends.push(() => postgres.remove());
    const socket_path = `${postgres.process!.socket}/.s.PGSQL.5432`;
    // The server listens on a unix socket alone: a port of the granted address leads there.
    const far = await openFarEnd((socket) => {
      const inner = connect(socket_path);
      inner.on("error", () => socket.destroy());
      socket.pipe(inner).pipe(socket);
    });
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    // psql speaks no CONNECT: a listener of the guest's own opens the tunnel.
    const local = createServer(async (client) => {
      const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
      tunnel.socket.removeAllListeners("data");
      client.pipe(tunnel.socket).pipe(client);
    });
    local.listen(0, "127.0.0.1");
    await once(local, "listening");
    ends.push(() => local.close());
    const url = `postgres://gantry@127.0.0.1:${(local.address() as AddressInfo).port}/postgres`;
    const { stdout } = await promisify(execFile)("psql", ["-At", url, "-c", "SELECT 6 * 7"]);
    expect(stdout.trim()).toBe("42");
    await ended(core);
    expect(core.ends[0]).toMatchObject({ code: null, status: 200 });
  });

  it("openssl s_client reaches the granted host with its proxy option, and no other name", async (context) => {
    need(context, "openssl", opensslMissing());
    const certificate = await makeCertificate([HOST]);
    ends.push(() => certificate.remove());
    const server = createTlsServer({ key: certificate.key, cert: certificate.cert }, (socket) => socket.end("served"));
    server.listen(0, ADDRESS);
    await once(server, "listening");
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    const far = (server.address() as AddressInfo).port;
    const { core, port } = await openDoor({ rules: [granted("tls", far)] });
    const ask = async (name: string) => {
      const to = ["-connect", `${HOST}:${far}`, "-servername", name, "-CAfile", certificate.file];
      const client = spawn("/usr/bin/openssl", ["s_client", "-proxy", `127.0.0.1:${port}`, ...to], { stdio: "pipe" });
      let out = "";
      client.stdout.on("data", (chunk) => {
        out += chunk;
      });
      client.stdin.on("error", () => {});
      const exit = once(client, "exit");
      await eventually(() => out.includes("served") || client.exitCode !== null);
      client.stdin.end();
      await exit;
      return out;
    };
    expect(await ask(HOST)).toMatch(/Verify return code: 0 \(ok\)[\s\S]*served/);
    expect(await ask("evil.example.com")).not.toContain("served");
    await eventually(() => core.ends.length === 2);
    expect(core.ends[1]!.code).toBe("EGRESS_SNI_MISMATCH");
  });
});
