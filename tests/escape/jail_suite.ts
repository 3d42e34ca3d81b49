import { existsSync, readdirSync, readFileSync, readlinkSync, statfsSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { RunCall } from "../../isolate/src/protocol.ts";
import { type Boot, bootIn } from "../../server/src/execution/adapters/boot.ts";
import type { JailedProcess } from "../../server/src/execution/adapters/jailed_process.ts";
import type { Jail } from "../../server/src/execution/adapters/jails.ts";
import { confinement, startTicks } from "../../server/src/execution/adapters/procfs.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { createIds } from "../../server/src/kernel/ids.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type JailedPool, openJailedPool } from "../fixtures/jailed_pool.ts";
import { need } from "../fixtures/need.ts";
import { type Holder, holdRunner, serveAt } from "./jail_world.ts";

const MB = 1024 * 1024;

/** What `POST /run` takes, for a program of one module. */
function call(js: string): string {
  const body: RunCall = {
    run: "",
    deadline: 0,
    entry: "main.js",
    modules: { "main.js": { js } },
    node_compat: false,
    vars: {},
    input: "null",
    output_bytes_max: 1_000,
    log_nonce: "l",
  };
  return JSON.stringify(body);
}

/** What both jails promise, looked at from outside through the kernel. */
export function jailSuite(jail: Jail): void {
  describe(`a runner in ${jail.name}`, () => {
    const clock = systemClock();
    const ids = createIds(clock, systemRandom());
    let jailed: JailedPool;
    let boot: Boot;
    let runner: JailedProcess;
    let proc: string;

    beforeAll(async () => {
      jailed = await openJailedPool(jail, { warm: 0 });
      boot = bootIn(jail, jailed.host);
      if (!jailed.report.ok) return;
      runner = await boot(ids("rnr"), 128, true);
      proc = `/proc/${runner.pid}`;
    });
    afterAll(async () => {
      runner?.kill();
      await runner?.dead;
      await jailed.close();
    });
    beforeEach((context) => {
      const { ok, problems } = jailed.report;
      need(context, jail.name, ok ? undefined : (problems[0]?.fix ?? "the jail does not hold"));
    });

    const read = (name: string): string => readFileSync(`${proc}/${name}`, "latin1");
    const field = (name: string): string =>
      new RegExp(`^${name}:[\\t ]*(.*)$`, "m").exec(read("status"))?.[1]?.trim() ?? "";
    const list = (path: string): string[] => readdirSync(`${proc}/root/${path}`).sort();
    const mounts = (): { at: string; flags: string[] }[] =>
      read("mountinfo")
        .trim()
        .split("\n")
        .map((line) => line.split(" "))
        .map(([, , , , at = "", flags = ""]) => ({ at, flags: flags.split(",") }));
    const pathOf = (process: JailedProcess): string => `${jailed.runtime.path}/r/${process.id.slice(-8)}`;

    async function answers(process: JailedProcess): Promise<string> {
      const answer = await process.client.run(call("export default () => 6 * 7;"), "h", 100);
      return String(answer?.body);
    }

    it.each(["user", "net", "pid", "mnt", "ipc", "uts"])("has a %s namespace of its own", (namespace) => {
      expect(readlinkSync(`${proc}/ns/${namespace}`)).not.toBe(readlinkSync(`/proc/self/ns/${namespace}`));
    });

    it("is never root outside, and has no capability left and no way to get one", () => {
      expect(field("Uid").split(/\s+/)).not.toContain("0");
      expect(field("Gid").split(/\s+/)).not.toContain("0");
      if (process.getuid?.() === 0) expect(field("Groups")).toBe("");
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect(field(set)).toMatch(/^0+$/);
      expect(field("NoNewPrivs")).toBe("1");
      expect(confinement(runner.pid)).toMatchObject({ ro_root: jailed.report.ro_root, no_new_privs: true });
    });

    it("has an empty environment", () => {
      expect(read("environ")).toBe("");
    });

    it("sees libraries and what it needs of ours, and nothing else of the host", () => {
      const found = list("");
      expect(found.filter((name) => !/^(usr|lib\w*|gantry|proc|tmp|dev)$/.test(name))).toEqual([]);
      expect(list("gantry")).toEqual(["isolate", "s", "workerd"]);
      expect(list("dev")).toEqual(["null", "random", "urandom", "zero"]);
      expect(list("tmp")).toEqual([]);
      for (const path of ["etc/passwd", "etc/shadow", "home", "root", "sys", "run", "var", "work"]) {
        expect(existsSync(`${proc}/root/${path}`), path).toBe(false);
      }
      expect(existsSync("/etc/passwd"), "the host has what the jail hides").toBe(true);
    });

    it("can write to its sockets and to /tmp only", () => {
      const writable = mounts().filter(({ flags }) => flags.includes("rw"));
      const devices = ["null", "random", "urandom", "zero"].map((name) => `/dev/${name}`);
      expect(writable.map(({ at }) => at).sort()).toEqual(
        [...devices, "/gantry/s", "/proc", "/tmp", ...(jailed.report.ro_root ? [] : ["/"])].sort(),
      );
      for (const { at, flags } of mounts().filter((mount) => mount.flags.includes("ro"))) {
        expect(flags, at).toEqual(expect.arrayContaining(["nosuid", "nodev"]));
      }
    });

    it("sees no process but itself", () => {
      expect(list("proc").filter((name) => /^\d+$/.test(name))).toEqual(["1"]);
      expect(field("NSpid").split(/\s+/)).toEqual([String(runner.pid), "1"]);
    });

    it("has no network but a loopback of its own, and no route", () => {
      const interfaces = [...read("net/dev").matchAll(/^\s*([^\s:]+):/gm)].map(([, name]) => name);
      expect(interfaces).toEqual(["lo"]);
      expect(read("net/route").trim().split("\n").slice(1)).toEqual([]);
      const ways = read("net/ipv6_route").trim().split("\n").filter(Boolean);
      expect(ways.every((line) => line.trim().endsWith(" lo"))).toBe(true);
      // bubblewrap brings the loopback up (0.8.0, measured); nothing but the guest itself can listen there.
      if (jail.name === "unshare") expect(read("net/if_inet6")).toBe("");
    });

    it("has 16 MB of /tmp", () => {
      const { blocks, bsize } = statfsSync(`${proc}/root/tmp`);
      expect(blocks * bsize).toBe(16 * MB);
    });

    it("has limits of the kernel behind those of the watchdog", () => {
      const limit = (name: string): string[] =>
        new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, "m").exec(read("limits"))!.slice(1, 3);
      expect(limit("Max open files")).toEqual(["256", "256"]);
      expect(limit("Max core file size")).toEqual(["0", "0"]);
      expect(limit("Max data size")).toEqual(Array(2).fill(String((800 + 128) * MB)));
      expect(limit("Max cpu time")).toEqual(["120", "120"]);
    });

    it("does not see the sockets of another, nor the way to them", async () => {
      const other = await boot(ids("rnr"), 128, true);
      try {
        expect(existsSync(`${pathOf(other)}/s/in.sock`)).toBe(true);
        expect(list("gantry/s")).toEqual(["in.sock"]);
        for (const path of [pathOf(other), pathOf(runner), jailed.runtime.path]) {
          expect(existsSync(`${proc}/root${path}`)).toBe(false);
        }
      } finally {
        other.kill();
        await other.dead;
      }
      expect(existsSync(pathOf(other))).toBe(false);
    });

    it("is dead within 500 ms of its kill while it loops", async () => {
      const took: number[] = [];
      for (let i = 0; i < 3; i++) {
        const victim = await boot(ids("rnr"), 128, true);
        const running = victim.client.run(call("export default () => { for (;;); };"), "h", 100);
        running.catch(() => {});
        const before = victim.use()?.cpu_ms ?? 0;
        await eventually(() => (victim.use()?.cpu_ms ?? 0) > before + 50, "the loop to run");
        const began = performance.now();
        victim.kill();
        await eventually(() => startTicks(victim.pid) === undefined);
        took.push(performance.now() - began);
        await victim.dead;
      }
      expect(Math.min(...took), String(took)).toBeLessThan(500);
    });

    it("does not outlive the process that started it, however that ends", async () => {
      const holder: Holder = await holdRunner(jail.name);
      try {
        expect(startTicks(holder.pid)).toBeDefined();
        holder.killParent();
        await eventually(() => startTicks(holder.pid) === undefined, "the orphan to die");
      } finally {
        holder.remove();
      }
    });

    it("is not asked through whatever stands in its socket's place after its boot", async () => {
      const victim = await boot(ids("rnr"), 128, true);
      const impostor = await serveAt(`${pathOf(victim)}/s/in.sock`);
      try {
        expect(await impostor.hitFromOutside()).toBe(1);
        // More calls than there are connections, so that each has been used again.
        for (let i = 0; i < 6; i++) expect(await answers(victim)).toBe("42");
        await victim.client.ping();
        expect(impostor.hits()).toBe(1);
        // A connection that is spent is not opened again: what is left serves on, and then nothing does.
        victim.client.close();
        await expect(answers(victim)).rejects.toThrow();
        expect(impostor.hits()).toBe(1);
      } finally {
        victim.kill();
        await victim.dead;
        await impostor.close();
      }
    });
  });
}
