import { existsSync } from "node:fs";
import type { RunnerId } from "../../kernel/ids.ts";
import type { JailReport } from "../contract.ts";
import { bootIn } from "./boot.ts";
import type { JailHost } from "./jailed_process.ts";
import { bwrapJail, type Jail, missingPrograms, noJail, unshareJail } from "./jails.ts";
import { confinement } from "./procfs.ts";
import { MEMORY_CLASSES_MB } from "./runtime_dir.ts";

export interface JailChoice {
  /** Undefined when none works: reads are served, runs are refused. */
  jail: Jail | undefined;
  /** Of the one in use, or of the one that came closest. */
  report: JailReport;
  /** Every jail that was tried. */
  reports: JailReport[];
}

/**
 * Tries bubblewrap, then util-linux, each by really starting a runner and reading from the kernel how it is confined.
 * `insecure` skips both.
 */
export async function chooseJail(host: JailHost, insecure: boolean): Promise<JailChoice> {
  const reports: JailReport[] = [];
  for (const jail of insecure ? [noJail] : [bwrapJail, unshareJail]) {
    const report = await probe(jail, host);
    reports.push(report);
    if (report.ok) return { jail, report, reports };
  }
  return { jail: undefined, report: reports.at(-1) ?? blank("none"), reports };
}

/** Starts one runner in the jail, compares what the kernel says with what the jail promises, and kills it. */
export async function probe(jail: Jail, host: JailHost): Promise<JailReport> {
  const report = blank(jail.name);
  const missing = missingPrograms(jail.needs);
  if (missing.length > 0) {
    report.problems.push({ code: "PROGRAM_MISSING", fix: `Install ${missing.join(", ")} (${packagesOf(missing)}).` });
    return report;
  }
  try {
    const process = await bootIn(jail, host)(`rnr_probe-${jail.name}` as RunnerId, MEMORY_CLASSES_MB[0], true);
    const found = confinement(process.pid);
    process.kill();
    await process.dead;
    Object.assign(report, {
      user_ns: found.separate.user,
      net_ns: found.separate.net,
      pid_ns: found.separate.pid,
      ro_root: found.ro_root,
      no_new_privs: found.no_new_privs,
      outer_uid: found.uid,
      seccomp: found.seccomp,
    });
    report.ok = jail.name === "none" || isTight(report, found.separate.mnt);
    if (!report.ok)
      report.problems.push({ code: "NOT_CONFINED", fix: "The jail started but did not confine: see its report." });
  } catch (error) {
    report.problems.push(explain(error as Error));
  }
  return report;
}

function isTight(report: JailReport, mount_ns: boolean): boolean {
  return report.user_ns && report.net_ns && report.pid_ns && mount_ns && report.no_new_privs && report.outer_uid !== 0;
}

function packagesOf(missing: string[]): string {
  return missing.includes("bwrap") ? "apt-get install bubblewrap" : "apt-get install util-linux";
}

/** The usual reasons, in the order in which they should be looked at. */
function explain(error: Error): { code: string; fix: string } {
  const said = error.message.replace(/\s+/g, " ");
  const is_mount = /mount.*\/proc\b/i.test(said);
  if (
    !is_mount &&
    /user namespace|unshare failed|No permissions to create|Operation not permitted|uid_map/i.test(said)
  ) {
    return {
      code: "USER_NAMESPACES",
      fix: `Unprivileged user namespaces are not allowed here. Check \`sysctl user.max_user_namespaces\` (above 0) and, on Ubuntu, \`kernel.apparmor_restrict_unprivileged_userns\` (0, or an AppArmor profile for bwrap); in a container, the engine must be told \`--security-opt seccomp=unconfined\`. The jail said: ${said}`,
    };
  }
  if (/mount/i.test(said)) {
    return {
      code: "MOUNT",
      fix: `A mount was refused, as in containers whose engine hides parts of /proc: it must be told \`--security-opt systempaths=unconfined\` and \`--security-opt apparmor=unconfined\`. The jail said: ${said}`,
    };
  }
  return { code: "BOOT", fix: `The jailed process did not start. It said: ${said}` };
}

function blank(jail: JailReport["jail"]): JailReport {
  return {
    jail,
    ok: false,
    user_ns: false,
    net_ns: false,
    pid_ns: false,
    ro_root: false,
    no_new_privs: false,
    outer_uid: process.getuid?.() ?? 0,
    seccomp: false,
    cgroup: existsSync("/sys/fs/cgroup/cgroup.controllers") ? "v2" : existsSync("/sys/fs/cgroup/cpu") ? "v1" : "none",
    problems: [],
  };
}
