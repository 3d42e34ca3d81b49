import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Jail } from "../../server/src/execution/adapters/jails.ts";
import type { RunnerWant } from "../../server/src/execution/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type JailedPool, openJailedPool } from "../fixtures/jailed_pool.ts";
import { need } from "../fixtures/need.ts";
import { doorCalls } from "./door_calls.ts";
import { doorSockets } from "./door_sockets.ts";
import { type DoorGround, echoTunnel, LONG_MS, ok, seeingDoor } from "./doors.ts";

const kinds: [string, Partial<RunnerWant>][] = [
  ["a process of its own", {}],
  ["a process that is shared", { kind: "pooled", key: "doors" }],
];

/** Real guests, and the handler behind their door: what leaves the one arrives at the other. */
export function doorSuite(jail: Jail): void {
  let jailed: JailedPool;
  beforeAll(async () => {
    jailed = await openJailedPool(jail, { warm: 2 });
  });
  afterAll(() => jailed.close());
  beforeEach((context) => {
    const { ok, problems } = jailed.report;
    need(context, jail.name, ok ? undefined : (problems[0]?.fix ?? "the jail does not hold"));
  });

  describe.each(kinds)(`the door of a guest in ${jail.name}, in %s,`, (_kind, want) => {
    const guest: DoorGround["guest"] = async (door, body, o = {}) => {
      const { head = "", ...rest } = o;
      const source = `import { connect } from "cloudflare:sockets";\n${head}\nexport default async (input) => { void connect; ${body} };`;
      const limits = { cpu_ms: 20_000, wall_ms: LONG_MS };
      const { outcome } = await jailed.run({ "main.js": source }, { want, egress: door, limits, ...rest });
      expect(outcome.ending, JSON.stringify(outcome)).toBe("completed");
      expect(outcome.blocked).toEqual([]);
      return JSON.parse(outcome.result ?? "null");
    };
    doorCalls({ guest, isAlone: want.kind === undefined });
    doorSockets({ guest, isAlone: want.kind === undefined });

    it("is shut when the run has ended, and so is what it had opened", async () => {
      let held = 0;
      const door = seeingDoor({
        connect: echoTunnel,
        request: (call, answer) => {
          if (!call.url?.endsWith("/held")) return ok(call, answer);
          held += 1;
          answer.on("close", () => {
            held -= 1;
          });
        },
      });
      await guest(
        door,
        `await connect("db.test:1").opened; fetch("http://api.test/held").catch(() => {});
        await (await fetch("http://api.test/")).text();
        setInterval(() => fetch("http://api.test/late").catch(() => {}), 1);
        (async () => { for (;;) { await scheduler.wait(1); connect("late.test:1"); } })();`,
      );
      await eventually(() => held === 0 && door.open.size === 0, "the engine to let go of what the run had open");
      const before = door.seen.length;
      const next = seeingDoor({ request: ok });
      await guest(next, 'await scheduler.wait(100); await (await fetch("http://next.test/")).text();');
      expect(next.seen.map(({ url }) => url)).toEqual(["http://next.test/"]);
      expect(door.seen.length).toBe(before);
    });
  });
}
