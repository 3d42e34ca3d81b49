import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { ownSender } from "../../../../tests/fixtures/own_sender.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { systemClock } from "../../kernel/clock.ts";
import {
  type CheckpointCopy,
  type CheckpointSink,
  WEBHOOK_ANSWER_BYTES_MAX,
  WEBHOOK_ANSWER_MS,
  WITNESS_PROOF_HASHES_MAX,
} from "../contract.ts";
import { addCheckpoint, openWebhookSink } from "./webhook.ts";

const { signal } = new AbortController();
const note = "example.org/log\n7\nAAAA\n\n\u2014 example.org/log BBBB\n";
const copy: CheckpointCopy = { old_size: 3, proof: [Buffer.alloc(32, 1), Buffer.alloc(32, 2)], note, size: 7 };

let servers: { close(): unknown }[];
beforeEach(() => {
  servers = [];
});
afterEach(() => {
  for (const server of servers) server.close();
});

async function sinkTo(listener: RequestListener, clock = systemClock(), more = ""): Promise<CheckpointSink> {
  const server: Server = createServer(listener).listen(0, "127.0.0.1");
  servers.push({ close: () => server.close() && server.closeAllConnections() });
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://user:p%40ss@127.0.0.1:${(server.address() as AddressInfo).port}/add-checkpoint${more}`;
  return openWebhookSink({ name: "webhook:w", url, sender: ownSender(clock) });
}
const answering = (status: number, body = "", type = "text/plain") =>
  sinkTo((_, response) => response.writeHead(status, { "content-type": type }).end(body));

describe("what a webhook is given", () => {
  it("is the old size, the proof, an empty line and the note, each line ended", () => {
    const hashes = [1, 2].map((byte) => Buffer.alloc(32, byte).toString("base64"));
    expect(addCheckpoint(copy)).toBe(`old 3\n${hashes[0]}\n${hashes[1]}\n\n${note}`);
    expect(addCheckpoint({ ...copy, old_size: 0, proof: [] })).toBe(`old 0\n\n${note}`);
  });

  it(`has up to ${WITNESS_PROOF_HASHES_MAX} hashes, and none from nothing`, () => {
    const most = Array.from({ length: WITNESS_PROOF_HASHES_MAX }, () => Buffer.alloc(32));
    expect(addCheckpoint({ ...copy, proof: most }).split("\n").length).toBe(WITNESS_PROOF_HASHES_MAX + 8);
    expect(() => addCheckpoint({ ...copy, proof: [...most, Buffer.alloc(32)] })).toThrow(/63/);
    expect(() => addCheckpoint({ ...copy, old_size: 0 })).toThrow(/nothing/);
  });

  it("comes by POST, with the user and the password of the URL", async () => {
    const seen: unknown[] = [];
    const sink = await sinkTo(async (request, response) => {
      let body = "";
      for await (const chunk of request.setEncoding("utf8")) body += chunk;
      seen.push(request.method, request.url, request.headers.authorization, body);
      response.end("\u2014 witness AAAA\n");
    });
    expect(await sink.publish(copy, signal)).toBe(7);
    const basic = `Basic ${Buffer.from("user:p@ss").toString("base64")}`;
    expect(seen).toEqual(["POST", "/add-checkpoint", basic, addCheckpoint(copy)]);
  });
});

describe("what a webhook answers", () => {
  it.each([
    ["0\n", 0],
    ["2", 2],
    ["7\n", 7],
    ["9007199254740991\n", Number.MAX_SAFE_INTEGER],
  ])("with status 409 and the size %j is what it holds", async (body, size) => {
    const sink = await answering(409, body, "text/x.tlog.size; charset=utf-8");
    expect(await sink.publish(copy, signal)).toBe(size);
  });

  it.each([
    ["3\n", "text/x.tlog.size", /holds another tree of size 3/],
    ["07\n", "text/x.tlog.size", /does not say what/],
    ["-1\n", "text/x.tlog.size", /does not say what/],
    ["9007199254740993\n", "text/x.tlog.size", /does not say what/],
    ["1e3\n", "text/x.tlog.size", /does not say what/],
    ["\u0000\u001b[2J", "text/x.tlog.size", /does not say what/],
    ["5\n", "text/plain", /does not say what/],
  ])("with status 409 and %j as %s is an error", async (body, type, said) => {
    await expect((await answering(409, body, type)).publish(copy, signal)).rejects.toThrow(said);
  });

  it.each([
    [301, /status 301$/],
    [400, /status 400$/],
    [403, /403: it knows no key/],
    [404, /404: it does not know this log/],
    [422, /422: it finds the log inconsistent/],
    [500, /status 500$/],
  ])("with status %i is an error that quotes nothing of it", async (status, said) => {
    const failure = await (await answering(status, "canary"))
      .publish(copy, signal)
      .catch((error: Error) => error.message);
    expect(failure).toMatch(said);
    expect(failure).not.toContain("canary");
  });

  it("with garbage and status 200 is a copy taken, whatever it says", async () => {
    expect(await (await answering(200, "\u0000\uffff{[")).publish(copy, signal)).toBe(7);
  });

  it("may be as large as its limit and not larger, and an endless one is cut off", async () => {
    expect(await (await answering(200, "x".repeat(WEBHOOK_ANSWER_BYTES_MAX))).publish(copy, signal)).toBe(7);
    const too_much = `more than ${WEBHOOK_ANSWER_BYTES_MAX} bytes`;
    const long = await answering(200, "x".repeat(WEBHOOK_ANSWER_BYTES_MAX + 1));
    await expect(long.publish(copy, signal)).rejects.toThrow(too_much);
    let is_cut = false;
    const endless = await sinkTo((_, response) => {
      const write = (): void => {
        while (!response.destroyed && response.write("x".repeat(1_000)));
      };
      response.on("drain", write).on("close", () => {
        is_cut = true;
      });
      write();
    });
    await expect(endless.publish(copy, signal)).rejects.toThrow(too_much);
    await eventually(() => is_cut, "the connection to be cut");
  });

  it("has its time, also when it drips, and the connection ends with it", async () => {
    const clock = new VirtualClock();
    let is_cut = false;
    let asked = false;
    const slow = await sinkTo((_, response) => {
      response.writeHead(200).write("a");
      response.on("close", () => {
        is_cut = true;
      });
      asked = true;
    }, clock);
    let ended: unknown;
    const going = slow.publish(copy, signal).catch((error: Error) => {
      ended = error.message;
    });
    await eventually(() => asked, "the request");
    clock.advance(WEBHOOK_ANSWER_MS - 1);
    await new Promise(setImmediate);
    expect(ended).toBeUndefined();
    clock.advance(1);
    await going;
    expect(ended).toBe(`no whole answer within ${WEBHOOK_ANSWER_MS / 1_000} s`);
    await eventually(() => is_cut, "the connection to be cut");
  });

  it("is not waited for once it is stopped", async () => {
    const stop = new AbortController();
    const silent = await sinkTo(() => stop.abort());
    await expect(silent.publish(copy, stop.signal)).rejects.toThrow("the request was stopped");
    await expect(silent.publish(copy, stop.signal)).rejects.toThrow("the request was not begun");
  });

  it("that is no HTTP, a closed port, and a connection that breaks are errors without the address", async () => {
    const raw = createTcpServer((socket) => socket.resume().end("SSH-2.0-canary\r\n")).listen(0, "127.0.0.1");
    servers.push(raw);
    await new Promise((resolve) => raw.once("listening", resolve));
    const { port } = raw.address() as AddressInfo;
    const at = (url: string) => openWebhookSink({ name: "webhook:w", url, sender: ownSender(systemClock()) });
    const secret = `http://u:secret@127.0.0.1:${port}/secret`;
    await expect(at(secret).publish(copy, signal)).rejects.toThrow(/^no answer: HPE_\w+$/);
    raw.close();
    await new Promise((resolve) => raw.once("close", resolve));
    await expect(at(secret).publish(copy, signal)).rejects.toThrow("no answer: ECONNREFUSED");
    const broken = await sinkTo((_, response) => {
      response.writeHead(200, { "content-length": 100 }).write("half");
      setImmediate(() => response.destroy());
    });
    await expect(broken.publish(copy, signal)).rejects.toThrow(/^(the answer broke off|no answer): ECONNRESET$/);
  });

  it("to a question is the newest note, or nothing when it does not tell", async () => {
    const asked: unknown[] = [];
    const sink = await sinkTo((request, response) => {
      asked.push(request.method, request.url);
      response.end(note);
    });
    expect(await sink.newest(signal)).toBe(note);
    expect(asked).toEqual(["GET", "/add-checkpoint"]);
    for (const status of [204, 302, 404, 405, 500]) {
      expect(await (await answering(status, status === 204 ? "" : note)).newest(signal)).toBeUndefined();
    }
  });
});
