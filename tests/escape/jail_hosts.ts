import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, lstatSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Jail } from "../../server/src/execution/adapters/jails.ts";
import { need } from "../fixtures/need.ts";
import { probeElsewhere } from "./jail_world.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NO_CERTIFICATES = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /etc/ssl && exec "$@"', "sh"];

/** Hosts on which a jail must hold as well. Each is made by root: as anybody else these tests are skipped, loudly. */
export function jailHosts(jail: Jail): void {
  describe(`${jail.name} on an unusual host`, () => {
    let base: string;
    beforeEach((context) => {
      need(context, "root", process.getuid?.() === 0 ? undefined : "only root can make such a host");
      const { ok, problems } = probeElsewhere(jail.name).report;
      need(context, jail.name, ok ? undefined : (problems[0]?.fix ?? "the jail does not hold"));
      base = mkdtempSync("/tmp/gh-");
      chmodSync(base, 0o755);
    });
    afterEach(() => {
      if (base !== undefined) rmSync(base, { recursive: true, force: true });
    });

    it("holds from a clone below a home that is closed to others", () => {
      const home = join(base, "home");
      cloneInto(home);
      chmodSync(home, 0o700);
      expect(isVisibleToNobody(join(home, "package.json"))).toBe(false);
      const { report } = probeElsewhere(jail.name, { root: home });
      expect(report).toMatchObject({ ok: true, outer_uid: 65534, problems: [] });
    });

    it("holds where the host has no certificates: nothing inside speaks TLS", () => {
      const { report } = probeElsewhere(jail.name, { wrap: NO_CERTIFICATES });
      expect(report).toMatchObject({ ok: true, problems: [] });
    });
  });
}

/** What a clone needs to start a runner and to talk to it, packages as hard links where the file system allows. */
function cloneInto(home: string): void {
  for (const path of ["package.json", "dist", "isolate/src", "server/package.json", "server/src", "tests/fixtures"]) {
    cpSync(join(ROOT, path), join(home, path), { recursive: true });
  }
  const require = createRequire(import.meta.url);
  const binary = (require("workerd") as { default: string }).default;
  const packages = ["workerd", "undici"].map((name) => dirname(require.resolve(`${name}/package.json`)));
  for (const from of [...packages, dirname(dirname(binary))]) {
    const to = join(home, from.slice(from.indexOf("node_modules")));
    mkdirSync(dirname(to), { recursive: true });
    if (spawnSync("cp", ["-al", from, to]).status !== 0) cpSync(from, to, { recursive: true, force: true });
  }
  expect(lstatSync(join(home, binary.slice(binary.indexOf("node_modules")))).isFile()).toBe(true);
}

function isVisibleToNobody(path: string): boolean {
  return spawnSync("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", "test", "-e", path]).status === 0;
}
