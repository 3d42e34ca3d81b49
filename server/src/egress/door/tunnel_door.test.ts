import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { helloFor } from "../../../../tests/fixtures/client_hellos.ts";
import { openDnsServer } from "../../../../tests/fixtures/dns_server.ts";
import { openEffects } from "../../../../tests/fixtures/effects_ground.ts";
import { contractWith, viewUnder } from "../../../../tests/fixtures/egress_calls.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { openDoorServer } from "../../../../tests/fixtures/small_core.ts";
import { clientFrame, FrameCutter, openWebSocketServer } from "../../../../tests/fixtures/websocket_server.ts";
import { systemClock } from "../../kernel/clock.ts";
import { silentLogger } from "../../kernel/log.ts";
import { noMetrics } from "../../kernel/telemetry.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { createDialer } from "../adapters/dialer.ts";
import { createResolver } from "../adapters/resolver.ts";
import { DNS_NAMES_MAX, EGRESS_CONCURRENT_MAX, WEBSOCKET_MESSAGE_BYTES_MAX } from "../contract.ts";
import { createGuards } from "../guards/guards.ts";
import { openDoor } from "./door.ts";

const PUBLIC = "93.184.216.34";
const ADDRESS = "127.0.0.2";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A door as the room builds it, over a real store, ledger, name server and sockets; `PUBLIC` is on this machine. */
async function openRealDoor(rules: (ports: { far: number; live: number }) => EgressRule[]) {
  const dns = await openDnsServer();
  ends.push(() => dns.close());
  const sockets: Socket[] = [];
  const far = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {}).pipe(socket);
  });
  far.listen(0, ADDRESS);
  await once(far, "listening");
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => far.close(resolve));
  });
  const live = await openWebSocketServer({ address: ADDRESS });
  ends.push(() => live.close());
  const clock = systemClock();
  const effects = await openEffects({ clock });
  ends.push(() => effects.remove());
  const dialer = createDialer(clock, { translate: (address) => (address === PUBLIC ? ADDRESS : address) });
  ends.push(() => dialer.close());
  const ports = { far: (far.address() as AddressInfo).port, live: live.port };
  const view = viewUnder(contractWith(rules(ports)));
  const who = effects.who({ view, deadline_at: Number.MAX_SAFE_INTEGER });
  const door = openDoor(
    {
      clock,
      metrics: noMetrics,
      log: silentLogger,
      resolver: createResolver(clock, { servers: [dns.address] }),
      dialer,
      denies: { of: async () => [] },
      effects: effects.book,
      leases: {
        find: async () => undefined,
        swap: async () => {
          throw new Error("no lease");
        },
        onRevoked: () => () => {},
      },
      guards: createGuards({ dlp: { scan: async () => undefined } }),
      blocked: { keep: async () => {} },
      nat64: [],
      isSelf: () => false,
      watch: () => () => {},
    },
    who,
  );
  const server = await openDoorServer(
    {
      connect: async (...args) => door.connect(...args),
      upgrade: async (...args) => door.upgrade(...args),
      request: async (...args) => door.request(...args),
    },
    () => {},
  );
  ends.push(() => server.close());
  return { dns, door, effects, who, live, ports, port: server.port };
}

/** Says this to the door. */
function say(port: number, bytes: string | Buffer) {
  const socket = connect(port, "127.0.0.1");
  ends.push(() => socket.destroy());
  let got = Buffer.alloc(0);
  let is_over = false;
  socket
    .on("error", () => {})
    .on("data", (chunk) => {
      got = Buffer.concat([got, chunk]);
    });
  socket.on("close", () => {
    is_over = true;
  });
  socket.write(bytes);
  return { socket, got: () => got.toString("latin1"), is_over: () => is_over };
}

const question = (name: string) =>
  `GET https://cloudflare-dns.com/dns-query?name=${name}&type=A HTTP/1.1\r\naccept: application/dns-json\r\nconnection: close\r\n\r\n`;

describe("through a real door", () => {
  it("a tunnel's effect is durable before it is dialled, and its end is recorded", async () => {
    const { dns, door, effects, who, ports, port } = await openRealDoor(({ far }) => [
      { id: "db", hosts: ["db.example.com"], protocol: "tcp", ports: [far], private: true, addresses: [ADDRESS] },
      { id: "web", hosts: ["web.example.com"], protocol: "tls", ports: [far] },
    ]);
    dns.addresses("db.example.com", [ADDRESS]);
    dns.addresses("web.example.com", [PUBLIC]);
    for (const n of [1, 2]) {
      const plain = say(port, `CONNECT db.example.com:${ports.far} HTTP/1.1\r\n\r\nround ${n}`);
      await eventually(() => plain.got().endsWith(`round ${n}`));
      plain.socket.end();
      await eventually(plain.is_over);
    }
    const secure = say(
      port,
      Buffer.concat([
        Buffer.from(`CONNECT web.example.com:${ports.far} HTTP/1.1\r\n\r\n`),
        helloFor("evil.example.com"),
      ]),
    );
    await eventually(secure.is_over);
    const summary = await door.close();
    expect(
      summary.rows.map(({ host, method, rule, verdict, code, count }) => [host, method, rule, verdict, code, count]),
    ).toEqual([
      ["db.example.com", "CONNECT", "db", "allowed", null, 2],
      ["web.example.com", "CONNECT", "web", "denied", "EGRESS_SNI_MISMATCH", 1],
    ]);
    expect(summary.effects).toBe(3);
    const told = await effects.told(who.subject);
    const of = (kind: string) =>
      told.filter((entry) => entry.kind === kind).map(({ data }) => data as { state?: string; key: string });
    expect(new Set(of("effect.intended").map(({ key }) => key)).size).toBe(3);
    expect(
      of("effect.ended")
        .map(({ state }) => state)
        .sort(),
    ).toEqual(["done", "done", "failed"]);
  });

  it("a WebSocket to a public name speaks, and ends with the run", async () => {
    const { dns, door, live, ports, port } = await openRealDoor(({ live }) => [
      { id: "live", hosts: ["live.example.com"], protocol: "ws", ports: [live] },
    ]);
    dns.addresses("live.example.com", [PUBLIC]);
    const head =
      `GET http://live.example.com:${ports.live}/ HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
      "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const guest = say(port, head);
    await eventually(() => guest.got().includes("\r\n\r\n"));
    guest.socket.write(clientFrame({ payload: "hello" }));
    const frames = () => new FrameCutter().push(Buffer.from(guest.got().split("\r\n\r\n")[1] ?? "", "latin1"));
    await eventually(() => frames()[0]?.payload.toString() === "hello");
    expect(live.sockets[0]!.call.headers.host).toBe(`live.example.com:${ports.live}`);
    const flooding = say(port, head);
    await eventually(() => flooding.got().includes("\r\n\r\n"));
    flooding.socket.write(clientFrame({ length: BigInt(WEBSOCKET_MESSAGE_BYTES_MAX + 1) }));
    await eventually(flooding.is_over);
    expect(flooding.got()).toMatch(/EGRESS_SIZE$/);
    const summary = await door.close();
    await eventually(guest.is_over);
    expect(guest.got()).toMatch(/EGRESS_TIME$/);
    expect(summary.rows.map(({ host, method, rule, code }) => [method, host, rule, code])).toEqual([
      ["WEBSOCKET", "live.example.com", "live", "EGRESS_SIZE"],
      ["WEBSOCKET", "live.example.com", "live", "EGRESS_TIME"],
    ]);
  });

  it("DNS_NAMES_MAX names may be looked up, and one more is refused", async () => {
    const { dns, door, port } = await openRealDoor(() => [{ hosts: ["*.example.com"], protocol: "https" }]);
    const ask = async (name: string) => {
      dns.addresses(name, [PUBLIC]);
      const asked = say(port, question(name));
      await eventually(asked.is_over);
      return asked.got();
    };
    for (let n = 0; n < DNS_NAMES_MAX; n += 1) expect(await ask(`n${n}.example.com`)).toContain(PUBLIC);
    expect(await ask("n0.example.com")).toContain(PUBLIC);
    expect(await ask("more.example.com")).toContain("code=EGRESS_BUDGET");
    expect(dns.questions.some(({ name }) => name === "more.example.com")).toBe(false);
    const { rows } = await door.close();
    expect(rows.every(({ method }) => method === "DNS" || method === "*")).toBe(true);
  });

  it("500 tunnels at once are EGRESS_CONCURRENT_MAX, and the rest are told", async () => {
    const { dns, door, ports, port } = await openRealDoor(({ far }) => [
      { hosts: ["db.example.com"], protocol: "tcp", ports: [far], private: true, addresses: [ADDRESS] },
    ]);
    dns.addresses("db.example.com", [ADDRESS]);
    const tunnels = Array.from({ length: 500 }, () =>
      say(port, `CONNECT db.example.com:${ports.far} HTTP/1.1\r\n\r\n`),
    );
    await eventually(() => tunnels.every(({ got }) => got().includes("\r\n\r\n")));
    const open = tunnels.filter(({ got }) => got().startsWith("HTTP/1.1 200"));
    expect(open.length).toBe(EGRESS_CONCURRENT_MAX);
    expect(tunnels.filter(({ got }) => got().includes("code=EGRESS_CAPACITY")).length).toBe(
      500 - EGRESS_CONCURRENT_MAX,
    );
    await door.close();
    await eventually(() => open.every(({ is_over }) => is_over()));
  });
});
