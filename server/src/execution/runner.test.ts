import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { type JailedPool, openJailedPool } from "../../../tests/fixtures/jailed_pool.ts";
import { need } from "../../../tests/fixtures/need.ts";
import { unshareJail } from "./adapters/jails.ts";

let jailed: JailedPool;
beforeAll(async () => {
  jailed = await openJailedPool(unshareJail);
});
afterAll(() => jailed.close());
beforeEach((context) => {
  need(context, "userns", jailed.report.ok ? undefined : (jailed.report.problems[0]?.fix ?? "the jail does not hold"));
});

const main = (source: string): Record<string, string> => ({ "main.js": source });
const LOOP = main("export default () => { for (;;); };");

/** Many runs in turn, each a boot of its own: a second apiece on a machine that is busy otherwise. */
const MANY_RUNS_MS = 60_000;

describe("a CPU budget", () => {
  it("of which a run uses 80 % is never exceeded, eight times in turn", { timeout: MANY_RUNS_MS }, async () => {
    const busy = main("export default (ms) => { const end = Date.now() + ms; while (Date.now() < end); return 1; };");
    for (let i = 0; i < 8; i++) {
      const { outcome } = await jailed.run(busy, { input: 320, limits: { cpu_ms: 400 } });
      expect(outcome.ending, JSON.stringify(outcome)).toBe("completed");
    }
  });

  it("is enforced within 60 ms of CPU", { timeout: MANY_RUNS_MS }, async () => {
    const over: number[] = [];
    for (let i = 0; i < 5; i++) {
      const { outcome } = await jailed.run(LOOP, { limits: { cpu_ms: 100 } });
      expect(outcome.ending).toBe("cpu_exceeded");
      expect(outcome.error).toMatchObject({
        code: "RUN_CPU_EXCEEDED",
        detail: expect.stringContaining("limit is 100"),
      });
      expect(outcome.cpu_ms).toBeGreaterThan(100);
      over.push(outcome.cpu_ms - 100);
    }
    // The median: on a machine that is busy otherwise the watchdog itself may have to wait for its turn once.
    expect(over.sort((a, b) => a - b)[2], String(over)).toBeLessThanOrEqual(60);
  });
});

describe("memory", () => {
  it.each([128, 129, 512])("%i MB run", async (memory_mb) => {
    const { outcome } = await jailed.run(main("export default () => new Uint8Array(8e6).length;"), {
      limits: { memory_mb },
    });
    expect(outcome).toMatchObject({ ending: "completed", result: "8000000" });
  });
});

describe("cancelling", () => {
  it("ends the run cancelled and kills its process, loop or not", async () => {
    for (const source of [LOOP, main("export default () => new Promise((done) => setTimeout(done, 60_000));")]) {
      const abort = new AbortController();
      const limits = { cpu_ms: 60_000, wall_ms: 60_000 };
      const began = performance.now();
      const running = jailed.run(source, { limits, signal: abort.signal });
      await eventually(() => jailed.pool.stats().active === 1);
      abort.abort();
      const { outcome } = await running.catch(() => ({ outcome: undefined }));
      // The abort may come while the runner is being claimed: then nothing ran.
      if (outcome !== undefined)
        expect(outcome).toMatchObject({ ending: "cancelled", error: { code: "RUN_CANCELLED" } });
      expect(performance.now() - began).toBeLessThan(10_000);
      expect(jailed.pool.stats().active).toBe(0);
    }
  });
});

describe("what a run leaves behind", () => {
  it("is nothing that the next one sees", { timeout: MANY_RUNS_MS }, async () => {
    const leave = main(`import { writeFileSync } from "node:fs";
      export default () => { globalThis.left = 1; Array.prototype.left = 1; try { writeFileSync("/tmp/left", "1"); } catch {} return 1; };`);
    const look = main(`import { existsSync } from "node:fs";
      export default () => [typeof globalThis.left, typeof [].left, existsSync("/tmp/left")];`);
    for (let i = 0; i < 3; i++) {
      expect((await jailed.run(leave)).outcome.ending).toBe("completed");
      expect((await jailed.run(look)).outcome.result).toBe('["undefined","undefined",false]');
    }
  });
});

describe("what a guest says", () => {
  it("a host name of 70,000 characters is recorded cut, and ends nobody", async () => {
    const call = main(`export default async (url) => fetch(url).catch((error) => error.message);`);
    const { outcome } = await jailed.run(call, { input: `http://${"a".repeat(70_000)}.example/` });
    expect(outcome.ending).toBe("completed");
    expect(outcome.blocked).toEqual([{ host: "a".repeat(260), method: "GET", count: 1 }]);
  });

  it("headers that are not ASCII come out as they went in", async () => {
    const answer = main(`export default { fetch: () => new Response("x", { headers: { "x-a": "ü€😀" } }) };`);
    const { outcome } = await jailed.run(answer);
    expect(outcome.http?.headers).toContainEqual(["x-a", "ü€😀"]);
  });

  it("a stack names the author's own lines, also of a module called like a part of ours", async () => {
    const modules = {
      "main.ts": `type A = number;\n\nimport { boom } from "./my-host";\nexport default (): A => boom();`,
      "my-host.ts": "interface B {\n  b: 1;\n}\nexport function boom(): never {\n  throw new Error('gantry: no');\n}",
    };
    const { outcome } = await jailed.run(modules, { entry: "main.ts" });
    expect(outcome.error?.stack).toMatch(/^Error: gantry: no\n.*boom \(my-host\.ts:5:9\)\n.*main\.ts:4:25/);
    expect(outcome.error?.stack).not.toContain("gantry:wrapper");
  });

  it("a dynamic import finds its module, TypeScript or JSON", async () => {
    const modules = {
      "main.ts": `export default async () => [
        (await import("./lib")).a, (await import("./d.json", { with: { type: "json" } })).default.b];`,
      "lib.ts": "export const a: number = 1;",
      "d.json": '{"b":2}',
    };
    expect((await jailed.run(modules, { entry: "main.ts" })).outcome.result).toBe("[1,2]");
  });
});
