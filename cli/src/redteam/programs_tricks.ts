import type { AttackProgram } from "./program.ts";

/** By the language itself, and by what stands around a guest. */
export const trick_programs: readonly AttackProgram[] = [
  {
    name: "imports",
    about: "modules from URLs, and modules that are not for guests",
    source: `
import { answered, hidden } from "./told.js";
export function ways({ host, port, path }) {
  const place = host + ":" + port + path;
  return {
    "import http": () => import(["http://" + host, port + path].join(":")),
    "import https": () => import(["https", "//example.com/x.js"].join(":")),
    "import data": () => import(["data", "text/javascript,export default 1"].join(":")),
    "importScripts": () => importScripts("http://" + place),
    "streaming wasm": () => WebAssembly.compileStreaming(fetch("http://" + place).then((r) => { answered(r); return r; })),
    "workerd:unsafe": () => hidden("workerd", "unsafe"),
    "workerd:unsafe-eval": () => hidden("workerd", "unsafe-eval"),
    "cloudflare-internal:sockets": () => hidden("cloudflare-internal", "sockets"),
    "node-internal:process": () => hidden("node-internal", "process"),
    "internal:unsafe-eval": () => hidden("internal", "unsafe-eval"),
    "createRequire": async () => (await hidden("node", "module")).createRequire("/")("/etc/passwd"),
  };
}
`,
  },
  {
    name: "made-code",
    about: "code that is made while it runs",
    source: `
import { hidden } from "./told.js";
export const ways = () => ({
  "eval": () => globalThis.eval("1 + 1"),
  "new Function": () => new Function("return 1")(),
  "async function": () => (async () => {}).constructor("return 1")(),
  "generator": () => (function* () {}).constructor("yield 1")().next().value,
  "a timer's text": () => setTimeout("globalThis.leak = 1", 0) && globalThis.leak,
  "WebAssembly": () => new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)),
  "vm": async () => (await hidden("node", "vm")).runInThisContext("1 + 1"),
  "v8 flags": async () => (await hidden("node", "v8")).setFlagsFromString("--expose-gc") || globalThis.gc,
  "repl": async () => (await hidden("node", "repl")).start().id,
});
`,
  },
  {
    name: "prototypes",
    about: "objects that say one thing to be judged and another to be sent",
    source: `
import { answered } from "./told.js";
export function ways({ host, port, path }) {
  const bad = "http://" + host + ":" + port + path;
  const good = "https://example.com/";
  const turning = () => { let asked = 0; return () => (asked++ === 0 ? good : bad); };
  const real = globalThis.fetch;
  return {
    "toString that turns": async () => answered(await fetch({ toString: turning() })),
    "toPrimitive that turns": async () => answered(await fetch({ [Symbol.toPrimitive]: turning() })),
    "a URL whose href lies": async () => { const url = new URL(bad); Object.defineProperty(url, "href", { get: () => good }); return answered(await fetch(url)); },
    "a Request whose url lies": async () => { const request = new Request(bad); Object.defineProperty(request, "url", { get: () => good }); return answered(await fetch(request)); },
    "URL.prototype.href": async () => {
      const own = Object.getOwnPropertyDescriptor(URL.prototype, "href");
      try { Object.defineProperty(URL.prototype, "href", { get: () => good, configurable: true }); return answered(await real(new URL(bad))); }
      finally { Object.defineProperty(URL.prototype, "href", own); }
    },
    "String.prototype": async () => {
      const own = String.prototype.startsWith;
      try { String.prototype.startsWith = () => true; String.prototype.includes = () => true; return answered(await real(bad)); }
      finally { String.prototype.startsWith = own; }
    },
    "Headers.prototype.get": async () => {
      const own = Headers.prototype.get;
      try { Headers.prototype.get = function (name) { return name === "host" ? "example.com" : own.call(this, name); }; return answered(await real(bad)); }
      finally { Headers.prototype.get = own; }
    },
    "a proxy around a Request": async () => answered(await fetch(new Proxy(new Request(bad), {}))),
    "a subclass of Request": async () => { class Mine extends Request { get url() { return good; } } return answered(await fetch(new Mine(bad))); },
    "a cloned Request": async () => answered(await fetch(new Request(new Request(good), { headers: { host: host + ":" + port } }))),
    "fetch of another realm": async () => answered(await Reflect.apply(Object.getPrototypeOf(globalThis).fetch || real, undefined, [bad])),
    "init that turns": async () => answered(await fetch(good, { get method() { return "CONNECT"; } })),
    "cf.resolveOverride": async () => answered(await fetch(good, { cf: { resolveOverride: host } })),
  };
}
`,
  },
  {
    name: "bindings",
    about: "ways to Gantry's own code in the process",
    source: `
import * as workers from "cloudflare:workers";
import { answered, hidden, some } from "./told.js";
export function ways({ host, port, path }, env, ctx) {
  const url = "http://" + host + ":" + port + path;
  const fetchers = () => [...Object.values(env || {}), ...Object.values(ctx.exports || {}), ...Object.values(workers.exports || {})]
    .filter((one) => one && typeof one.fetch === "function");
  return {
    "env": () => some(Object.keys(env || {}).filter((name) => !String(env[name]).startsWith("gl_"))),
    "module env": () => some(Object.keys(workers.env || {}).filter((name) => !String(workers.env[name]).startsWith("gl_"))),
    "props": () => some(Object.keys(ctx.props || {})),
    "a fetcher of ours": async () => { for (const one of fetchers()) answered(await one.fetch(url)); },
    "a socket of ours": async () => { for (const one of fetchers()) if (one.connect) { const s = one.connect(host + ":" + port); await s.opened; return "opened"; } },
    "our host module": async () => { const seen = await hidden("gantry", "host"); return some(Object.keys(seen).filter((name) => name !== "default")); },
    "LOADER": () => env.LOADER || workers.exports && workers.exports.LOADER,
  };
}
`,
  },
];
