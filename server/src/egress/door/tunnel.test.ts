import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import {
  helloFor,
  helloMessage,
  helloOfSize,
  hiddenHello,
  inRecords,
  serverHello,
} from "../../../../tests/fixtures/client_hellos.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { need } from "../../../../tests/fixtures/need.ts";
import { makeCertificate, opensslMissing } from "../../../../tests/fixtures/throwaway_certificate.ts";
import {
  granted,
  TUNNEL_ADDRESS,
  TUNNEL_HOST,
  tunnelEnded,
  tunnelGround,
} from "../../../../tests/fixtures/tunnel_ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { makeToken } from "../../identity/token.ts";
import { systemRandom } from "../../kernel/random.ts";
import { CLIENT_HELLO_BYTES_MAX, CLIENT_HELLO_MS_MAX } from "../contract.ts";
import { makeLease } from "../secrets/lease_token.ts";

const HOST = TUNNEL_HOST;
const ADDRESS = TUNNEL_ADDRESS;
const ended = tunnelEnded;

const { ends, openFarEnd, openDoor, tunnelTo, close } = tunnelGround();
afterEach(close);

describe("a tunnel of tcp", () => {
  it("carries bytes both ways, and each side's end by itself", async () => {
    const far = await openFarEnd((socket) => {
      let all = "";
      socket.on("data", (chunk) => {
        all += chunk;
      });
      socket.on("end", () => socket.end(`you said ${all}`));
    });
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`, "first ");
    expect(tunnel.status).toBe(200);
    tunnel.socket.end("and second");
    expect(await tunnel.over).toBe("end");
    expect(tunnel.got()).toBe("you said first and second");
    await ended(core);
    expect(core.ends).toEqual([{ code: null, status: 200, sent: 16, received: 25 }]);
    expect(core.outcomes).toEqual([{ state: "done", status: 200 }]);
    expect(core.intents[0]?.call).toMatchObject({ method: "CONNECT", mutating: true, address: ADDRESS });
  });

  it("lets the far end end first, and the guest go on", async () => {
    const far = await openFarEnd((socket) => socket.end("goodbye"));
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    expect(await tunnel.over).toBe("end");
    tunnel.socket.end("but I have more to say");
    await ended(core);
    await eventually(() => far.heard() === "but I have more to say");
    expect(core.ends[0]).toMatchObject({ code: null, received: 7, sent: 22 });
  });

  it("lets the server speak first", async () => {
    const far = await openFarEnd((socket) => socket.write("220 ready\r\n"));
    const { port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    await eventually(() => tunnel.got() === "220 ready\r\n");
  });

  it("holds what starts as TLS to the host that was granted", async () => {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const good = await tunnelTo(port, `${HOST}:${far.port}`, helloFor(HOST));
    await eventually(() => far.heard() === helloFor(HOST).toString("latin1"));
    good.socket.resetAndDestroy();
    for (const hello of [helloFor("evil.example.com"), Buffer.from([22, 3, 1, 0, 0]), hiddenHello(HOST)]) {
      const bad = await tunnelTo(port, `${HOST}:${far.port}`);
      bad.socket.write(hello);
      expect(await bad.over).toBe("ECONNRESET");
    }
    await eventually(() => core.ends.length === 4);
    expect(core.ends.map(({ code }) => code).sort()).toEqual(
      [null, "EGRESS_SNI_HIDDEN", "EGRESS_SNI_MISMATCH", "EGRESS_SNI_MISMATCH"].sort(),
    );
    expect(far.heard()).toBe(helloFor(HOST).toString("latin1"));
  });

  it("lets a single byte pass that could have begun a hello, when nothing follows", async () => {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    tunnel.socket.end(Buffer.from([22]));
    await eventually(() => far.heard() === "\x16");
    far.sockets[0]!.end();
    await ended(core);
    expect(core.ends[0]!.code).toBe(null);
  });

  it("refuses our own tokens and leases among its first bytes, wherever they are cut", async () => {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tcp", far.port)] });
    const own = makeToken("agt", systemRandom());
    const lease = makeLease(systemRandom());
    for (const token of [own, lease]) {
      const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
      tunnel.socket.write(`AUTH ${token.slice(0, 20)}`);
      await eventually(() => far.heard().endsWith(token.slice(0, 20)));
      tunnel.socket.write(`${token.slice(20)}\r\n`);
      expect(await tunnel.over).not.toBe("end");
    }
    await eventually(() => core.ends.length === 2);
    expect(core.ends.map(({ code }) => code)).toEqual(["EGRESS_OWN_TOKEN", "LEASE_SCOPE"]);
    expect(core.outcomes).toEqual([{ state: "unknown" }, { state: "unknown" }]);
    expect(far.heard()).not.toContain(own.slice(20));
  });
});

describe("a tunnel of tls", () => {
  it("carries TLS to the host that was granted", async (context) => {
    need(context, "openssl", opensslMissing());
    const certificate = await makeCertificate([HOST]);
    ends.push(() => certificate.remove());
    const server = createTlsServer({ key: certificate.key, cert: certificate.cert }, (socket) => socket.pipe(socket));
    server.listen(0, ADDRESS);
    await once(server, "listening");
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    const far = (server.address() as AddressInfo).port;
    const { core, port } = await openDoor({ rules: [granted("tls", far)] });
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const { socket, status } = await tunnelTo(port, `${HOST}:${far}`);
      expect(status).toBe(200);
      socket.removeAllListeners("data");
      const secure = connectTls({ socket, servername: HOST, ca: certificate.cert, maxVersion });
      secure.write("through");
      const [echoed] = (await once(secure, "data")) as [Buffer];
      expect(echoed.toString()).toBe("through");
      secure.destroy();
    }
    await eventually(() => core.ends.length === 2);
    expect(core.ends.every(({ sent, received }) => sent > 0 && received > 0)).toBe(true);
  });

  it.each([
    ["another name", helloFor("other.example.com"), "EGRESS_SNI_MISMATCH"],
    ["no name", inRecords(helloMessage({})), "EGRESS_SNI_MISMATCH"],
    ["a hidden name", hiddenHello(HOST), "EGRESS_SNI_HIDDEN"],
    ["no TLS", Buffer.from(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`), "EGRESS_SNI_MISMATCH"],
    ["a hello that is too large", helloOfSize(HOST, CLIENT_HELLO_BYTES_MAX + 1), "EGRESS_SNI_MISMATCH"],
  ])("is reset for %s, and nothing of it leaves", async (_, bytes, code) => {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tls", far.port)] });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    expect(tunnel.status).toBe(200);
    tunnel.socket.write(bytes);
    expect(await tunnel.over).toBe("ECONNRESET");
    await ended(core);
    expect(core.ends).toEqual([{ code, status: 200, sent: 0, received: 0 }]);
    expect(core.outcomes).toEqual([{ state: "failed" }]);
    await eventually(() => far.sockets.every(({ destroyed, readableEnded }) => destroyed || readableEnded));
    expect(far.heard()).toBe("");
  });

  it("takes a hello in records and segments of one byte each", async () => {
    const far = await openFarEnd();
    const { port } = await openDoor({ rules: [granted("tls", far.port)] });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`);
    tunnel.socket.setNoDelay(true);
    const hello = inRecords(helloMessage({ names: [{ type: 0, name: HOST.toUpperCase() }] }), 1);
    for (const byte of hello) tunnel.socket.write(Buffer.from([byte]));
    await eventually(() => far.heard() === hello.toString("latin1"));
  });

  it("takes no longer for its hello than CLIENT_HELLO_MS_MAX", async () => {
    const far = await openFarEnd();
    const clock = new VirtualClock();
    const { core, port } = await openDoor({ rules: [granted("tls", far.port)] }, clock);
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`, helloFor(HOST).subarray(0, 20));
    clock.advance(CLIENT_HELLO_MS_MAX - 1);
    expect(core.ends).toEqual([]);
    clock.advance(1);
    expect(await tunnel.over).toBe("ECONNRESET");
    expect(core.ends).toEqual([{ code: "EGRESS_TIME", status: 200, sent: 0, received: 0 }]);
  });

  it("is closed in order by a guest that says nothing", async () => {
    const far = await openFarEnd((socket) => socket.on("end", () => socket.end()));
    const { core, port } = await openDoor({ rules: [granted("tls", far.port)] });
    (await tunnelTo(port, `${HOST}:${far.port}`)).socket.end();
    await ended(core);
    expect(core.ends[0]!.code).toBe(null);
    const half = await tunnelTo(port, `${HOST}:${far.port}`);
    half.socket.end(helloFor(HOST).subarray(0, 30));
    await eventually(() => core.ends.length === 2);
    expect(core.ends[1]!.code).toBe("EGRESS_SNI_MISMATCH");
  });

  it("to an address needs no name, as an address has none", async () => {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tls", far.port, ADDRESS)] });
    await tunnelTo(port, `${ADDRESS}:${far.port}`, inRecords(helloMessage({})));
    await eventually(() => far.heard() !== "");
    await tunnelTo(port, `${ADDRESS}:${far.port}`, helloFor("evil.example.com"));
    await ended(core);
    expect(core.ends[0]!.code).toBe("EGRESS_SNI_MISMATCH");
  });
});

describe("a second hello, when the server asks for one,", () => {
  const CHANGE_CIPHER = Buffer.from([20, 3, 3, 0, 1, 1]);
  const EARLY_DATA = Buffer.from([23, 3, 3, 0, 4, 1, 1, 1, 1]);

  async function retried(second: Buffer, pipelined: boolean) {
    const far = await openFarEnd();
    const { core, port } = await openDoor({ rules: [granted("tls", far.port)] });
    const first = Buffer.concat([helloFor(HOST), CHANGE_CIPHER, EARLY_DATA]);
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`, pipelined ? Buffer.concat([first, second]) : first);
    await eventually(() => far.heard() === first.toString("latin1"), "early data to pass at once");
    far.sockets[0]!.write(serverHello(true));
    await eventually(() => tunnel.got() !== "" || core.ends.length > 0);
    if (!pipelined) tunnel.socket.write(second);
    return { far, core, first, tunnel };
  }

  it.each([true, false])("must be for the same host (sent ahead: %s)", async (pipelined) => {
    const { far, core, first } = await retried(helloFor("evil.example.com"), pipelined);
    await ended(core);
    expect(core.ends[0]!.code).toBe("EGRESS_SNI_MISMATCH");
    expect(far.heard()).toBe(first.toString("latin1"));
  });

  it.each([true, false])("passes when it is, with all that follows (sent ahead: %s)", async (pipelined) => {
    const second = Buffer.concat([helloFor(HOST), EARLY_DATA, Buffer.from([22, 3, 3, 0, 1, 1])]);
    const { far, first } = await retried(second, pipelined);
    await eventually(() => far.heard() === Buffer.concat([first, second]).toString("latin1"));
  });

  it("is not looked for when the server does not ask", async () => {
    const far = await openFarEnd();
    const { port } = await openDoor({ rules: [granted("tls", far.port)] });
    const tunnel = await tunnelTo(port, `${HOST}:${far.port}`, helloFor(HOST));
    await eventually(() => far.heard() !== "");
    const answer = serverHello(false);
    far.sockets[0]!.write(answer.subarray(0, 20));
    await eventually(() => tunnel.got().length === 20);
    far.sockets[0]!.write(answer.subarray(20));
    await eventually(() => tunnel.got().length === answer.length);
    // An encrypted Finished of TLS 1.2 may look like anything, also like a hello.
    tunnel.socket.write(helloFor("evil.example.com"));
    const all = Buffer.concat([helloFor(HOST), helloFor("evil.example.com")]);
    await eventually(() => far.heard() === all.toString("latin1"));
  });
});
