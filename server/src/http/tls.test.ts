import { Agent } from "node:https";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { getOverTls } from "../../../tests/fixtures/get_over_tls.ts";
import { need } from "../../../tests/fixtures/need.ts";
import {
  makeCertificate,
  opensslMissing,
  type ThrowawayCertificate,
} from "../../../tests/fixtures/throwaway_certificate.ts";
import { systemClock } from "../kernel/clock.ts";
import { type Listener, listen } from "./server.ts";

const clock = systemClock();
const HOSTS = ["localhost", "IP:127.0.0.1"];

describe("a listener with a certificate", () => {
  let first: ThrowawayCertificate;
  let second: ThrowawayCertificate;
  const open: Listener[] = [];
  beforeEach(async (context) => {
    need(context, "openssl", opensslMissing());
    [first, second] = await Promise.all([makeCertificate(HOSTS), makeCertificate(HOSTS)]);
    return async () => Promise.all([first.remove(), second.remove()]);
  });
  afterEach(async () => {
    for (const listener of open.splice(0)) await listener.close(0);
  });

  async function serving(app: { fetch: (request: Request) => Response | Promise<Response> }): Promise<Listener> {
    const listener = await listen(app, { port: 0, clock, tls: first });
    open.push(listener);
    return listener;
  }
  const ok = { fetch: (request: Request) => new Response(request.url) };

  const ask = (listener: Listener, ca: string, agent?: Agent) => getOverTls(`${listener.url}/x`, ca, agent);

  it("says https, and tells the application that it was asked so", async () => {
    const listener = await serving(ok);
    expect(listener.url).toBe(`https://127.0.0.1:${listener.port}`);
    expect(await ask(listener, first.cert)).toBe(`${listener.url}/x`);
    await expect(ask(listener, second.cert)).rejects.toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  });

  it("answers HTTP without TLS with a sentence that says https", async () => {
    const { port } = await serving(ok);
    const answer = await fetch(`http://127.0.0.1:${port}/v1/me`, { headers: { authorization: "Bearer x" } });
    expect(answer.status).toBe(400);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(await answer.json()).toMatchObject({
      code: "REQUEST_MALFORMED",
      detail: expect.stringMatching(/https:\/\//),
    });
  });

  it("hangs up on what is neither, and serves the next one", async () => {
    const listener = await serving(ok);
    let closed = false;
    const socket = connect(listener.port, "127.0.0.1", () => socket.write(Buffer.alloc(64, 0xff)));
    socket
      .on("error", () => undefined)
      .on("close", () => {
        closed = true;
      });
    socket.resume();
    await eventually(() => closed, "the connection to be closed");
    expect(await ask(listener, first.cert)).toContain("/x");
  });

  it("speaks TLS 1.2 and 1.3, and nothing older", async () => {
    const { port } = await serving(ok);
    const speak = (version: "TLSv1.1" | "TLSv1.2" | "TLSv1.3") =>
      new Promise<string | null>((resolve) => {
        // The lowest security level: else this client itself would refuse to speak the old one.
        const o = { minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0", ca: first.cert };
        const socket = connectTls({ port, host: "127.0.0.1", ...o }, () => {
          resolve(socket.getProtocol());
          socket.destroy();
        });
        socket.on("error", (error) => resolve((error as { code?: string }).code ?? "refused"));
      });
    expect(await speak("TLSv1.3")).toBe("TLSv1.3");
    expect(await speak("TLSv1.2")).toBe("TLSv1.2");
    expect(await speak("TLSv1.1")).toMatch(/^ERR_SSL|ECONNRESET/);
  });

  it("gives new connections a renewed certificate, and leaves those that are open alone", async () => {
    let answer = (_: Response) => {};
    let asked = 0;
    const listener = await serving({
      fetch: () => {
        asked += 1;
        return asked === 2 ? new Promise((resolve) => (answer = resolve)) : new Response("ok");
      },
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await ask(listener, first.cert, agent)).toBe("ok");
    const waiting = ask(listener, first.cert, agent);
    await eventually(() => asked === 2);
    listener.renew(second);
    await expect(ask(listener, first.cert)).rejects.toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    expect(await ask(listener, second.cert)).toBe("ok");
    answer(new Response("late"));
    expect(await waiting).toBe("late");
    // The connection of before still is: nothing was asked of its certificate again.
    expect(await ask(listener, first.cert, agent)).toBe("ok");
    agent.destroy();
  });

  it("closes in time although a client never begins its handshake", async () => {
    const listener = await listen(ok, { port: 0, clock, tls: first });
    let closed = false;
    const silent = connect(listener.port, "127.0.0.1");
    silent
      .on("error", () => undefined)
      .on("close", () => {
        closed = true;
      });
    await eventually(() => !silent.connecting);
    await ask(listener, first.cert);
    await listener.close(20);
    await eventually(() => closed, "the silent client to be cut");
  });
});
