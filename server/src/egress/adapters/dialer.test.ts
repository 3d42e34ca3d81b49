import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Authority, openAuthority } from "../../../../tests/fixtures/authority.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { openUpstreams, reset, type Upstreams } from "../../../../tests/fixtures/upstreams.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { systemClock } from "../../kernel/clock.ts";
import {
  CONNECTIONS_IDLE_MAX,
  CONNECTIONS_IDLE_MS_MAX,
  EGRESS_CONNECT_MS_MAX,
  EGRESS_HEADER_BYTES_MAX,
  EGRESS_HEADERS_MS_MAX,
} from "../contract.ts";
import { parseTarget } from "../destination/target.ts";
import type { Dialer, Exchange, Exchanged } from "../parts.ts";
import { createDialer } from "./dialer.ts";
import { KeptLines, Line } from "./dialer_lines.ts";

let upstreams: Upstreams;
let dialer: Dialer & { close(): Promise<void> };
beforeEach(() => {
  upstreams = openUpstreams();
  dialer = createDialer(systemClock());
});
afterEach(async () => {
  await dialer.close();
  await upstreams.close();
});

function asking(url: string, more: Partial<Exchange> = {}): Exchange {
  const target = parseTarget(url, false);
  return {
    pool: "ten_1",
    target,
    address: "127.0.0.1",
    method: "GET",
    headers: [["host", target.host]],
    body: null,
    signal: new AbortController().signal,
    ...more,
  };
}
const get = (url: string, more: Partial<Exchange> = {}): Promise<Exchanged> => dialer.exchange(asking(url, more));
const textOf = async ({ body }: Exchanged): Promise<string> => (await buffer(body)).toString("latin1");

describe("an exchange", () => {
  it("reaches the address that it was given under a name that no resolver knows", async () => {
    const port = await upstreams.http((call, answer) => answer.end(`${call.headers.host} ${call.url}`));
    const answer = await get(`http://no-such-name.invalid:${port}/a?b=c`);
    expect([answer.status, await textOf(answer)]).toEqual([200, "no-such-name.invalid /a?b=c"]);
  });

  it("passes names and values of headers as they came, and bodies as they are encoded", async () => {
    const port = await upstreams.saying(
      Buffer.from(
        "HTTP/1.1 200 OK\r\nX-MiXed: \xe9\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nnot",
        "latin1",
      ),
    );
    const answer = await get(`http://a.example:${port}/`);
    expect(answer.headers.slice(0, 3)).toEqual([
      ["X-MiXed", "\xe9"],
      ["Set-Cookie", "a"],
      ["set-cookie", "b"],
    ]);
    expect(await textOf(answer)).toBe("not");
  });

  it("keeps a connection for the next one of the same pool and destination, and shares it with nobody else", async () => {
    const ports: number[] = [];
    const port = await upstreams.http((call, answer) => {
      ports.push(call.socket.remotePort ?? 0);
      answer.end("x");
    });
    const url = `http://a.example:${port}/`;
    for (const more of [{}, {}, { pool: "ten_2" }, {}]) await textOf(await get(url, more));
    await textOf(await get(`http://b.example:${port}/`));
    expect(ports[1]).toBe(ports[0]);
    expect(ports[3]).toBe(ports[0]);
    expect(new Set(ports).size).toBe(3);
  });

  it("repeats what may be repeated when a kept connection had been closed, and nothing else", async () => {
    let calls = 0;
    const port = await upstreams.tcp((socket) => {
      let served = 0;
      socket.on("data", () => {
        calls += 1;
        served += 1;
        // The second call of a connection is met by its end, as when a server's patience is over.
        if (served === 2) socket.destroy();
        else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
      });
    });
    const url = `http://a.example:${port}/`;
    await textOf(await get(url));
    expect(await textOf(await get(url))).toBe("x");
    let left = 0;
    const sending = (): void => {
      left += 1;
    };
    const post = get(url, { method: "POST", sending });
    await expect(post).rejects.toMatchObject({ code: "EGRESS_UPSTREAM" });
    expect([calls, left]).toEqual([4, 1]);
  });

  it("says when the first byte is about to leave, and not for what never leaves", async () => {
    const port = await upstreams.http((call, answer) => void call.pipe(answer));
    let sent = 0;
    const sending = (): void => {
      sent += 1;
    };
    const body = Readable.from(["a", "b"], { objectMode: false });
    expect(await textOf(await get(`http://a.example:${port}/`, { method: "POST", body, sending }))).toBe("ab");
    expect(sent).toBe(1);
    await expect(get("http://a.example:1/", { sending })).rejects.toMatchObject({ code: "EGRESS_UPSTREAM" });
    expect(sent).toBe(1);
  });

  it("ends with the reason of its signal, before the head and after it", async () => {
    const reason = Object.assign(new Error("enough"), { code: "MINE" });
    const port = await upstreams.http((call, answer) => {
      if (call.url === "/body") answer.write("begun");
    });
    const first = new AbortController();
    const waiting = get(`http://a.example:${port}/silent`, { signal: first.signal });
    first.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    const second = new AbortController();
    const answer = await get(`http://a.example:${port}/body`, { signal: second.signal });
    second.abort(reason);
    await expect(buffer(answer.body)).rejects.toBe(reason);
  });

  it("refuses a head that is too long, and takes one that is not", async () => {
    const head = (bytes: number): string => {
      const start = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
      // Counted are names and values.
      return `${start}${"x".repeat(bytes - "Content-Length0X".length)}\r\n\r\n`;
    };
    const fits = await upstreams.saying(head(EGRESS_HEADER_BYTES_MAX - 1));
    expect((await get(`http://a.example:${fits}/`)).status).toBe(200);
    const long = await upstreams.saying(head(EGRESS_HEADER_BYTES_MAX));
    await expect(get(`http://a.example:${long}/`)).rejects.toMatchObject({ code: "EGRESS_UPSTREAM" });
  });

  it("gives a head that drips only so much time", async () => {
    const clock = new VirtualClock();
    const own = createDialer(clock);
    let begun = false;
    const port = await upstreams.tcp((socket) =>
      socket.on("data", () => socket.write("HTTP/1.1 200", () => (begun = true))),
    );
    const waiting = own.exchange(asking(`http://a.example:${port}/`));
    waiting.catch(() => {});
    await eventually(() => begun && clock.pending > 0);
    clock.advance(EGRESS_HEADERS_MS_MAX - 1);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    await expect(waiting).rejects.toMatchObject({ code: "EGRESS_TIME" });
    await own.close();
  });
});

describe("an answer that broke off", () => {
  const ends = {
    "a reset": reset,
    "an end": (socket: Socket) => socket.end(),
  };
  for (const [how, after] of Object.entries(ends)) {
    it(`is an error wherever ${how} comes, and whole only after its last byte`, async () => {
      const framings = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      ];
      for (const whole of framings) {
        for (let cut = 0; cut < whole.length; cut += 1) {
          const port = await upstreams.saying(whole.slice(0, cut), after);
          const told = await get(`http://a.example:${port}/`)
            .then(textOf)
            .catch((error: { code: string }) => error.code);
          expect([cut, told]).toEqual([cut, expect.stringMatching(/^EGRESS_(INCOMPLETE|UPSTREAM)$/)]);
        }
        const port = await upstreams.saying(whole, after);
        expect(await get(`http://a.example:${port}/`).then(textOf)).toBe("hello");
      }
    });
  }

  it("is an error after a reset even without a length, and whole after an end", async () => {
    const open = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
    const cut = await upstreams.saying(open, reset);
    const answer = await get(`http://a.example:${cut}/`).catch((error: unknown) => error as Exchanged);
    if ("body" in answer) await expect(buffer(answer.body)).rejects.toMatchObject({ code: "EGRESS_INCOMPLETE" });
    else expect(answer).toMatchObject({ code: "EGRESS_INCOMPLETE" });
    const ended = await upstreams.saying(open);
    expect(await get(`http://a.example:${ended}/`).then(textOf)).toBe("hello");
  });

  it("is an error, and none of the process, when it is reset while nobody reads", async () => {
    let far: Socket | undefined;
    const port = await upstreams.tcp((socket) => {
      far = socket;
      socket.once("data", () => socket.write(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(32 << 20)}`));
    });
    const answer = await get(`http://a.example:${port}/`);
    // undici has stopped reading, and the far end cannot get rid of the rest.
    await eventually(() => answer.body.readableLength >= answer.body.readableHighWaterMark);
    expect(far?.writableLength).toBeGreaterThan(0);
    if (far !== undefined) reset(far);
    const told = await buffer(answer.body).catch((error: { code: string }) => error.code);
    expect(told).toBe("EGRESS_INCOMPLETE");
  });

  it("with a length that is not true is an error", async () => {
    const long = await upstreams.saying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    await expect(get(`http://a.example:${long}/`).then(textOf)).rejects.toMatchObject({ code: "EGRESS_INCOMPLETE" });
    const short = await upstreams.saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello");
    expect(await get(`http://a.example:${short}/`).then(textOf)).toBe("he");
    const twice = await upstreams.saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello");
    await expect(get(`http://a.example:${twice}/`)).rejects.toMatchObject({
      code: expect.stringMatching(/^EGRESS_(INCOMPLETE|UPSTREAM)$/),
    });
  });
});

describe("a connection", () => {
  it("ends at a time limit", async () => {
    const clock = new VirtualClock();
    const own = createDialer(clock);
    // A queue that is full: the kernel answers nobody any more.
    const server = createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 });
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const tls = { host: "a.example" };
    const waiting = own.connect({ address: "127.0.0.1", port, tls });
    waiting.catch(() => {});
    clock.advance(EGRESS_CONNECT_MS_MAX - 1);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    await expect(waiting).rejects.toMatchObject({ code: "EGRESS_TIME" });
    server.close();
    await own.close();
  });

  it("is refused a name: only addresses are dialled", async () => {
    await expect(dialer.connect({ address: "localhost", port: 1 })).rejects.toThrow("only addresses");
  });

  it("rests in a bounded number, and the oldest goes first", async () => {
    const lines = new KeptLines(systemClock());
    const port = await upstreams.http((_call, answer) => answer.end());
    const all: Line[] = [];
    for (let n = 0; n <= CONNECTIONS_IDLE_MAX; n += 1) {
      const socket = await dialer.connect({ address: "127.0.0.1", port });
      const line = new Line(`key ${n}`, { socket, wire: socket });
      all.push(line);
      lines.rest(line);
      expect(lines.size).toBe(Math.min(n + 1, CONNECTIONS_IDLE_MAX));
    }
    expect(all.map(({ alive }) => alive).indexOf(true)).toBe(1);
    expect([lines.take("key 0", true), lines.take("key 1", true)]).toEqual([undefined, all[1]]);
    lines.close();
    all[1]?.destroy(new Error("done"));
    expect(CONNECTIONS_IDLE_MS_MAX).toBeLessThan(5_000);
  });
});

describe("TLS", () => {
  let authority: Authority;
  beforeAll(async () => {
    authority = await openAuthority();
  });
  afterAll(() => authority.remove());

  it("is spoken with the name that was asked for, to the address that was judged", async () => {
    const own = createDialer(systemClock(), { ca_files: [authority.ca_file] });
    const identity = await authority.issue("a.example", "127.0.0.1");
    const port = await upstreams.https(identity, (call, answer) => {
      answer.end(String((call.socket as import("node:tls").TLSSocket).servername));
    });
    const https = (host: string) => own.exchange(asking(`https://${host}:${port}/`)).then(textOf);
    expect(await https("a.example")).toBe("a.example");
    expect(await https("127.0.0.1")).toBe("false");
    await expect(https("b.example")).rejects.toMatchObject({ code: "EGRESS_TLS" });
    // Whoever does not know the authority does not believe it.
    await expect(get(`https://a.example:${port}/`)).rejects.toMatchObject({ code: "EGRESS_TLS" });
    const plain = await upstreams.tcp((socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await expect(get(`https://a.example:${plain}/`)).rejects.toMatchObject({ code: "EGRESS_TLS" });
    const socket = await own.connect({ address: "127.0.0.1", port, tls: { host: "a.example" } });
    expect(socket.remoteAddress).toBe("127.0.0.1");
    socket.destroy();
    await own.close();
  });

  it("does not hide that an answer without a length was cut off", async () => {
    const own = createDialer(systemClock(), { ca_files: [authority.ca_file] });
    const identity = { ...(await authority.issue("a.example")), maxVersion: "TLSv1.2" as const };
    let says = false;
    const port = await upstreams.https(identity, (_call, answer) => {
      says = true;
      answer.socket?.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    });
    // Passes on what both say, up to the first bytes of the answer.
    const between = await upstreams.tcp((socket) => {
      const far = connect(port, "127.0.0.1");
      far.on("error", () => {}).on("data", (chunk) => socket.write(chunk, () => says && reset(socket)));
      socket.on("data", (chunk) => far.write(chunk)).on("close", () => far.destroy());
    });
    const told = own.exchange(asking(`https://a.example:${between}/`)).then(textOf);
    await expect(told).rejects.toMatchObject({ code: "EGRESS_INCOMPLETE" });
    await own.close();
  });
});
