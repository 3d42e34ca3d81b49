import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readConfig } from "../config.ts";
import { probe } from "../execution/adapters/choose_jail.ts";
import { bwrapJail, unshareJail } from "../execution/adapters/jails.ts";
import { Nursery } from "../execution/adapters/nursery.ts";
import { prepareRuntimeDir, SOCKET_PATH_MAX, socketPathBytes } from "../execution/adapters/runtime_dir.ts";
import type { JailReport } from "../execution/contract.ts";
import { systemClock } from "../kernel/clock.ts";
import { openNetwork } from "../network.ts";
import { probePostgres } from "../storage/adapters/postgres_probe.ts";
import { readPair, type TlsChoice } from "../tls_pair.ts";
import { VERSION } from "../version.ts";
import { probeWitnesses } from "./witness_probe.ts";

/** `false` means that Gantry cannot do its work here, `"warn"` that it can do it less well. */
export interface Check {
  name: string;
  ok: boolean | "warn";
  detail: string;
  /** What to do about it. */
  fix?: string;
}

const MB = 1024 * 1024;
const NODE_MIN = [20, 19] as const;
const DISK_FREE_MB_MIN = 1_024;
const SYNC_ROUNDS = 30;
/** A durable commit waits for one sync: past this a run waits noticeably. */
const SYNC_MS_GOOD = 5;

/** Probes the host by doing what a server does, and names the fix for each shortfall. Prints JSON. */
export async function doctor(args: string[]): Promise<number> {
  const config = readConfig(args.filter((arg) => arg !== "--json"));
  const clock = systemClock();
  const network = openNetwork(config.egress, clock);
  const at = existingParent(config.data);
  const scratch = mkdtempSync(join(tmpdir(), "gantry-doctor-"));
  try {
    const sender = network.outgoing({ public_only: false });
    const checks: Check[] = [
      node(),
      git(config.witnesses.some(({ kind }) => kind === "git")),
      ...(await jails(scratch, config.runner_uid)),
      cgroups(),
      socketPath(),
      ...certificate(config.tls, clock.now()),
      disk(at),
      syncLatency(at),
      ...(await probeWitnesses(config.witnesses, scratch, { clock, sender })),
      ...(config.store.engine === "postgres" ? await probePostgres(config.store.url, clock) : []),
    ];
    const ok = checks.every((check) => check.ok !== false);
    process.stdout.write(`${JSON.stringify({ version: VERSION, ok, checks }, null, 2)}\n`);
    return ok ? 0 : 1;
  } finally {
    await network.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

function node(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const ok = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  const fix = `Install Node ${NODE_MIN.join(".")} or later.`;
  return { name: "node", ok, detail: process.version, ...(ok ? {} : { fix }) };
}

/** @param is_needed  a witness of the configuration is a git remote. */
function git(is_needed: boolean): Check {
  try {
    return { name: "git", ok: true, detail: execFileSync("git", ["--version"], { encoding: "utf8" }).trim() };
  } catch {
    const detail = is_needed
      ? "not found, and a witness is a git remote"
      : "not found; git remotes as witnesses need it";
    return { name: "git", ok: is_needed ? false : "warn", detail, fix: "apt-get install git" };
  }
}

/** Starts a runner in each jail, loads a module in it, and reads from the kernel that no route leads out. */
async function jails(scratch: string, runner_uid: number): Promise<Check[]> {
  const runtime = prepareRuntimeDir({ data_dir: scratch, runner_uid });
  const nursery = await Nursery.open(runtime, () => {});
  const host = { runtime, nursery, clock: systemClock() };
  try {
    const bwrap = await probe(bwrapJail, host);
    const unshare = await probe(unshareJail, host);
    await nursery.close();
    const chosen = bwrap.ok ? bwrap : unshare;
    const best: Check = chosen.ok
      ? { name: "jail", ok: true, detail: `runs use ${chosen.jail}` }
      : { name: "jail", ok: false, detail: "none works, so runs are refused", fix: fixOf(unshare) };
    return [best, jailCheck("bubblewrap", bwrap), jailCheck("util-linux", unshare), namespaces(chosen)];
  } finally {
    rmSync(runtime.path, { recursive: true, force: true });
  }
}

function fixOf(report: JailReport): string {
  return report.problems.map(({ fix }) => fix).join(" ");
}

function jailCheck(name: string, report: JailReport): Check {
  if (!report.ok) return { name, ok: "warn", detail: report.problems[0]?.code ?? "does not hold", fix: fixOf(report) };
  const root = report.ro_root ? "read-only root" : "root not read-only";
  return {
    name,
    ok: true,
    detail: `started a runner and loaded a module; uid ${report.outer_uid}, no network, ${root}`,
  };
}

function namespaces(report: JailReport): Check {
  const setting = "/proc/sys/user/max_user_namespaces";
  const most = existsSync(setting) ? readFileSync(setting, "utf8").trim() : "unknown";
  const apparmor = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
  const restricted = existsSync(apparmor) && readFileSync(apparmor, "utf8").trim() === "1";
  const detail = `user.max_user_namespaces = ${most}${restricted ? ", restricted by AppArmor" : ""}`;
  // A jail that got as far as its mounts was given one.
  const is_given = report.user_ns || report.problems.some(({ code }) => code === "MOUNT");
  if (is_given) return { name: "user namespaces", ok: true, detail };
  const fix =
    most === "0"
      ? "sysctl -w user.max_user_namespaces=15000"
      : "Allow unprivileged user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap.";
  return { name: "user namespaces", ok: false, detail, fix };
}

function cgroups(): Check {
  const version = existsSync("/sys/fs/cgroup/cgroup.controllers")
    ? "v2"
    : existsSync("/sys/fs/cgroup/cpu")
      ? "v1"
      : "none";
  return {
    name: "cgroups",
    ok: true,
    detail: `${version} (reported only: limits are kept by the watchdog and rlimits)`,
  };
}

function socketPath(): Check {
  const own = process.getuid?.() ?? 0;
  const base = own === 0 ? "/tmp" : (process.env["XDG_RUNTIME_DIR"] ?? "/tmp");
  const bytes = socketPathBytes(join(base, `gantry-${own}-00000000`));
  const ok = bytes <= SOCKET_PATH_MAX || "warn";
  const fix = "Set XDG_RUNTIME_DIR to a shorter path; until then /tmp is used.";
  return { name: "socket path", ok, detail: `${bytes} of ${SOCKET_PATH_MAX} bytes`, ...(ok === true ? {} : { fix }) };
}

/** What the listener would prove itself with. */
function certificate(tls: TlsChoice | undefined, now: number): Check[] {
  const name = "certificate";
  if (tls === undefined) return [];
  try {
    const { warnings, expires_at } = readPair(tls, now);
    const until = `good until ${new Date(expires_at).toISOString()}`;
    if (warnings.length === 0) return [{ name, ok: true, detail: until }];
    const fix = "Put another pair into place; a server that runs takes it up by itself.";
    return [{ name, ok: expires_at <= now ? false : "warn", detail: warnings.join(" "), fix }];
  } catch (error) {
    return [{ name, ok: false, detail: (error as Error).message, fix: `Make ${tls.cert} and ${tls.key} one pair.` }];
  }
}

function existingParent(path: string): string {
  return existsSync(path) ? path : existingParent(dirname(path));
}

function disk(at: string): Check {
  const { bavail, bsize } = statfsSync(at);
  const free_mb = Math.floor((bavail * bsize) / MB);
  const ok = free_mb >= DISK_FREE_MB_MIN || "warn";
  const fix = `Free some space at ${at}: a full disk makes the server read-only.`;
  return { name: "disk space", ok, detail: `${free_mb} MB free`, ...(ok === true ? {} : { fix }) };
}

/** What a durable commit costs here: median of 30 synced writes of 4 KiB. */
function syncLatency(at: string): Check {
  const clock = systemClock();
  const directory = mkdtempSync(join(at, ".gantry-doctor-"));
  try {
    const fd = openSync(join(directory, "sync"), "w");
    const page = Buffer.alloc(4_096);
    const times = Array.from({ length: SYNC_ROUNDS }, () => {
      const from = clock.monotonic();
      writeSync(fd, page);
      fdatasyncSync(fd);
      return clock.monotonic() - from;
    }).sort((a, b) => a - b);
    closeSync(fd);
    const median = times[SYNC_ROUNDS / 2] ?? 0;
    const ok = median <= SYNC_MS_GOOD || "warn";
    const fix = "Put the data directory on a faster disk: each acknowledged run waits for two syncs.";
    return {
      name: "disk sync",
      ok,
      detail: `${median.toFixed(2)} ms (median of ${SYNC_ROUNDS})`,
      ...(ok === true ? {} : { fix }),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
