import { z } from "@hono/zod-openapi";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { METRICS, type MetricName } from "../kernel/telemetry.ts";
import { NAME_EDITS_MAX, PROBLEMS_MAX, READY_CHECK_MS } from "./contract.ts";
import { healthRoutes } from "./health.ts";
import { jsonFault } from "./json_fault.ts";
import { createLogger } from "./logging.ts";
import { createPrometheus } from "./metrics.ts";
import { invalidRequest, nearestName } from "./problems.ts";

describe("the place where JSON breaks", () => {
  it.each([
    ["", 1, 1],
    ["{", 1, 2],
    ['{"a" 1}', 1, 6],
    ['{"a":1,}', 1, 8],
    ["[1,\n 2,\n x]", 3, 2],
    ['{"a":"\n"}', 1, 6],
    ["[1 2]", 1, 4],
    ["nul", 1, 1],
    ["{} {}", 1, 4],
    ["[01]", 1, 3],
  ])("of %j is line %i, column %i", (text, line, column) => {
    expect(jsonFault(text)).toMatchObject({ line, column });
  });

  it("is found in any broken text, at or before the damage", () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), (text, at) => {
        const cut = text.slice(0, at % text.length);
        try {
          JSON.parse(cut);
        } catch {
          const { line, column } = jsonFault(cut);
          const lines = cut.split("\n");
          expect(line).toBeLessThanOrEqual(lines.length);
          expect(column).toBeLessThanOrEqual((lines[line - 1] ?? "").length + 1);
        }
      }),
    );
  });

  it("is found at any depth", () => {
    expect(jsonFault("[".repeat(200_000))).toMatchObject({ line: 1, column: 200_001 });
  });
});

describe("problems", () => {
  it("name the known member that was meant, or none", () => {
    expect(nearestName("inptu", ["input", "code"])).toBe("input");
    expect(nearestName("cpu", ["cpu_ms"])).toBe("cpu_ms");
    expect(nearestName("session", ["snapshot", "input"])).toBeUndefined();
    expect(nearestName("x".repeat(10_000), ["input"])).toBeUndefined();
    const known = "contracted";
    expect(nearestName(`${"x".repeat(NAME_EDITS_MAX)}${known.slice(NAME_EDITS_MAX)}`, [known])).toBe(known);
    expect(nearestName(`${"x".repeat(NAME_EDITS_MAX + 1)}${known.slice(NAME_EDITS_MAX + 1)}`, [known])).toBeUndefined();
  });

  it("are at most so many, and escape their pointers", () => {
    const schema = z.strictObject({});
    const body = Object.fromEntries(Array.from({ length: PROBLEMS_MAX + 1 }, (_, i) => [`a/~${i}`, 1]));
    const { error } = schema.safeParse(body);
    const { parts } = invalidRequest(error?.issues ?? [], "json", schema);
    expect(parts.problems).toHaveLength(PROBLEMS_MAX);
    expect(parts.problems?.[0]?.at).toBe("/a~1~00");
  });
});

describe("readiness", () => {
  it("counts a check that hangs or throws as a cause", async () => {
    const clock = new VirtualClock();
    const app = healthRoutes(
      {
        hangs: () => new Promise(() => {}),
        throws: () => {
          throw new Error("secret");
        },
        fine: () => undefined,
      },
      clock,
    );
    const answer = app.request("/readyz");
    await eventually(() => clock.pending > 0);
    clock.advance(READY_CHECK_MS);
    const body = await (await answer).json();
    expect(body).toEqual({
      ready: false,
      causes: [
        { name: "hangs", detail: `has not answered for ${READY_CHECK_MS} ms` },
        { name: "throws", detail: "could not be checked" },
      ],
    });
  });
});

describe("logs", () => {
  it("are JSON lines without tokens, with the error and what it says of itself", () => {
    const lines: string[] = [];
    const log = createLogger({ level: "debug", sink: { write: (line) => void lines.push(line) } });
    const token = `gtr_svc_${"a".repeat(36)}`;
    log.warn({ request: "req_1", error: new Error(`bad ${token}`), nested: { header: `Bearer ${token}` } }, "refused");
    log.debug({}, "fine");
    expect(lines).toHaveLength(2);
    expect(lines[0]).not.toContain(token);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "warn",
      message: "refused",
      request: "req_1",
      error: { message: "bad gtr_svc_[redacted]" },
    });
  });
});

describe("metrics", () => {
  it("has every one of the kernel's, with its labels", async () => {
    const { metrics, render } = createPrometheus();
    for (const name of Object.keys(METRICS) as MetricName[]) {
      const { kind, labels } = METRICS[name];
      const values = Object.fromEntries(labels.map((label) => [label, "x"]));
      if (kind === "counter") metrics.add(name, values, 2);
      else if (kind === "gauge") metrics.set(name, 2, values);
      else metrics.observe(name, 2, values);
    }
    const { body } = await render();
    for (const name of Object.keys(METRICS)) expect(body).toContain(name);
    expect(body).toContain('gantry_runs_ended_total{lane="x",termination="x"} 2');
    expect(body).toContain("process_cpu_seconds_total");
    // Measured when asked. What would wake an idle process to be measured is left out.
    expect(body).toMatch(/^nodejs_eventloop_lag_seconds \d/m);
    expect(body).not.toContain("nodejs_eventloop_lag_p99");
  });

  it("tells everything that was measured, however much of it waits", async () => {
    const { metrics, render } = createPrometheus();
    let told = 0;
    for (const more of [1, 254, 1, 1, 255, 256, 257]) {
      for (let i = 0; i < more; i++) metrics.add("gantry_runs_ended_total", { lane: "x", termination: "y" });
      metrics.set("gantry_runs_active", more);
      metrics.observe("gantry_runner_boot_seconds", more);
      told += more;
      const { body } = await render();
      expect(body).toContain(`gantry_runs_ended_total{lane="x",termination="y"} ${told}\n`);
      expect(body).toContain(`gantry_runs_active ${more}\n`);
      expect(body).toContain(`gantry_runner_boot_seconds_sum ${told}\n`);
    }
  });

  it("refuses at once what does not fit its definition, and keeps nothing of it", async () => {
    const { metrics, render } = createPrometheus();
    const wrong = [
      () => metrics.add("gantry_runs_active"),
      () => metrics.set("gantry_runs_ended_total", 1),
      () => metrics.observe("gantry_runs_active", 1),
      () => metrics.add("gantry_runs_ended_total", { colour: "red" }),
      () => metrics.add("gantry_runs_ended_total", {}, -1),
      () => metrics.observe("gantry_runner_boot_seconds", Number.NaN),
      () => metrics.set("gantry_runs_active", Number.POSITIVE_INFINITY),
    ];
    for (const each of wrong) expect(each).toThrow();
    const { body } = await render();
    expect(body).not.toContain("colour");
    expect(body).toContain("gantry_runner_boot_seconds_count 0\n");
  });
});
