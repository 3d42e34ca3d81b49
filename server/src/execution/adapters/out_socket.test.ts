import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { stampedTunnel, tunnelAuthority } from "../../../../isolate/src/protocol.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { type DoorHandler, OUT_HEAD_MS_MAX, OUT_HEADERS_MAX } from "../contract.ts";
import { OutSocket } from "./out_socket.ts";

const STAMP = "5".repeat(32);
const OTHER = "6".repeat(32);

let base: string;
let out: OutSocket;
let seen: string[];
/** Answers with the door's name and what it was asked. */
const handlerOf = (name: string): DoorHandler => ({
  request: (call, answer) => {
    seen.push(`${name} ${call.method} ${call.url} ${call.rawHeaders.join("=")}`);
    answer.end(name);
  },
  connect: (call, socket, head) => {
    seen.push(`${name} CONNECT ${call.url} ${head}`);
    socket.end(`HTTP/1.1 200 OK\r\n\r\n${name}`);
  },
  upgrade: (call, socket, head) => {
    seen.push(`${name} UPGRADE ${call.url} ${head}`);
    socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\n${name}`);
  },
});
const durable = Promise.resolve();

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), "go-"));
  out = await OutSocket.listen(join(base, "out.sock"), undefined);
  seen = [];
});
afterEach(() => {
  out.close();
  rmSync(base, { recursive: true });
});

/** Says something, and hears all that comes until the other side ends. */
function say(...parts: string[]): Promise<string> {
  return new Promise((resolve) => {
    let heard = "";
    const socket = connect({ path: join(base, "out.sock"), allowHalfOpen: true }, () => socket.write(parts.join("")));
    socket.on("data", (chunk) => {
      heard += chunk.toString();
    });
    socket.on("end", () => resolve(heard)).on("error", () => resolve(heard));
  });
}

const get = (...fields: string[]): string =>
  `GET http://a.test/x HTTP/1.1\r\n${[...fields, "connection: close"].map((field) => `${field}\r\n`).join("")}\r\n`;
const upgrade = (...fields: string[]): string =>
  `GET http://a.test/x HTTP/1.1\r\n${["connection: upgrade", "upgrade: websocket", ...fields].join("\r\n")}\r\n\r\nhead`;
const tunnel = (authority: string): string => `CONNECT ${authority} HTTP/1.1\r\n\r\nhead`;
const CLOSED = /^HTTP\/1\.1 409 Conflict\r\n.*"code":"RUNNER_CLOSED"/s;

describe("a call of a process that is shared", () => {
  it("goes to the door of its stamp, whatever it is", async () => {
    out.open(STAMP, { durable, handler: handlerOf("mine") });
    out.open(OTHER, { durable, handler: handlerOf("other") });
    expect(await say(get(`gantry-stamp: ${STAMP}`, "x-mine: 1"))).toContain("mine");
    expect(await say(upgrade(`Gantry-Stamp: ${OTHER}`))).toContain("other");
    expect(await say(tunnel(tunnelAuthority(STAMP, "db.test:5432")))).toContain("mine");
    expect(await say(tunnel(tunnelAuthority(OTHER, "[::1]:1")))).toContain("other");
    expect(seen).toEqual([
      "mine GET http://a.test/x x-mine=1=connection=close",
      "other UPGRADE http://a.test/x head",
      "mine CONNECT db.test:5432 head",
      "other CONNECT [::1]:1 head",
    ]);
  });

  it("is refused without a stamp, with a foreign one, with two, and for a door that does not exist", async () => {
    out.open(STAMP, { durable, handler: handlerOf("mine") });
    const mine = `gantry-stamp: ${STAMP}`;
    for (const said of [
      get(),
      get(`gantry-stamp: ${OTHER}`),
      get("gantry-stamp: "),
      get(mine, mine),
      get(mine, `gantry-stamp: ${OTHER}`),
      get(mine, "gantry-door: bindings"),
      get(mine, "gantry-door: egress", "gantry-door: egress"),
      upgrade(),
      upgrade(mine, "gantry-door: bindings"),
      tunnel("db.test:5432"),
      tunnel(tunnelAuthority(OTHER, "db.test:5432")),
      tunnel(`${STAMP}.db.test:5432`),
      tunnel(`${STAMP}:5432`),
    ]) {
      expect(await say(said), said).toMatch(CLOSED);
    }
    expect(seen).toEqual([]);
    expect(await say(get(mine, "gantry-door: egress"))).toContain("mine");
  });

  it("is refused when its run has ended, also while the record was being written", async () => {
    let admit = (): void => {};
    const written = new Promise<void>((resolve) => {
      admit = resolve;
    });
    const close = out.open(STAMP, { durable: written, handler: handlerOf("mine") });
    const waiting = [get(`gantry-stamp: ${STAMP}`), upgrade(`gantry-stamp: ${STAMP}`), tunnel(`${STAMP}.61:1`)];
    const answers = Promise.all(waiting.map((said) => say(said)));
    await say("GET / HTTP/1.1\r\nconnection: close\r\n\r\n"); // those before it have been read by now
    close();
    admit();
    for (const answer of await answers) expect(answer).toMatch(CLOSED);
    for (const said of waiting) expect(await say(said)).toMatch(CLOSED);
    expect(seen).toEqual([]);
  });

  it("goes nowhere when its run's admission could not be recorded", async () => {
    const failed = Promise.reject(new Error("not recorded"));
    failed.catch(() => {});
    out.open(STAMP, { durable: failed, handler: handlerOf("mine") });
    expect(await say(get(`gantry-stamp: ${STAMP}`))).toMatch(/^HTTP\/1\.1 502 /);
    expect(await say(upgrade(`gantry-stamp: ${STAMP}`))).toBe("");
    expect(await say(tunnel(`${STAMP}.61:1`))).toBe("");
    expect(seen).toEqual([]);
  });

  it("has OUT_HEADERS_MAX header fields at most, whatever it is", async () => {
    out.open(STAMP, { durable, handler: handlerOf("mine") });
    // Each call has a stamp, and one or two fields of its own.
    const fields = (count: number): string[] => [
      `gantry-stamp: ${STAMP}`,
      ...Array.from({ length: count }, (_, at) => `x-${at}: 1`),
    ];
    expect(await say(get(...fields(OUT_HEADERS_MAX - 2)))).toMatch(/^HTTP\/1\.1 200 /);
    expect(await say(get(...fields(OUT_HEADERS_MAX - 1)))).toMatch(/^HTTP\/1\.1 431 /);
    expect(await say(upgrade(...fields(OUT_HEADERS_MAX - 3)))).toMatch(/^HTTP\/1\.1 101 /);
    expect(await say(upgrade(...fields(OUT_HEADERS_MAX - 2)))).toMatch(/^HTTP\/1\.1 431 /);
  });

  it("costs its own connection when the door fails", async () => {
    const throws = (): never => {
      throw new Error("a bug");
    };
    out.open(STAMP, { durable, handler: { request: throws, connect: throws, upgrade: throws } });
    expect(await say(get(`gantry-stamp: ${STAMP}`))).toMatch(/^HTTP\/1\.1 502 /);
    expect(await say(tunnel(`${STAMP}.61:1`))).toBe("");
    expect(await say(upgrade(`gantry-stamp: ${STAMP}`))).toBe("");
  });
});

describe("a call of a process that is its run's own", () => {
  it("needs no stamp, and may look as if it had one", async () => {
    out.openAlone({ durable, handler: handlerOf("mine") });
    for (const said of [get(), get(`gantry-stamp: ${OTHER}`), upgrade(), tunnel("db.test:1"), tunnel(`${OTHER}.61:1`)])
      expect(await say(said)).toContain("mine");
    expect(seen.at(-1)).toBe(`mine CONNECT ${OTHER}.61:1 head`);
    expect(await say(get("gantry-door: bindings"))).toMatch(CLOSED);
  });

  it("is refused when the run has ended", async () => {
    const close = out.openAlone({ durable, handler: handlerOf("mine") });
    close();
    for (const said of [get(), upgrade(), tunnel("db.test:1")]) expect(await say(said)).toMatch(CLOSED);
    expect(seen).toEqual([]);
  });
});

describe("a connection", () => {
  it("has OUT_HEAD_MS_MAX for the head of a call, and all the time for its body", {
    timeout: 3 * OUT_HEAD_MS_MAX,
  }, async () => {
    // The same with a shorter time: the constant is its default.
    const head_ms = OUT_HEAD_MS_MAX / 50;
    out.close();
    out = await OutSocket.listen(join(base, "short.sock"), undefined, head_ms);
    out.openAlone({
      durable,
      handler: { ...handlerOf("mine"), request: (call, answer) => void call.pipe(answer) },
    });
    const began = performance.now();
    const slow = (said: string): Promise<[string, number]> =>
      new Promise((resolve) => {
        let heard = "";
        const socket = connect(join(base, "short.sock"), () => socket.write(said));
        socket.on("data", (chunk) => {
          heard += chunk.toString();
        });
        socket.on("close", () => resolve([heard, performance.now() - began]));
        if (said.endsWith("\r\n\r\n")) setTimeout(() => socket.write("body"), 3 * head_ms);
      });
    const [late, silent, whole] = await Promise.all([
      slow("GET http://a.test/ HTTP/1.1\r\n"),
      slow(""),
      slow("POST http://a.test/ HTTP/1.1\r\ncontent-length: 4\r\nconnection: close\r\n\r\n"),
    ]);
    for (const [heard, after_ms] of [late, silent]) {
      expect(heard).toMatch(/^HTTP\/1\.1 408 /);
      expect(after_ms).toBeGreaterThanOrEqual(head_ms);
    }
    expect(whole[0]).toMatch(/^HTTP\/1\.1 200 .*body/s);
  });

  it("whose body is not HTTP is told so, but never in the middle of an answer", async () => {
    const bad = "POST http://a.test/ HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    const silent: DoorHandler = { ...handlerOf("mine"), request: () => {} };
    const close = out.openAlone({ durable, handler: silent });
    expect(await say(bad, "zz\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    close();
    const speaking: DoorHandler = {
      ...silent,
      request: (_call, answer) => void answer.writeHead(200, { "content-length": 1_000 }).write("some"),
    };
    out.openAlone({ durable, handler: speaking });
    const heard = await new Promise<string>((resolve) => {
      let text = "";
      const socket = connect(join(base, "out.sock"), () => socket.write(bad));
      socket.on("close", () => resolve(text)).on("error", () => {});
      socket.on("data", (chunk) => {
        text += chunk.toString();
        socket.write("zz\r\n");
      });
    });
    expect(heard).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nsome$/s);
  });

  it("that was refused is let go of, though the other side keeps its own", async () => {
    const socket = connect({ path: join(base, "out.sock"), allowHalfOpen: true }, () =>
      socket.write(tunnel("a.test:1")),
    );
    let broken = false;
    socket.on("error", () => {
      broken = true;
    });
    await eventually(() => {
      if (!broken) socket.write("more");
      return broken;
    }, "the other side to be gone");
  });
});

describe("the authority of a stamped tunnel", () => {
  it("is taken apart into what it was made of", () => {
    for (const target of ["db.test:5432", "[2001:db8::1]:80", "2001:db8::1:80", "a b\r\n:1", "höst.test:65535", ":1"])
      expect(stampedTunnel(tunnelAuthority(STAMP, target))).toEqual({ stamp: STAMP, target });
  });

  it("is of one form only", () => {
    for (const authority of [`${STAMP}.6:1`, `${STAMP}.6g:1`, `${STAMP}.61`, `${STAMP}x.61:1`, `x${STAMP}.61:1`, "a:1"])
      expect(stampedTunnel(authority)).toBeUndefined();
  });
});
