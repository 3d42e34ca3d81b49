import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createRawServer, type Server as RawServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HTTP_HEAD_MAX } from "../../../../isolate/src/protocol.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { HostClient } from "./host_client.ts";

let dir: string;
let path: string;
let server: Server | RawServer;
let client: HostClient;
/** The connections that the host saw. */
let sockets: Socket[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "gh-"));
  path = join(dir, "in.sock");
  sockets = [];
});

afterEach(() => {
  client.close();
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(dir, { recursive: true });
});

async function listen(made: Server | RawServer): Promise<void> {
  server = made.on("connection", (socket: Socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  client = await HostClient.connect(path);
}

/** A host that answers each ping, and the runs as told. */
function serve(run: RequestListener): Promise<void> {
  return listen(
    createServer((request, response) => (request.url === "/ping" ? response.end("pong") : run(request, response))),
  );
}

/** A host that answers whatever it reads with bytes: the first ping with a pong. */
function serveBytes(bytes: string): Promise<void> {
  const pong = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong";
  return listen(
    createRawServer((socket) => {
      let calls = 0;
      socket.on("data", () => socket.write(calls++ === 0 ? pong : bytes)).on("error", () => {});
    }),
  );
}

const answer =
  (outcome: string, body: string, headers = {}): RequestListener =>
  (_, response) =>
    response.writeHead(200, { "gantry-outcome": `${outcome} 5 7`, ...headers }).end(body);

const run = (bytes_max = 100) => client.run("{}", "n", bytes_max);

describe("a host's answer", () => {
  it("comes to a call that carries the nonce in its head and the rest in its body", async () => {
    const body = JSON.stringify({ text: "ü€😀".repeat(100_000) });
    const sent = Buffer.from(body);
    let seen: unknown;
    await serve((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        const nonce = request.headers["gantry-nonce"];
        seen = { method: request.method, url: request.url, nonce, is_whole: Buffer.concat(chunks).equals(sent) };
        answer("value", "42")(request, response);
      });
    });
    expect(await client.run(body, "abc", 5)).toEqual({
      status: 200,
      outcome: "value",
      begun: 5,
      started: 7,
      is_silent: false,
      head: undefined,
      body: Buffer.from("42"),
    });
    expect(seen).toEqual({ method: "POST", url: "/run", nonce: "abc", is_whole: true });
  });

  it.each([
    ["value 5 7 silent", { outcome: "value", begun: 5, started: 7, is_silent: true }],
    ["threw 5 7", { outcome: "threw", begun: 5, started: 7, is_silent: false }],
    ["value 5 NaN", { outcome: "value", begun: 5, started: undefined, is_silent: false }],
    ["stopped 5 -", { outcome: "stopped", begun: 5, started: undefined, is_silent: false }],
  ])("%s says when the guest began, and whether it printed", async (words, said) => {
    await serve((_, response) => response.writeHead(200, { "gantry-outcome": words }).end("{}"));
    expect(await run()).toMatchObject(said);
  });

  it.each(["value", "http"])("of %s has at most bytes_max bytes of body", async (outcome) => {
    await serve((request, response) => answer(outcome, request.headers["gantry-nonce"] as string)(request, response));
    expect((await client.run("{}", "12345", 5))?.body.toString()).toBe("12345");
    expect(await client.run("{}", "123456", 5)).toBeUndefined();
  });

  it.each(["threw", "load_failed"])("of %s is not output: the run's limit does not cut it", async (outcome) => {
    let length = 256 * 1024;
    await serve((request, response) => answer(outcome, "x".repeat(length))(request, response));
    expect((await run(1))?.body.toString()).toBe("x".repeat(length));
    length += 1;
    expect(await run(1)).toBeUndefined();
  });

  it("that is endless is read to the limit and not further", async () => {
    let stopped = false;
    await serve((_, out) => {
      out.writeHead(200, { "gantry-outcome": "http 5 7" });
      const more = (): void => {
        if (!stopped) out.write("x".repeat(1_000), () => setImmediate(more));
      };
      out.on("close", () => {
        stopped = true;
      });
      more();
    });
    expect(await run(10_000)).toBeUndefined();
    await eventually(() => stopped, "the connection to be given up");
    await expect(run()).rejects.toThrow("is spent");
  });

  it("has its head read as UTF-8", async () => {
    const head = { status: 200, headers: [["x-a", "ü€😀"]] };
    await serve(answer("http", "", { "gantry-http": Buffer.from(JSON.stringify(head)).toString("latin1") }));
    expect((await run())?.head).toEqual(head);
  });

  it("may have the longest head that a host sends", async () => {
    const head = { status: 200, headers: [["x-a", "x".repeat(HTTP_HEAD_MAX - 40)]] };
    await serve(answer("http", "", { "gantry-http": JSON.stringify(head) }));
    expect((await run())?.head).toEqual(head);
  });

  it.each([
    ["is no HTTP", "hello\r\n\r\n"],
    ["is an interim one", "HTTP/1.1 103 Early Hints\r\n\r\n"],
    ["changes the protocol", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
    ["has a head that is no JSON", "HTTP/1.1 200 OK\r\ngantry-http: {\r\ncontent-length: 0\r\n\r\n"],
    ["has too long a head", `HTTP/1.1 200 OK\r\ngantry-http: ${"x".repeat(2 * HTTP_HEAD_MAX)}\r\n\r\n`],
  ])("that %s is none, and ends the connection", async (_, bytes) => {
    await serveBytes(bytes);
    await expect(run()).rejects.toThrow();
    await expect(run()).rejects.toThrow("is spent");
    expect(sockets.length).toBe(1);
  });

  it("that breaks off is none", async () => {
    await serve((_, response) => {
      response.writeHead(200, { "gantry-outcome": "value 5 7", "content-length": 9 }).write("1");
      setImmediate(() => sockets[0]?.end());
    });
    await expect(run()).rejects.toThrow();
  });

  it("without an outcome is told with its status", async () => {
    await serve((_, response) => response.writeHead(500).end("oops"));
    expect(await run()).toMatchObject({ status: 500, outcome: undefined });
  });
});

describe("the connection to a host", () => {
  it("is one for all calls, which wait for each other", async () => {
    let running = 0;
    const together: number[] = [];
    await serve((request, response) => {
      running += 1;
      together.push(running);
      setImmediate(() => {
        running -= 1;
        answer("value", "1")(request, response);
      });
    });
    const answers = await Promise.all([run(), client.ping(), run(), run()]);
    expect(answers.map((each) => each?.outcome)).toEqual(["value", undefined, "value", "value"]);
    expect(together).toEqual([1, 1, 1]);
    expect(sockets.length).toBe(1);
  });

  it("is not opened where nobody listens", async () => {
    await serve(() => {});
    await expect(HostClient.connect(`${path}.none`)).rejects.toThrow("ENOENT");
  });

  it("is not opened again when it has ended", async () => {
    await serve(answer("value", "1"));
    sockets[0]?.destroy();
    await expect(run()).rejects.toThrow();
    await expect(run()).rejects.toThrow("is spent");
    await expect(client.ping()).rejects.toThrow("is spent");
    expect(sockets.length).toBe(1);
  });

  it("costs the call on it and the one behind when it breaks", async () => {
    await serve(() => sockets[0]?.destroy());
    const calls = [run(), run(), client.ping()];
    for (const call of calls) await expect(call).rejects.toThrow();
    expect(sockets.length).toBe(1);
  });

  it("ends with what goes on when it is closed", async () => {
    let asked = false;
    await serve((_, response) => {
      asked = true;
      response.writeHead(200, { "gantry-outcome": "http 5 7" }).write("some");
    });
    const call = expect(run()).rejects.toThrow();
    await eventually(() => asked);
    client.close();
    await call;
    await eventually(() => sockets[0]?.destroyed === true, "the connection to end");
    client.close();
    await expect(client.ping()).rejects.toThrow();
    expect(sockets.length).toBe(1);
  });

  it("is given up when a ping is not answered, or at length", async () => {
    let pong: string | undefined = "x".repeat(17);
    const host = createServer((_, response) => (pong === undefined ? {} : response.end(pong)));
    await expect(listen(host)).rejects.toThrow("at length");
    client = await HostClient.connect(path).catch(() => client);
    pong = "pong";
    client = await HostClient.connect(path);
    pong = undefined;
    await expect(client.ping()).rejects.toThrow();
    await expect(client.ping()).rejects.toThrow("is spent");
  });
});
