import { accessSync, constants, existsSync, readFileSync, readlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { entryPoint } from "../../kernel/entries.ts";
import type { JailName } from "../contract.ts";
import type { RunnerDir, RuntimeDir } from "./runtime_dir.ts";

/** What one runner's process is started with. */
export interface JailSpec {
  runtime: RuntimeDir;
  dir: RunnerDir;
  memory_mb: number;
}

/** A way to confine workerd: a pure translation into one command line. All of them show it the same world. */
export interface Jail {
  readonly name: JailName;
  /** Programs that must be on the path. */
  readonly needs: readonly string[];
  /** Is the workerd process the command itself, or its sole child? */
  readonly guest: "self" | "child";
  command(spec: JailSpec): string[];
}

const KB = 1024;
const MB = 1024 * KB;
/** workerd does not boot below 400 MB of data segment (measured); the class comes on top. */
const DATA_BYTES_BASE = 800 * MB;
/** A backstop only: budgets are the watchdog's, and at most 60 s. */
const CPU_SECONDS_BACKSTOP = 120;
const FILES_MAX = 256;

function dataBytes(spec: JailSpec): number {
  return DATA_BYTES_BASE + spec.memory_mb * MB;
}

/** `here` is the directory that holds `s/` and `isolate/` in the eyes of the process. */
function serve(spec: JailSpec, here: string): string[] {
  return ["serve", "--experimental", "--control-fd=0", `${here}/isolate/${spec.memory_mb}.capnp`];
}

/**
 * The death signal, and for root the change to the unprivileged uid before anything else, so that root inside is not
 * root outside. A change of uid clears the signal, but setpriv sets it last (util-linux 2.38, measured).
 */
function dropped(spec: JailSpec): string[] {
  const { uid } = spec.runtime;
  const drop = uid === undefined ? [] : [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--inh-caps=-all"];
  return ["setpriv", ...drop, "--pdeathsig=KILL", "--"];
}

/**
 * The last step before the engine: its limits, then a word to us and one back. When we died while the jail was being built, some death
 * signal was set too late to be sent: bubblewrap (0.8.0) sets its child's as its last act, setpriv once it runs. Then
 * no answer comes, and the shell ends with the pipe; whoever was answered has every signal set. That the word could be
 * sent proves nothing: a process that we were just forking may still hold our end of the pipe. jail.sh does the same.
 */
function announced(spec: JailSpec): string[] {
  const limits = [
    `ulimit -d ${dataBytes(spec) / KB}`,
    `ulimit -t ${CPU_SECONDS_BACKSTOP}`,
    `ulimit -n ${FILES_MAX}`,
    "ulimit -c 0",
  ].join(" && ");
  // Shells add names of their own to an empty environment.
  const script = `${limits} && printf '{"event":"jail"}\\n' >&0 && read -r _ <&0 && exec env -i "$@"`;
  return ["sh", "-c", script, "jail"];
}

export const unshareJail: Jail = {
  name: "unshare",
  needs: ["setpriv", "unshare", "mount", "pivot_root", "sh"],
  guest: "child",
  command: (spec) => [
    ...dropped(spec),
    "unshare",
    ...["--user", "--map-root-user", "--net", "--pid", "--mount", "--ipc", "--uts", "--fork", "--kill-child", "--"],
    "sh",
    "-c",
    readFileSync(fileURLToPath(entryPoint("jail.sh")), "utf8"),
    "jail",
    ...[spec.dir.root, spec.runtime.workerd, spec.dir.sockets, spec.runtime.isolate],
    String(dataBytes(spec)),
    ...serve(spec, "/gantry"),
  ],
};

export const bwrapJail: Jail = {
  name: "bwrap",
  needs: ["setpriv", "bwrap", "sh"],
  guest: "child",
  command: (spec) => [
    ...dropped(spec),
    "bwrap",
    ...["--unshare-user", "--unshare-all", "--die-with-parent", "--as-pid-1"],
    ...["--clearenv", "--cap-drop", "ALL", "--uid", "0", "--gid", "0"],
    ...["--ro-bind", "/usr", "/usr"],
    ...["lib", "lib64"].flatMap(libraries),
    ...["--ro-bind", spec.runtime.workerd, "/gantry/workerd"],
    ...["--ro-bind", spec.runtime.isolate, "/gantry/isolate"],
    ...["--bind", spec.dir.sockets, "/gantry/s"],
    ...["--proc", "/proc", "--perms", "0700", "--size", String(16 * MB), "--tmpfs", "/tmp"],
    ...["null", "zero", "random", "urandom"].flatMap((name) => ["--dev-bind", `/dev/${name}`, `/dev/${name}`]),
    ...["--remount-ro", "/", "--chdir", "/gantry", "--"],
    ...announced(spec),
    "/gantry/workerd",
    ...serve(spec, "/gantry"),
  ],
};

function libraries(name: string): string[] {
  if (!existsSync(`/${name}`)) return [];
  try {
    return ["--symlink", readlinkSync(`/${name}`), `/${name}`];
  } catch {
    // Not a symlink: a host without merged /usr.
    return ["--ro-bind", `/${name}`, `/${name}`];
  }
}

/** No jail at all, for hosts that offer none and people who accept that: only with `--insecure-no-jail`. */
export const noJail: Jail = {
  name: "none",
  needs: ["setpriv", "sh"],
  guest: "self",
  command: (spec) => [...dropped(spec), ...announced(spec), spec.runtime.workerd, ...serve(spec, spec.runtime.path)],
};

/** Which of the programs are missing. */
export function missingPrograms(names: readonly string[]): string[] {
  const path = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
  return names.filter((name) => !path.some((directory) => isExecutable(join(directory, name))));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
