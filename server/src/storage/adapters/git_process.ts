import { spawn } from "node:child_process";
import type { Clock } from "../../kernel/clock.ts";
import { GIT_FILE_BYTES_MAX, GIT_OUTPUT_BYTES_MAX, GIT_WALL_MS } from "../contract.ts";

/** `ulimit -f` counts in blocks of 512 bytes (POSIX). */
const BLOCK_BYTES = 512;
/** Of the line of git that says what was wrong. */
const SAID_CHARS_MAX = 200;
/** As a shell ends that finds no program. */
const EXIT_NOT_FOUND = 127;
/** What the operator may have set for git and ssh to reach a remote; nothing else of our environment is git's. */
const PASSED = ["PATH", "SSH_AUTH_SOCK", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"];

/** It asks nobody, ends when the line is dead, and leaves no process behind that would hold our pipes open. */
const SSH =
  "ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=5 -oServerAliveCountMax=3 -oControlMaster=no -oControlPath=none";

/** Over every configuration file, of which none is read: the remote is not trusted, and nobody is there to be asked. */
const SETTINGS = [
  "protocol.ext.allow=never",
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "credential.helper=",
  "http.followRedirects=false",
  "http.lowSpeedLimit=100",
  "http.lowSpeedTime=20",
  "transfer.fsckObjects=true",
  // What a remote sends stays one file, which the limit on files bounds.
  "fetch.unpackLimit=1",
  "fetch.recurseSubmodules=false",
  "push.recurseSubmodules=no",
  "push.gpgSign=false",
  "commit.gpgSign=false",
  "gc.auto=0",
  "maintenance.auto=false",
];

export interface GitPlace {
  /** The repository, absolute; also the home that git knows, so that it finds no settings of a user. */
  directory: string;
  clock: Clock;
  /** Further settings, as `name=value`. */
  settings: string[];
  /** Further members of the environment. */
  env: Record<string, string>;
  /** Blanked in whatever is said of a failure. */
  secrets: string[];
  /** As `file:https:ssh` (GIT_ALLOW_PROTOCOL). */
  protocols: string;
}

/** A command of git that failed. The message is one line without secrets; what a remote says is left out. */
export class GitFailure extends Error {
  /** All that git itself wrote to standard error, for us to look into and for nobody to read. */
  readonly said: string;

  constructor(message: string, said: string) {
    super(message);
    this.name = "GitFailure";
    this.said = said;
  }
}

/**
 * Runs git with neither settings of a user or of the machine, nor hooks, nor a terminal. It and whatever it starts are
 * killed at `GIT_WALL_MS`, past `GIT_OUTPUT_BYTES_MAX` of output, or when `signal` aborts.
 * @returns standard output. @throws GitFailure
 */
export function runGit(place: GitPlace, args: string[], signal: AbortSignal, input = ""): Promise<Buffer> {
  const what = `git ${args[0]}`;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new GitFailure(`${what} was not begun`, ""));
    const blocks = String(GIT_FILE_BYTES_MAX / BLOCK_BYTES);
    const settings = [...SETTINGS, ...place.settings].flatMap((setting) => ["-c", setting]);
    const limited = ["-c", 'ulimit -f "$1" && shift && exec git "$@"', "git", blocks, ...settings, ...args];
    // A group of its own: ssh and git's helpers end with it.
    const child = spawn("sh", limited, { cwd: place.directory, env: environment(place), detached: true });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let bytes = 0;
    let ended: string | undefined;
    const kill = (why: string): void => {
      ended ??= why;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended already.
      }
    };
    const aborted = (): void => kill("was stopped");
    const collect = (to: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes > GIT_OUTPUT_BYTES_MAX) kill(`wrote more than ${GIT_OUTPUT_BYTES_MAX} bytes`);
      else to.push(chunk);
    };
    const cancel = place.clock.after(GIT_WALL_MS, () => kill(`took longer than ${GIT_WALL_MS / 1_000} s`));
    signal.addEventListener("abort", aborted);
    const settle = (failure: GitFailure | undefined): void => {
      cancel();
      signal.removeEventListener("abort", aborted);
      if (failure === undefined) resolve(Buffer.concat(out));
      else reject(failure);
    };
    child.stdout.on("data", collect(out));
    child.stderr.on("data", collect(err));
    child.stdin.on("error", () => {}); // It may end without reading.
    child.stdin.end(input);
    child.on("error", (error) => settle(new GitFailure(`${what} could not be started: ${error.message}`, "")));
    child.on("close", (code) => {
      const said = Buffer.concat(err).toString("utf8");
      if (code === 0 && ended === undefined) return settle(undefined);
      settle(new GitFailure(`${what} ${ended ?? `failed: ${reasonOf(code, said, place.secrets)}`}`, said));
    });
  });
}

function environment({ directory, env, protocols }: GitPlace): Record<string, string> {
  const passed = PASSED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(passed),
    HOME: directory,
    LC_ALL: "C",
    GIT_DIR: directory,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "false",
    GIT_ALLOW_PROTOCOL: protocols,
    GIT_SSH_COMMAND: SSH,
    ...env,
  };
}

/** The first line in which git, not the remote, says what was wrong. */
function reasonOf(code: number | null, said: string, secrets: string[]): string {
  if (code === EXIT_NOT_FOUND) return "git is not installed";
  const lines = said.split(/[\r\n]+/).filter((line) => !line.startsWith("remote:"));
  const line = lines.find((one) => /^(fatal|error|ssh|sh): |^ ! \[/.test(one)) ?? `exit ${code}`;
  const blanked = secrets.reduce((text, secret) => text.replaceAll(secret, "***"), line);
  return blanked.replaceAll(/\p{C}/gu, "").trim().slice(0, SAID_CHARS_MAX);
}
