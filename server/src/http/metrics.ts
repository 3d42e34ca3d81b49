import { getConnInfo } from "@hono/node-server/conninfo";
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Identity, RouteEnv } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import { METRICS, type MetricName, type Metrics } from "../kernel/telemetry.ts";
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

/** The kernel's metrics as Prometheus knows them, with those of the process. */
export function createPrometheus(): Prometheus {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: NEVER_MS });
  for (const name of LAG_METRICS) registry.removeSingleMetric(name);
  const counters = new Map<MetricName, Counter>();
  const gauges = new Map<MetricName, Gauge>();
  const histograms = new Map<MetricName, Histogram>();
  for (const name of Object.keys(METRICS) as MetricName[]) {
    const definition = METRICS[name];
    const base = { name, help: definition.help, labelNames: [...definition.labels], registers: [registry] };
    if (definition.kind === "counter") counters.set(name, new Counter(base));
    else if (definition.kind === "gauge") gauges.set(name, new Gauge(base));
    else histograms.set(name, new Histogram({ ...base, buckets: [...definition.buckets] }));
  }
  const metrics: Metrics = {
    add(name, labels = {}, by = 1) {
      const counter = counters.get(name);
      assert(counter !== undefined, "only counters are added to");
      counter.inc(labels, by);
    },
    observe(name, value, labels = {}) {
      const histogram = histograms.get(name);
      assert(histogram !== undefined, "only histograms observe");
      histogram.observe(labels, value);
    },
    set(name, value, labels = {}) {
      const gauge = gauges.get(name);
      assert(gauge !== undefined, "only gauges are set");
      gauge.set(labels, value);
    },
  };
  return { metrics, render: async () => ({ body: await registry.metrics(), content_type: registry.contentType }) };
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
