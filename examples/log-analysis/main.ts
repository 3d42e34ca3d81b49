import { parseLine, type Request } from "./line.ts";

/** Error bursts: minutes with at least this many 5xx answers, which are also a fifth of all answers. */
const BURST_ERRORS_MIN = 5;
const REFUSED_MIN = 20;
const PROBES_MIN = 4;
const PER_MINUTE_MAX = 100;
const PROBED = /^\/(\.env|\.git\/|wp-|phpmyadmin|admin\.php|etc\/passwd)/;

/** Reads an access log and says how the service did, when it failed and who behaved oddly. */
export default async function analyse(log: string) {
  const requests: Request[] = [];
  const unread: { line: number; text: string }[] = [];
  log.split("\n").forEach((text, index) => {
    if (text === "") return;
    const request = parseLine(text);
    if (request) requests.push(request);
    else unread.push({ line: index + 1, text: text.slice(0, 60) });
  });
  return {
    requests: requests.length,
    status: Object.fromEntries(counts(requests, (request) => `${Math.floor(request.status / 100)}xx`)),
    routes: latencies(requests),
    bursts: bursts(requests),
    suspicious: suspicious(requests),
    unread,
  };
}

function grouped<T>(items: T[], key: (item: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

const counts = <T>(items: T[], key: (item: T) => string): [string, number][] =>
  grouped(items, key).map(([name, of]) => [name, of.length]);

/** The value below which `percent` of the sorted values lie: nearest rank. */
const percentile = (sorted: number[], percent: number) => sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? 0;

function latencies(requests: Request[]) {
  return grouped(requests, (request) => request.route)
    .filter(([, of]) => of.length >= 50)
    .map(([route, of]) => {
      const ms = of.map((request) => request.ms).sort((a, b) => a - b);
      return {
        route,
        requests: of.length,
        p50_ms: percentile(ms, 50),
        p95_ms: percentile(ms, 95),
        p99_ms: percentile(ms, 99),
      };
    });
}

/** Minutes that went badly, neighbours joined into one burst. */
function bursts(requests: Request[]) {
  const found: { from: string; minutes: number; errors: number; last: number }[] = [];
  for (const [minute, of] of grouped(requests, (request) => request.minute)) {
    const errors = of.filter((request) => request.status >= 500).length;
    if (errors < BURST_ERRORS_MIN || errors * 5 < of.length) continue;
    const at = Number(minute.slice(-5, -3)) * 60 + Number(minute.slice(-2));
    const previous = found.at(-1);
    if (previous?.last === at - 1) {
      previous.minutes += 1;
      previous.errors += errors;
      previous.last = at;
    } else found.push({ from: minute, minutes: 1, errors, last: at });
  }
  return found.map(({ from, minutes, errors }) => ({ from, minutes, errors }));
}

function suspicious(requests: Request[]) {
  return grouped(requests, (request) => request.client).flatMap(([client, of]) => {
    const reasons: string[] = [];
    const refused = of.filter((request) => request.status === 401 || request.status === 403).length;
    if (refused >= REFUSED_MIN) reasons.push(`${refused} refused logins`);
    const probed = new Set(of.filter((request) => PROBED.test(request.path)).map((request) => request.path)).size;
    if (probed >= PROBES_MIN) reasons.push(`looked for ${probed} files that only an intruder wants`);
    const busiest = Math.max(...counts(of, (request) => request.minute).map(([, count]) => count));
    if (busiest > PER_MINUTE_MAX) reasons.push(`${busiest} requests in one minute`);
    return reasons.length > 0 ? [{ client, requests: of.length, reasons }] : [];
  });
}
