import { getConnInfo } from "@hono/node-server/conninfo";
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Identity, RouteEnv } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import { type Labels, METRICS, type MetricName, type Metrics } from "../kernel/telemetry.ts";
import { bearerOf } from "./bearer.ts";

export interface Prometheus {
  metrics: Metrics;
  /** The text exposition of everything. */
  render(): Promise<{ body: string; content_type: string }>;
}

/**
 * The histogram of the event loop's lag wakes the process each 10 ms, which is most of what an idle server does (5 ms
 * of CPU time a second; prom-client 15.1, Node 20.20). A slower one would say that the lag is its own period. What is
 * measured at each scrape, `nodejs_eventloop_lag_seconds`, stays.
 */
const NEVER_MS = 2 ** 31 - 1;
const LAG_METRICS = ["min", "max", "mean", "stddev", "p50", "p90", "p99"].map(
  (what) => `nodejs_eventloop_lag_${what}_seconds`,
);

/** What was measured is given to prom-client when so much of it waits, or when somebody asks. */
const WAITING_MAX = 256;
const NO_LABELS: Labels = {};

type Take = (labels: Labels, value: number) => void;
interface Known {
  kind: "counter" | "gauge" | "histogram";
  labels: readonly string[];
  take: Take;
}

/**
 * The kernel's metrics as Prometheus knows them, with those of the process.
 *
 * A run measures some twenty values, one at a time between other work: prom-client (15.1) is cold then, and was 2 % of
 * the main thread. Many in a row take it a fifth of the time (Node 20.20), so they wait for each other. What is wrong
 * with one is said at once.
 */
export function createPrometheus(): Prometheus {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: NEVER_MS });
  for (const name of LAG_METRICS) registry.removeSingleMetric(name);
  const known = new Map<MetricName, Known>();
  for (const name of Object.keys(METRICS) as MetricName[]) {
    const { kind, labels } = METRICS[name];
    known.set(name, { kind, labels, take: takerOf(name, registry) });
  }
  let waiting: { take: Take; labels: Labels; value: number }[] = [];
  const takeAll = (): void => {
    const all = waiting;
    waiting = [];
    for (const { take, labels, value } of all) take(labels, value);
  };
  const measure = (metric: Known, labels: Labels, value: number): void => {
    for (const name in labels) assert(metric.labels.includes(name), "a metric has the labels of its definition");
    assert(Number.isFinite(value), "what is measured is a number");
    if (waiting.push({ take: metric.take, labels, value }) >= WAITING_MAX) takeAll();
  };
  const metrics: Metrics = {
    add(name, labels = NO_LABELS, by = 1) {
      const metric = known.get(name);
      assert(metric?.kind === "counter" && by >= 0, "only counters are added to, and never less than nothing");
      measure(metric, labels, by);
    },
    observe(name, value, labels = NO_LABELS) {
      const metric = known.get(name);
      assert(metric?.kind === "histogram", "only histograms observe");
      measure(metric, labels, value);
    },
    set(name, value, labels = NO_LABELS) {
      const metric = known.get(name);
      assert(metric?.kind === "gauge", "only gauges are set");
      measure(metric, labels, value);
    },
  };
  const render = async () => {
    takeAll();
    return { body: await registry.metrics(), content_type: registry.contentType };
  };
  return { metrics, render };
}

function takerOf(name: MetricName, registry: Registry): Take {
  const definition = METRICS[name];
  const base = { name, help: definition.help, labelNames: [...definition.labels], registers: [registry] };
  if (definition.kind === "counter") {
    const counter = new Counter(base);
    return (labels, value) => counter.inc(labels, value);
  }
  if (definition.kind === "gauge") {
    const gauge = new Gauge(base);
    return (labels, value) => gauge.set(labels, value);
  }
  const histogram = new Histogram({ ...base, buckets: [...definition.buckets] });
  return (labels, value) => histogram.observe(labels, value);
}

const route = createRoute({
  method: "get",
  path: "/metrics",
  tags: ["health"],
  summary: "Prometheus metrics; from this machine, or with the scope `ops:read`",
  responses: { 200: { description: "Text exposition.", content: { "text/plain": { schema: z.string() } } } },
});

/** `/metrics`: open to this machine itself, else for a token with `ops:read`. */
export function metricsRoutes(
  prometheus: Pick<Prometheus, "render">,
  identity: Pick<Identity, "authenticate" | "demand">,
): OpenAPIHono<RouteEnv> {
  const app = new OpenAPIHono<RouteEnv>();
  app.openapi(route, async (c) => {
    if (!isLocal(c)) identity.demand(await identity.authenticate(bearerOf(c)), "ops:read");
    const { body, content_type } = await prometheus.render();
    return c.text(body, 200, { "content-type": content_type, "cache-control": "no-store" });
  });
  return app;
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)$/;
const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;

/**
 * A proxy on this machine speaks for others and says so; a web page that made its name resolve to this machine
 * gives itself away by the name.
 */
function isLocal(c: Context): boolean {
  const forwarded = c.req.header("forwarded") ?? c.req.header("x-forwarded-for");
  if (forwarded !== undefined || !LOCAL_HOST.test(c.req.header("host") ?? "")) return false;
  if (c.env?.incoming === undefined) return false; // called without a socket
  return LOOPBACK.test(getConnInfo(c).remote.address ?? "");
}
