// Writes log-analysis/access.log: six hours of a small web shop, with two outages and some unwelcome guests.
import { writeFileSync } from "node:fs";
import { dice, padded } from "./dice.mjs";

const { between, pick, once_in } = dice(8_080);
const LINES = 8000;
const SECONDS = 6 * 3600;
/** Route, share of the traffic, usual milliseconds. */
const routes = [
  ["GET", () => "/", 20, 18],
  ["GET", () => `/products/${between(1, 400)}`, 40, 35],
  ["GET", () => `/api/cart/${between(1000, 9999)}`, 20, 22],
  ["POST", () => "/api/orders", 10, 140],
  ["GET", () => `/api/orders/${between(1, 5000)}`, 15, 60],
  ["GET", () => "/static/app.css", 25, 4],
  ["GET", () => `/search?q=${pick(["lamp", "chair", "desk", "arm"])}`, 12, 210],
];
const wheel = routes.flatMap((route) => Array(route[2]).fill(route));
const browsers = ["Firefox/149", "Chrome/151", "Safari/20", "shop-app/3.2"];
const visitors = Array.from({ length: 160 }, (_, n) => `203.0.113.${n + 20}`);
const probes = ["/.env", "/wp-login.php", "/.git/config", "/admin.php", "/phpmyadmin/", "/etc/passwd"];

const at = (s) =>
  `14/Mar/2026:${padded(6 + Math.floor(s / 3600), 2)}:${padded(Math.floor(s / 60) % 60, 2)}:${padded(s % 60, 2)} +0000`;
const line = (s, ip, method, path, status, bytes, ms, agent) =>
  `${ip} - - [${at(s)}] "${method} ${path} HTTP/1.1" ${status} ${bytes} ${Math.floor(ms / 1000)}.${padded(ms % 1000, 3)} "${agent}"`;

const entries = [];
const add = (s, text) => entries.push([s, entries.length, text]);
const outage = (s) => (s >= 7200 && s < 7440) || (s >= 15_000 && s < 15_120);

for (let n = 0; n < LINES - 270; n++) {
  const s = between(0, SECONDS - 1);
  const [method, path, , usual] = pick(wheel);
  const down = outage(s) && method === "POST";
  const slow = once_in(60) ? between(8, 25) : 1;
  const ms = down ? between(5000, 5100) : Math.max(1, between(Math.floor(usual / 2), usual * 2)) * slow;
  const status =
    down || (outage(s) && once_in(2))
      ? pick([502, 503])
      : once_in(50)
        ? 404
        : once_in(900)
          ? 500
          : method === "POST"
            ? 201
            : 200;
  add(s, line(s, pick(visitors), method, path(), status, between(180, 9000), ms, pick(browsers)));
}
// One address tries passwords, one looks for forgotten files, one asks far too often.
for (let n = 0; n < 90; n++)
  add(4000 + n * 3, line(4000 + n * 3, "198.51.100.7", "POST", "/api/login", 401, 64, between(80, 120), "curl/8.9"));
for (let n = 0; n < 30; n++)
  add(
    9000 + n * 40,
    line(9000 + n * 40, "198.51.100.23", "GET", probes[n % probes.length], 404, 153, between(1, 4), "scan/1"),
  );
for (let n = 0; n < 144; n++)
  add(
    12_000 + Math.floor(n / 3),
    line(12_000 + Math.floor(n / 3), "192.0.2.66", "GET", `/products/${n + 1}`, 200, 5200, between(20, 60), "bot/0.1"),
  );
// What a crashed writer and a hostile client leave behind.
add(2500, '203.0.113.44 - - [14/Mar/2026:06:41:40 +0000] "GET /produ');
add(5100, "-- log rotated --");
add(5101, "");
add(11_000, '203.0.113.90 - - [14/Mar/2026:09:03:20 +0000] "\\x16\\x03\\x01" 400 0 0.000 "-"');
add(18_000, '203.0.113.91 - - [14/Mar/2026:11:00:00 +0000] "GET / HTTP/1.1" 200 notanumber 0.018 "Firefox/149"');
add(18_001, "\ufffd\ufffd\ufffd");

entries.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
writeFileSync(
  new URL("../log-analysis/access.log", import.meta.url),
  `${entries.map((entry) => entry[2]).join("\n")}\n`,
);
