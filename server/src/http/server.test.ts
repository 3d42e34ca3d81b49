import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { systemClock } from "../kernel/clock.ts";
import {
  CONNECTIONS_MAX,
  HEADER_BYTES_MAX,
  HEADERS_MAX,
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  REFUSED_CLOSE_MS,
  REQUEST_TIMEOUT_MS,
} from "./contract.ts";
import { CONNECTION_LIMITS, listen } from "./server.ts";

const clock = systemClock();

/** Sends bytes on a connection of its own. `text` is what came back; `closed_ms` how long it stayed open. */
function speak(port: number, bytes: string, allowHalfOpen = false) {
  const from = performance.now();
  const said = {
    text: "",
    closed_ms: undefined as number | undefined,
    hang_up: () => void socket.destroy(),
    say: (more: string) => void socket.write(more),
  };
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen });
  socket.on("data", (chunk) => {
    said.text += chunk.toString();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    said.closed_ms = performance.now() - from;
  });
  socket.write(bytes);
  return said;
}

describe("a listener", () => {
  it("closes when what is on its way is answered, and cuts what takes too long", async () => {
    let answer = (_: Response) => {};
    const app = {
      fetch: () =>
        new Promise<Response>((resolve) => {
          answer = resolve;
        }),
    };
    const first = await listen(app, { port: 0, clock });
    const one = fetch(first.url);
    await eventually(() => answer.length === 1);
    await eventually(async () => {
      answer(new Response("done"));
      return (await Promise.race([one, new Promise((resolve) => setTimeout(resolve, 5))])) !== undefined;
    });
    await first.close(5_000);
    expect(await (await one).text()).toBe("done");
    const second = await listen(app, { port: 0, clock });
    const cut = fetch(second.url).catch(() => "cut");
    await new Promise((resolve) => setImmediate(resolve));
    await second.close(20);
    expect(await cut).toBe("cut");
  });

  it("says why it cannot listen", async () => {
    const app = { fetch: () => new Response("") };
    const first = await listen(app, { port: 0, clock });
    await expect(listen(app, { port: first.port, clock })).rejects.toMatchObject({ code: "EADDRINUSE" });
    await first.close(0);
  });

  it("answers headers up to their limit, and 431 past it", async () => {
    const app = { fetch: () => new Response("ok") };
    const listener = await listen(app, { port: 0, clock });
    const ask = (bytes: number) =>
      speak(listener.port, `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(bytes)}\r\n\r\n`, true);
    const fits = ask(HEADER_BYTES_MAX - 64);
    const over = ask(HEADER_BYTES_MAX);
    await eventually(() => fits.text.includes("ok") && over.text.includes("REQUEST_HEADERS"));
    expect(over.text).toMatch(/^HTTP\/1\.1 431 /);
    fits.hang_up();
    // A client that goes on may read the refusal, and is then cut off.
    await eventually(() => {
      over.say("z");
      return over.closed_ms !== undefined;
    });
    expect(over.closed_ms).toBeGreaterThan(REFUSED_CLOSE_MS * 0.9);
    await listener.close(0);
  });

  it("answers so many headers, and 431 one past them", async () => {
    const app = { fetch: () => new Response("ok") };
    const listener = await listen(app, { port: 0, clock });
    const ask = (count: number) => {
      const more = Array.from({ length: count - 1 }, (_, i) => `x-${i}: 1\r\n`).join("");
      return speak(listener.port, `GET / HTTP/1.1\r\nhost: a\r\n${more}\r\n`);
    };
    const fits = ask(HEADERS_MAX);
    const over = ask(HEADERS_MAX + 1);
    await eventually(() => fits.text.includes("ok") && over.text.includes("REQUEST_HEADERS"));
    expect(over.text).toMatch(/^HTTP\/1\.1 431 /);
    fits.hang_up();
    over.hang_up();
    await listener.close(0);
  });

  it("takes so many connections and not one more", async () => {
    expect(CONNECTION_LIMITS.connections_max).toBe(CONNECTIONS_MAX);
    const listener = await listen(
      { fetch: () => new Response("ok") },
      { port: 0, clock, limits: { connections_max: 2 } },
    );
    const request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const kept = [speak(listener.port, request), speak(listener.port, request)];
    await eventually(() => kept.every(({ text }) => text.includes("ok")));
    const third = speak(listener.port, request);
    await eventually(() => third.closed_ms !== undefined);
    expect(third.text).toBe("");
    for (const each of kept) each.hang_up();
    await listener.close(0);
  });

  it("gives up on headers, and on bodies, that do not come", async () => {
    expect(CONNECTION_LIMITS).toMatchObject({
      headers_timeout_ms: HEADERS_TIMEOUT_MS,
      request_timeout_ms: REQUEST_TIMEOUT_MS,
    });
    const app = { fetch: async (request: Request) => new Response(await request.text()) };
    const limits = { headers_timeout_ms: 50, request_timeout_ms: 100 };
    const listener = await listen(app, { port: 0, clock, limits });
    const headers = speak(listener.port, "GET / HTTP/1.1\r\nhost:");
    const body = speak(listener.port, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx");
    await eventually(() => headers.text.includes("REQUEST_TIMEOUT"));
    await eventually(() => body.closed_ms !== undefined || body.text !== "");
    headers.hang_up();
    body.hang_up();
    await listener.close(0);
  });

  it("tells how long it keeps an idle connection, and closes it then", async () => {
    const app = { fetch: () => new Response("ok") };
    const listener = await listen(app, { port: 0, clock });
    const told = speak(listener.port, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await eventually(() => told.text.includes("ok"));
    expect(told.text.toLowerCase()).toContain(`keep-alive: timeout=${KEEP_ALIVE_MS / 1_000}`);
    told.hang_up();
    await listener.close(0);
    const brief = await listen(app, { port: 0, clock, limits: { keep_alive_ms: 20 } });
    const idle = speak(brief.port, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await eventually(() => idle.closed_ms !== undefined || idle.text.includes("ok"));
    await brief.close(0);
  });
});
