import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Jail } from "../../server/src/execution/adapters/jails.ts";
import {
  type DoorHandler,
  OUT_CONNECTIONS_MAX,
  OUT_HEAD_BYTES_MAX,
  OUT_HEADERS_MAX,
  type Runner,
  type RunnerWant,
} from "../../server/src/execution/contract.ts";
import { Dice, seedOfRun } from "../crash/dice.ts";
import { eventually } from "../fixtures/eventually.ts";
import { fetchDoor } from "../fixtures/fetch_door.ts";
import { generatePrograms } from "../fixtures/generated_programs.ts";
import { type JailedPool, openJailedPool } from "../fixtures/jailed_pool.ts";
import { need } from "../fixtures/need.ts";
import { type EffectRecorder, openRecorder } from "../fixtures/recorder.ts";

const main = (source: string): Record<string, string> => ({ "main.js": source });
const keyed = (key: string, more: Partial<RunnerWant> = {}) => ({ want: { kind: "pooled" as const, key, ...more } });
/** A host that only the door of a test knows. */
const EFFECT_URL = "http://recorder.test/effect";
const MANY_RUNS_MS = 240_000;

/** What runs of one key, one after another in the same process, may do to each other: nothing. */
export function pooledSuite(jail: Jail): void {
  describe(`runs that share a process in ${jail.name}`, () => {
    let jailed: JailedPool;
    let recorder: EffectRecorder;
    let door: DoorHandler;
    const seed = seedOfRun();

    beforeAll(async () => {
      jailed = await openJailedPool(jail, { warm: 4 });
      recorder = await openRecorder();
      door = fetchDoor(async (request) => fetch(recorder.url, { method: "POST", body: await request.text() }));
    });
    afterAll(async () => {
      await recorder.close();
      await jailed.close();
    });
    beforeEach((context) => {
      const { ok, problems } = jailed.report;
      need(context, jail.name, ok ? undefined : (problems[0]?.fix ?? "the jail does not hold"));
    });
    afterEach(() => {
      recorder.posted.length = 0;
    });

    it("of 200 programs, exactly the guilty are convicted, and every effect happens once", {
      timeout: MANY_RUNS_MS,
    }, async () => {
      console.log(`SEED=${seed} npx vitest run --project escape tests/escape/pooled_${jail.name}.test.ts`);
      const counts = { count: 200, loops: 10, bombs: 5, exits: 5 };
      const programs = generatePrograms(new Dice(seed), { ...counts, effect_url: EFFECT_URL });
      const limits = { cpu_ms: 1_000, wall_ms: 60_000 };
      const queue = [...programs];
      const wrong: string[] = [];
      const work = async (): Promise<void> => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
          const { id, source, ending, result } = next;
          const input = { id, n: queue.length };
          const { outcome } = await jailed.run(main(source), { ...keyed("crowd"), input, limits, egress: door });
          const is_right = outcome.ending === ending && (result === undefined || outcome.result === result);
          if (!is_right) wrong.push(`${source}\n${JSON.stringify(outcome)}`);
        }
      };
      await Promise.all(Array.from({ length: 8 }, work));
      expect(wrong, wrong.join("\n\n")).toEqual([]);
      const posted = recorder.posted.map(Number).sort((a, b) => a - b);
      expect(posted).toEqual(programs.map(({ id }) => id).sort((a, b) => a - b));
    });

    it("use 80 % of their CPU budget, eight at once, and none is convicted", { timeout: MANY_RUNS_MS }, async () => {
      const busy = main(`export default (ms) => {
        const until = performance.now() + ms; let n = 0;
        while (performance.now() < until) n++;
        return n > 0; };`);
      // Wall time is CPU time at most: on a busy machine the program uses less than it means to.
      for (let round = 0; round < 3; round++) {
        const runs = Array.from({ length: 8 }, () =>
          jailed.run(busy, { ...keyed("busy"), input: 240, limits: { cpu_ms: 300 } }),
        );
        for (const { outcome } of await Promise.all(runs))
          expect(outcome.ending, JSON.stringify(outcome)).toBe("completed");
      }
    });

    it("are never charged for what an ended one left behind", { timeout: MANY_RUNS_MS }, async () => {
      const burn = "const until = performance.now() + 20; while (performance.now() < until);";
      const leaving = [
        `setInterval(() => { ${burn} }, 1);`,
        `(async () => { for (;;) { await scheduler.wait(1); ${burn} } })();`,
        `waitUntil((async () => { for (;;) { await scheduler.wait(1); ${burn} } })());`,
        `waitUntil((async () => { for (let i = 0; i < 3; i++) await scheduler.wait(0); for (;;); })());`,
        `new ReadableStream({ async pull(c) { await scheduler.wait(1); ${burn} c.enqueue(new Uint8Array(9)); } }).pipeTo(new WritableStream());`,
        `queueMicrotask(() => setTimeout(() => { for (;;); }, 5));`,
        `fetch("http://nowhere.test/").then(() => { for (;;); }, () => { for (;;); });`,
        `globalThis.kept = Array.from({ length: 20 }, () => new Uint8Array(1e6).fill(1));`,
      ];
      for (const left of leaving) {
        const source = `import { waitUntil } from "cloudflare:workers"; export default () => { void waitUntil; ${left} return 1; }`;
        const first = await jailed.run(main(source), { ...keyed(left), limits: { cpu_ms: 2_000 } });
        expect(first.outcome.ending, left).toBe("completed");
        const idle = main("export default async () => { await scheduler.wait(150); return 2; };");
        const second = await jailed.run(idle, { ...keyed(left), limits: { cpu_ms: 60 } });
        expect(second.outcome, `${left} ${JSON.stringify(second.outcome)}`).toMatchObject({
          ending: "completed",
          result: "2",
        });
        expect(second.outcome.cpu_ms, left).toBeLessThan(60);
        expect(second.log).toEqual([]);
      }
    });

    it("that post and then loop are convicted, and have posted once", async () => {
      const post = main(`export default async () => {
        await fetch(${JSON.stringify(EFFECT_URL)}, { method: "POST", body: "once" }); for (;;); };`);
      const { outcome } = await jailed.run(post, { ...keyed("post"), limits: { cpu_ms: 100 }, egress: door });
      expect(outcome).toMatchObject({ ending: "cpu_exceeded", begun: true });
      expect(recorder.posted).toEqual(["once"]);
    });

    it("share nothing but the process: no global, no file, no log", async () => {
      const leave = main(`import { writeFileSync } from "node:fs";
        export default () => { globalThis.left = 1; Array.prototype.left = 1;
          try { writeFileSync("/tmp/left", "1"); } catch {} console.log("first"); return 1; };`);
      const look = main(`import { existsSync } from "node:fs";
        export default () => { console.log("second"); return [typeof globalThis.left, typeof [].left, existsSync("/tmp/left")]; };`);
      const first = await jailed.run(leave, keyed("share"));
      const second = await jailed.run(look, keyed("share"));
      expect(second.runner.id).toBe(first.runner.id);
      expect(second.outcome.result).toBe('["undefined","undefined",false]');
      expect([first.log, second.log].map((log) => log.map(({ text }) => text))).toEqual([["first"], ["second"]]);
    });

    it("are of one key: another key, tenant or memory class has another process", async () => {
      const look = main("export default () => 1;");
      const ids = new Set<string>();
      for (const want of [
        keyed("a"),
        keyed("b"),
        keyed("a", { kind: "session" }),
        keyed("a", { memory_mb: 256 }),
        {},
      ]) {
        const { outcome, runner } = await jailed.run(look, want);
        expect(outcome.ending).toBe("completed");
        ids.add(runner.id);
      }
      expect(ids.size).toBe(5);
    });

    it.each<[string, string, number]>([
      ["a loop", "for (;;);", 100],
      ["process.exit()", "process.exit(0);", 1_000],
      ["a promise that nothing settles", "await new Promise(() => {});", 1_000],
      [
        "an endless answer",
        "return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1e5)); } }));",
        1_000,
      ],
    ])("do not get the process in which one ended with %s", async (_what, body, cpu_ms) => {
      const source = main(`import process from "node:process";
        export default { async fetch() { void process; ${body} } };`);
      const key = `after ${body}`;
      const first = await jailed.run(source, { ...keyed(key), limits: { cpu_ms, output_bytes_max: 10_000 } });
      expect(first.outcome.ending).not.toBe("completed");
      const second = await jailed.run(main("export default () => 1;"), keyed(key));
      expect(second.runner.id).not.toBe(first.runner.id);
    });

    it("get the process in which one threw, or whose code did not load", async () => {
      const ids: string[] = [];
      for (const body of ["return 1;", "throw new Error('no');", "return 1n;"]) {
        ids.push((await jailed.run(main(`export default () => { ${body} };`), keyed("throws"))).runner.id);
      }
      ids.push((await jailed.run(main("throw new Error('no'); export default () => 1;"), keyed("throws"))).runner.id);
      expect(new Set(ids).size).toBe(1);
    });

    it("are seated again when their process had died before they began", async () => {
      const first = await jailed.run(main("export default () => 1;"), keyed("dies"));
      const runner: Runner = await jailed.pool.acquire(
        { kind: "pooled", key: "dies", tenant: "ten_a", memory_mb: 128 },
        AbortSignal.timeout(10_000),
      );
      expect(runner.id).toBe(first.runner.id);
      process.kill(jailed.pidOf(runner.id), "SIGKILL");
      const outcome = await jailed.executeOn(runner, main("export default () => 1;"));
      expect(outcome).toMatchObject({ ending: "runner_lost", begun: false });
      const next = await jailed.run(main("export default () => 2;"), keyed("dies"));
      expect(next.outcome.result).toBe("2");
    });

    describe("and call out", () => {
      const call = main(`export default async (o) => {
        const answer = await fetch(o.url, o.init); return [answer.status, await answer.text(), Object.fromEntries(answer.headers)]; };`);
      const seen: { url: string; headers: Record<string, string>; body: string }[] = [];
      const echo = fetchDoor(async (request) => {
        seen.push({ url: request.url, headers: Object.fromEntries(request.headers), body: await request.text() });
        return new Response("echo", { status: 201, headers: { "x-back": "1" } });
      });

      it("go through their own door, whatever stamp the guest sets", async () => {
        const init = { method: "PUT", body: "hello", headers: { "gantry-stamp": "forged", "x-mine": "2" } };
        const { outcome } = await jailed.run(call, {
          ...keyed("call"),
          input: { url: "https://api.test/a?b=1", init },
          egress: echo,
        });
        expect(JSON.parse(outcome.result ?? "null")).toEqual([201, "echo", expect.objectContaining({ "x-back": "1" })]);
        expect(seen.at(-1)).toMatchObject({ url: "https://api.test/a?b=1", body: "hello", headers: { "x-mine": "2" } });
        expect(seen.at(-1)?.headers).not.toHaveProperty("gantry-stamp");
      });

      it("wait until their admission is durable, and go nowhere when it fails", async () => {
        const before = seen.length;
        let admit = (): void => {};
        const durable = new Promise<void>((resolve) => {
          admit = resolve;
        });
        const running = jailed.run(call, {
          ...keyed("call"),
          input: { url: "http://api.test/" },
          egress: echo,
          durable,
        });
        await jailed.run(main("export default () => scheduler.wait(100);"), keyed("other"));
        expect(seen.length).toBe(before);
        admit();
        expect((await running).outcome.ending).toBe("completed");
        expect(seen.length).toBe(before + 1);
        const failed = Promise.reject(new Error("not recorded"));
        failed.catch(() => {});
        const { outcome } = await jailed.run(call, {
          ...keyed("call"),
          input: { url: "http://api.test/" },
          egress: echo,
          durable: failed,
        });
        expect(JSON.parse(outcome.result ?? "null")[0]).toBe(502);
        expect(seen.length).toBe(before + 1);
      });

      it("are refused without a live stamp, and hostile calls cost only themselves", async () => {
        const { runner } = await jailed.run(call, {
          ...keyed("raw"),
          input: { url: "http://api.test/" },
          egress: echo,
        });
        const path = join(jailed.runtime.path, "r", runner.id.slice(-8), "s", "out.sock");
        const before = seen.length;
        const stamp = "0".repeat(32);
        expect(await rawCall(path, "GET http://api.test/ HTTP/1.1\r\nhost: api.test\r\n\r\n")).toMatch(
          /^HTTP\/1\.1 409 .*RUNNER_CLOSED/s,
        );
        expect(
          await rawCall(path, `GET http://api.test/ HTTP/1.1\r\nhost: a\r\ngantry-stamp: ${stamp}\r\n\r\n`),
        ).toMatch(/^HTTP\/1\.1 409/);
        expect(await rawCall(path, "\0\x01 not http\r\n\r\n")).toMatch(/^HTTP\/1\.1 400/);
        const fields = (n: number): string => Array.from({ length: n }, (_, i) => `x-${i}: 1\r\n`).join("");
        // With the host field, so many in all.
        const many = (n: number): string => `GET http://a/ HTTP/1.1\r\nhost: a\r\n${fields(n - 1)}\r\n`;
        expect(await rawCall(path, many(OUT_HEADERS_MAX))).toMatch(/^HTTP\/1\.1 409/);
        expect(await rawCall(path, many(OUT_HEADERS_MAX + 1))).toMatch(/^HTTP\/1\.1 431/);
        const long = (bytes: number): string => `GET http://a/ HTTP/1.1\r\nx: ${"y".repeat(bytes)}\r\n\r\n`;
        expect(await rawCall(path, long(OUT_HEAD_BYTES_MAX - 100))).toMatch(/^HTTP\/1\.1 409/);
        expect(await rawCall(path, long(OUT_HEAD_BYTES_MAX))).toMatch(/^HTTP\/1\.1 431/);
        for (const authority of ["a:1", `${stamp}.${"61".repeat(3)}:1`]) {
          expect(await rawCall(path, `CONNECT ${authority} HTTP/1.1\r\n\r\n`)).toMatch(
            /^HTTP\/1\.1 409 .*RUNNER_CLOSED/s,
          );
        }
        const upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
        expect(await rawCall(path, `GET http://a/ HTTP/1.1\r\n${upgrade}\r\n`)).toMatch(
          /^HTTP\/1\.1 409 .*RUNNER_CLOSED/s,
        );
        expect(seen.length).toBe(before);
        const again = await jailed.run(call, { ...keyed("raw"), input: { url: "http://api.test/" }, egress: echo });
        expect(again.runner.id).toBe(runner.id);
        expect(again.outcome.ending).toBe("completed");
      });

      it("hold OUT_CONNECTIONS_MAX connections at most: one more is closed unanswered", async () => {
        const { runner } = await jailed.run(call, {
          ...keyed("crowded"),
          input: { url: "http://api.test/" },
          egress: echo,
        });
        const path = join(jailed.runtime.path, "r", runner.id.slice(-8), "s", "out.sock");
        let closed = 0;
        const sockets = Array.from({ length: OUT_CONNECTIONS_MAX + 8 }, () => {
          const socket = connect(path).on("close", () => {
            closed += 1;
          });
          return socket.on("error", () => {});
        });
        await eventually(() => closed >= 8, "the connections past the limit to be closed");
        // The runner's own, kept from its call, may be one of those that are let in.
        expect(closed).toBeLessThanOrEqual(9);
        for (const socket of sockets) socket.destroy();
        await eventually(() => closed === sockets.length, "all connections to be gone");
        const again = await jailed.run(call, {
          ...keyed("crowded"),
          input: { url: "http://api.test/" },
          egress: echo,
        });
        expect(again.outcome.ending).toBe("completed");
      });

      it("that have no door stay without, though another of the key had one", async () => {
        const { runner } = await jailed.run(call, {
          ...keyed("doorless"),
          input: { url: "http://api.test/" },
          egress: echo,
        });
        const without = await jailed.run(
          main(`import { connect } from "cloudflare:sockets"; export default async () => {
            const { done } = await connect("api.test:80").readable.getReader().read();
            return [done, await fetch("http://a.test/").catch((e) => e.message)]; };`),
          keyed("doorless"),
        );
        expect(without.runner.id).toBe(runner.id);
        expect(without.outcome.result).toMatch(/^\[true,".*grants no network/);
        expect(without.outcome.blocked).toEqual([
          { host: "api.test:80", method: "CONNECT", count: 1 },
          { host: "a.test", method: "GET", count: 1 },
        ]);
      });
    });
  });
}

/** Sends bytes to a unix socket and reads what comes back until the other side is done, or a head is complete. */
function rawCall(path: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(bytes, "latin1"));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (text.includes("\r\n\r\n")) setImmediate(() => socket.end());
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
  });
}
