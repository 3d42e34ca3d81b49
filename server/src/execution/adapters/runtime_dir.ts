import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DOOR_HEADER, EGRESS_DOOR } from "../../../../isolate/src/protocol.ts";
import { entryPoint } from "../../kernel/entries.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import { startTicks } from "./procfs.ts";
import { strayProcesses } from "./strays.ts";

/** A unix socket's path has at most this many bytes (`sun_path`, unix(7), without its final zero). */
export const SOCKET_PATH_MAX = 107;
/** V8 heap classes in MB; a run gets the smallest that holds its `memory_mb`. */
export const MEMORY_CLASSES_MB = [128, 256, 512] as const;
const ISOLATE_FILES = ["host.js", "prelude.js", "wrapper.js"];

/** Where runners live: a short path of its own, since socket paths are short. */
export interface RuntimeDir {
  path: string;
  /** The engine, readable by any uid. */
  workerd: string;
  /** Our code and configuration for workerd. */
  isolate: string;
  /** The uid and gid of guests, or undefined when Gantry cannot change it. */
  uid: number | undefined;
}

/**
 * Creates `<$XDG_RUNTIME_DIR or /tmp>/gantry-<uid>-<hash of data dir>` with everything that a jail binds.
 * As root it stays traversable for the unprivileged `runner_uid`, under which guests then run; a clone below a
 * 0700 home would be invisible to it, hence the engine's own link or copy here.
 */
export function prepareRuntimeDir(o: { data_dir: string; runner_uid: number; base?: string }): RuntimeDir {
  const own = process.getuid?.() ?? 0;
  const name = `gantry-${own}-${sha256Hex(o.data_dir).slice(0, 8)}`;
  const path = join(o.base ?? chooseBase(own, name), name);
  mkdirSync(path, { recursive: true, mode: 0o711 });
  const found = lstatSync(path);
  if (!found.isDirectory() || found.uid !== own) {
    throw new Error(`${path} belongs to somebody else: remove it, or set XDG_RUNTIME_DIR to a directory of your own.`);
  }
  chmodSync(path, own === 0 ? 0o711 : 0o700);
  const isolate = join(path, "isolate");
  mkdirSync(isolate, { recursive: true, mode: 0o755 });
  for (const file of ISOLATE_FILES) copyFileSync(fileURLToPath(entryPoint(`isolate/${file}`)), join(isolate, file));
  for (const memory_mb of MEMORY_CLASSES_MB) writeFileSync(join(isolate, `${memory_mb}.capnp`), config(memory_mb));
  return {
    path,
    workerd: placeWorkerd(path),
    isolate,
    uid: own === 0 ? o.runner_uid : undefined,
  };
}

function chooseBase(own: number, name: string): string {
  const preferred = process.env["XDG_RUNTIME_DIR"];
  // Root's runtime directory is closed to the uid that guests run under.
  if (own === 0 || preferred === undefined || !existsSync(preferred)) return "/tmp";
  return socketPathBytes(join(preferred, name)) <= SOCKET_PATH_MAX ? preferred : "/tmp";
}

/** How long the longest socket path below a runtime directory gets. */
export function socketPathBytes(path: string): number {
  return Buffer.byteLength(join(path, "r", "00000000", "s", "out.sock"));
}

function placeWorkerd(path: string): string {
  const require = createRequire(import.meta.url);
  const source = (require("workerd") as { default: string }).default;
  const target = join(path, "workerd");
  rmSync(target, { force: true });
  try {
    linkSync(source, target);
    // A link shares the mode of the package's file; a clone made under a strict umask may have closed it.
    if ((lstatSync(target).mode & 0o555) === 0o555) return target;
    rmSync(target);
  } catch {
    // Another file system, or the kernel forbids links to files of others.
  }
  copyFileSync(source, target);
  chmodSync(target, 0o755);
  return target;
}

/**
 * The text form of workerd's configuration (workerd.capnp). The service `internet` is ours and leads nowhere: the one
 * that workerd makes when there is none has TLS, which costs 4 ms of each boot and aborts it where no CA bundle is
 * visible (measured).
 */
function config(memory_mb: number): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "host", worker = (
      modules = [
        (name = "host.js", esModule = embed "host.js"),
        (name = "prelude.txt", text = embed "prelude.js"),
        (name = "wrapper.txt", text = embed "wrapper.js"),
      ],
      compatibilityDate = "2026-07-01",
      compatibilityFlags = ["experimental"],
      bindings = [
        (name = "LOADER", workerLoader = (id = "runs")),
        (name = "OUT", service = "out"),
      ],
      globalOutbound = "internet",
    )),
    (name = "internet", network = (allow = [])),
    (name = "out", external = (address = "unix:s/out.sock", http = (
      # Scheme, host and port arrive as the guest wrote them only so: "host" sends the path alone.
      style = proxy,
      injectRequestHeaders = [(name = "${DOOR_HEADER}", value = "${EGRESS_DOOR}")],
    ))),
  ],
  sockets = [(name = "in", address = "unix:s/in.sock", http = (), service = "host")],
  # Every other flag that was tried makes each load dearer.
  v8Flags = ["--max-heap-size=${memory_mb}"],
);
`;
}

export interface RunnerDir {
  path: string;
  /** Bound into the jail, the only place of the host that a guest's process may write to. */
  sockets: string;
  /** Where a jail mounts its root. */
  root: string;
}

export function createRunnerDir(runtime: RuntimeDir, short_id: string): RunnerDir {
  const path = join(runtime.path, "r", short_id);
  const dir = { path, sockets: join(path, "s"), root: join(path, "root") };
  mkdirSync(join(runtime.path, "r"), { recursive: true, mode: 0o711 });
  for (const each of [dir.path, dir.sockets, dir.root]) {
    mkdirSync(each, { mode: 0o700 });
    if (runtime.uid !== undefined) chownSync(each, runtime.uid, runtime.uid);
  }
  return dir;
}

/** Names the process for whoever sweeps after a crash. */
export function recordPid(dir: RunnerDir, pid: number): void {
  writeFileSync(join(dir.path, "pid"), `${pid} ${startTicks(pid) ?? 0}\n`, { mode: 0o600 });
}

/**
 * Kills what an earlier life of this data directory left behind and removes its directories. Runners die with their
 * parent; this is for the one that a kill caught while its jail was being built. Pid and start time must both match.
 * @returns how many processes were still alive.
 */
export function sweepRunners(runtime: RuntimeDir): number {
  let killed = 0;
  const kill = (pid: number, ticks: number): void => {
    if (startTicks(pid) !== ticks) return;
    process.kill(pid, "SIGKILL");
    killed += 1;
  };
  const parent = join(runtime.path, "r");
  for (const name of existsSync(parent) ? readdirSync(parent) : []) {
    const file = join(parent, name, "pid");
    const [pid, ticks] = existsSync(file) ? readFileSync(file, "latin1").trim().split(" ").map(Number) : [];
    if (pid !== undefined && ticks !== undefined && ticks > 0) kill(pid, ticks);
    rmSync(join(parent, name), { recursive: true, force: true });
  }
  for (const { pid, start_ticks } of strayProcesses(runtime.path)) kill(pid, start_ticks);
  return killed;
}
