import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ENCRYPTED_HELLO,
  helloFor,
  helloMessage,
  helloOfSize,
  hiddenHello,
  inRecords,
} from "../../../../tests/fixtures/client_hellos.ts";
import { need } from "../../../../tests/fixtures/need.ts";
import { CLIENT_HELLO_BYTES_MAX } from "../contract.ts";
import { ClientHelloReader, type HelloReading } from "./client_hello.ts";

const HOST = "api.example.com";
const SERVER_NAME = { type: 0, name: HOST };

function read(...chunks: Buffer[]): HelloReading {
  const reader = new ClientHelloReader();
  let reading: HelloReading = { kind: "more", began: false };
  for (const chunk of chunks) reading = reader.push(chunk);
  return reading;
}

/** The same bytes in pieces of these sizes, over and over. */
function cut(bytes: Buffer, sizes: number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, n = 0; at < bytes.length; n += 1) {
    const size = sizes[n % sizes.length]!;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** What a real client sends first. */
async function firstBytes(start: (port: number) => void): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  start((server.address() as AddressInfo).port);
  const [socket] = (await once(server, "connection")) as [Socket];
  socket.on("error", () => {});
  const reader = new ClientHelloReader();
  const chunks: Buffer[] = [];
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer);
    if (reader.push(chunk as Buffer).kind !== "more") break;
  }
  socket.destroy();
  server.close();
  return Buffer.concat(chunks);
}

describe("a ClientHello", () => {
  it("tells its server name", () => {
    expect(read(helloFor(HOST))).toEqual({ kind: "hello", sni: HOST, ech: false });
  });

  it("need not have a server name, nor any extension", () => {
    expect(read(inRecords(helloMessage({})))).toEqual({ kind: "hello", sni: undefined, ech: false });
    expect(read(inRecords(helloMessage({ bare: true })))).toEqual({ kind: "hello", sni: undefined, ech: false });
  });

  it("tells that its real name is hidden", () => {
    expect(read(hiddenHello("public.example.com"))).toEqual({ kind: "hello", sni: "public.example.com", ech: true });
    const empty = { names: [SERVER_NAME], extensions: [{ type: ENCRYPTED_HELLO, body: Buffer.alloc(0) }] };
    expect(read(inRecords(helloMessage(empty)))).toMatchObject({ ech: false });
  });

  it("is the same however records and segments cut it", () => {
    const shapes = fc.record({
      names: fc.option(fc.constant([{ ...SERVER_NAME }]), { nil: undefined }),
      ech: fc.boolean(),
      padding: fc.integer({ min: 0, max: 2_000 }),
    });
    const sizes = fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(shapes, fc.integer({ min: 1, max: 500 }), sizes, ({ names, ech, padding }, record_bytes, pieces) => {
        const extensions = ech ? [{ type: ENCRYPTED_HELLO, body: Buffer.from([0, 1]) }] : [];
        const message = helloMessage({ names, extensions, padding });
        const bytes = Buffer.concat([inRecords(message, record_bytes), Buffer.from("whatever follows")]);
        const expected =
          bytes.length - 16 <= CLIENT_HELLO_BYTES_MAX
            ? { kind: "hello", sni: names === undefined ? undefined : HOST, ech }
            : { kind: "too_large" };
        expect(read(...cut(bytes, pieces))).toEqual(expected);
      }),
    );
  });

  it("is the last of its record: a server might read another one from what is behind it", () => {
    const two = Buffer.concat([helloMessage({ names: [SERVER_NAME] }), helloMessage({ names: [SERVER_NAME] })]);
    expect(read(inRecords(two))).toMatchObject({ kind: "not_tls", began: true });
  });

  it("says how much of the bytes it took", () => {
    const hello = helloFor(HOST);
    const reader = new ClientHelloReader();
    reader.push(Buffer.concat([hello, Buffer.from("more")]));
    expect(reader.wire_bytes).toBe(hello.length);
  });

  it(`may have CLIENT_HELLO_BYTES_MAX bytes, and not one more`, () => {
    expect(read(helloOfSize(HOST, CLIENT_HELLO_BYTES_MAX))).toMatchObject({ kind: "hello", sni: HOST });
    expect(read(helloOfSize(HOST, CLIENT_HELLO_BYTES_MAX + 1))).toEqual({ kind: "too_large" });
    const padded = helloMessage({ names: [SERVER_NAME], padding: CLIENT_HELLO_BYTES_MAX - 400 });
    expect(read(inRecords(padded, 1))).toEqual({ kind: "too_large" });
  });

  it("is wanted to its end", () => {
    const hello = helloFor(HOST);
    for (let n = 0; n < hello.length; n += 1)
      expect(read(hello.subarray(0, n))).toEqual({ kind: "more", began: n >= 2 });
  });

  it.each([
    ["two names", [SERVER_NAME, { type: 0, name: "evil.example.com" }]],
    ["no name", []],
    ["an empty name", [{ type: 0, name: "" }]],
    ["a name of another type", [{ type: 1, name: HOST }]],
    ["a name with a NUL", [{ type: 0, name: `${HOST}\0.evil.example.com` }]],
    ["a name that is not ASCII", [{ type: 0, name: Buffer.from("b\u00fccher.example.com") }]],
  ])("with %s in its server name is none", (_, names) => {
    expect(read(inRecords(helloMessage({ names })))).toMatchObject({ kind: "not_tls", began: true });
  });

  it("with an extension twice is none: servers differ in which they believe", () => {
    const list = Buffer.from(`000f00000c${Buffer.from("evil.example").toString("hex")}`, "hex");
    const shape = { names: [SERVER_NAME], extensions: [{ type: 0, body: list }] };
    expect(read(inRecords(helloMessage(shape)))).toMatchObject({ kind: "not_tls", why: "an extension is there twice" });
  });
});

describe("what is no ClientHello", () => {
  it("is told from its first byte, or the second", () => {
    expect(read(Buffer.from("GET / HTTP/1.1\r\n"))).toMatchObject({ kind: "not_tls", began: false });
    expect(read(Buffer.from("S"))).toMatchObject({ kind: "not_tls", began: false });
    expect(read(Buffer.from([22, 1]))).toMatchObject({ kind: "not_tls", began: false });
    expect(read(Buffer.from([0x80, 0x2e, 1, 3, 1]))).toMatchObject({ kind: "not_tls", began: false });
  });

  it("is known to have begun as TLS: a lenient server might take it for that", () => {
    expect(read(Buffer.from([22, 3, 1, 0, 0]))).toMatchObject({ kind: "not_tls", began: true });
    expect(read(Buffer.from([22, 3, 1, 0x40, 1]))).toMatchObject({ kind: "not_tls", began: true });
    expect(read(Buffer.from([22, 3, 1, 0, 1, 2]))).toMatchObject({ kind: "not_tls", began: true });
  });

  it("never throws, and reads the same in pieces", () => {
    const prefixes = fc.constantFrom([], [22, 3, 1], [22, 3, 1, 0, 80, 1], [...helloFor(HOST).subarray(0, 90)]);
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(prefixes, fc.uint8Array({ maxLength: 400 }), sizes, (prefix, garbage, pieces) => {
        const bytes = Buffer.from([...prefix, ...garbage]);
        expect(read(...cut(bytes, pieces))).toEqual(bytes.length === 0 ? read() : read(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it("never throws for a hello with any one byte changed", () => {
    const hello = hiddenHello(HOST);
    for (let at = 0; at < hello.length; at += 1) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const changed = Buffer.from(hello);
        changed[at] = value;
        expect(["more", "hello", "not_tls", "too_large"]).toContain(read(changed).kind);
      }
    }
  });
});

describe("a real client's hello", () => {
  const of = (o: ConnectionOptions) =>
    firstBytes((port) => void connectTls({ host: "127.0.0.1", port, ...o }).on("error", () => {}));

  it("of Node's is read, with and without a name, old and new", async () => {
    expect(read(await of({ servername: HOST }))).toEqual({ kind: "hello", sni: HOST, ech: false });
    expect(read(await of({ servername: HOST, maxVersion: "TLSv1.2" }))).toMatchObject({ sni: HOST });
    expect(read(await of({ servername: "" }))).toEqual({ kind: "hello", sni: undefined, ech: false });
    const many = Array.from({ length: 400 }, (_, n) => `protocol-${n}`);
    expect(read(await of({ servername: HOST, ALPNProtocols: many }))).toMatchObject({ sni: HOST });
  });

  it("of openssl's is read", async (context) => {
    need(context, "openssl", existsSync("/usr/bin/openssl") ? undefined : "no /usr/bin/openssl");
    const bytes = await firstBytes((port) => {
      spawn("/usr/bin/openssl", ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", HOST], { stdio: "pipe" });
    });
    expect(read(bytes)).toEqual({ kind: "hello", sni: HOST, ech: false });
  });
});
