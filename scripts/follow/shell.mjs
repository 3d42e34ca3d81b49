// One bash that lives as long as a page: directories and variables stay from one command to the next.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** How long what was started may take to end by itself, before it is killed. */
const END_MS = 20_000;
const POLL_MS = 50;

/**
 * @typedef {{ output: string, exit: number | null }} Finished
 *   `exit` is null when the command's time was up; the shell is gone then.
 */

/** A shell, and whatever was started in it. */
export class Shell {
  #bash;
  #directory = mkdtempSync(join(tmpdir(), "gantry-follow-"));
  #count = 0;
  /** @type {number[]} groups of what goes on in the background */
  #groups = [];
  /** @type {((line: string) => void)[]} */
  #waiting = [];
  #ended;

  /** @param {{ cwd: string, env: Record<string, string | undefined> }} place */
  constructor({ cwd, env }) {
    const stdio = /** @type {const} */ (["pipe", "ignore", "ignore", "pipe"]);
    this.#bash = spawn("bash", ["--noprofile", "--norc"], { cwd, env, stdio: [...stdio], detached: true });
    this.#ended = once(this.#bash, "exit");
    const said = this.#bash.stdio[3];
    if (!said || !("read" in said)) throw new Error("bash has no third stream");
    createInterface({ input: said }).on("line", (line) => this.#waiting.shift()?.(line));
    // A command may end the shell itself; what is written to it then is lost, and the wait for it says so.
    this.#bash.stdin?.on("error", () => undefined);
  }

  /**
   * @param {string} command @param {number} limit_ms
   * @returns {Promise<Finished>}
   */
  async run(command, limit_ms) {
    const { script, output } = this.#files(command);
    const answer = this.#ask(`eval "$(<'${script}')" </dev/null >'${output}' 2>&1 3>&-; printf '%s\\n' "$?" >&3`);
    const said = await within(Promise.race([answer, this.#ended.then(() => "ended")]), limit_ms);
    const exit = said === undefined ? null : said === "ended" ? (this.#bash.exitCode ?? 1) : Number(said);
    if (exit === null) await this.close();
    return { output: readFileSync(output, "utf8"), exit };
  }

  /**
   * Starts what stays.
   * @param {string} command
   * @returns {Promise<{ output: () => string, isAlive: () => boolean }>}
   */
  async background(command) {
    const { script, output } = this.#files(command);
    // With job control the job has a group of its own, by which all of it is ended.
    const group = Number(
      await this.#ask(
        `set -m; { eval "$(<'${script}')"; } </dev/null >'${output}' 2>&1 3>&- & printf '%s\\n' "$!" >&3; set +m`,
      ),
    );
    this.#groups.push(group);
    return { output: () => readFileSync(output, "utf8"), isAlive: () => isAlive(group) };
  }

  /** Ends what is in the background first, so that it can end well; then everything. */
  async close() {
    const asked = Date.now();
    for (const group of this.#groups) signal(group, "SIGTERM");
    while (this.#groups.some(isAlive) && Date.now() - asked < END_MS) await pause(POLL_MS);
    for (const group of [...this.#groups, this.#bash.pid ?? 0]) signal(group, "SIGKILL");
    this.#groups = [];
    if (this.#bash.exitCode === null && this.#bash.signalCode === null) await this.#ended;
  }

  /** Removes the files that the shell needed. */
  dispose() {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** @param {string} command */
  #files(command) {
    this.#count += 1;
    const [script, output] = ["sh", "out"].map((end) => join(this.#directory, `${this.#count}.${end}`));
    if (script === undefined || output === undefined) throw new Error("unreachable");
    writeFileSync(script, command);
    writeFileSync(output, "");
    return { script, output };
  }

  /** @param {string} line @returns {Promise<string>} */
  #ask(line) {
    const answer = /** @type {Promise<string>} */ (new Promise((resolve) => this.#waiting.push(resolve)));
    this.#bash.stdin?.write(`${line}\n`);
    return answer;
  }
}

/** @param {number} group */
function isAlive(group) {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}

/** @param {number} group @param {NodeJS.Signals} name */
function signal(group, name) {
  // Zero would be this program itself.
  if (group <= 0) return;
  try {
    process.kill(-group, name);
  } catch {
    // It has ended by itself.
  }
}

/** @param {number} ms */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * @template T @param {Promise<T>} promise @param {number} limit_ms
 * @returns {Promise<T | undefined>} undefined when the time was up.
 */
async function within(promise, limit_ms) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = /** @type {Promise<undefined>} */ (
    new Promise((resolve) => {
      timer = setTimeout(() => resolve(undefined), limit_ms);
    })
  );
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
