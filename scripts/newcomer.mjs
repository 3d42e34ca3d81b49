// Does what somebody does who has just heard of Gantry: clones it, types the README's first command, then follows docs/start.md, word
// for word. Nothing of this machine's user helps: an empty home, a short path, no settings.
// Usage: newcomer.mjs [--transcript FILE] [--worktree] [--into DIR]; --worktree takes the files as they are here
// instead of the last commit, --into leaves the clone in DIR/gantry.
import { execFileSync, spawn } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { difference } from "./follow/compare.mjs";
import { followPage } from "./follow/walk.mjs";

const INSTALL_LIMIT_MS = 200_000;
/** Where the system has its programs. npm and Node may lie elsewhere; nothing else is taken from the caller. */
const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({
  options: {
    transcript: { type: "string" },
    worktree: { type: "boolean", default: false },
    into: { type: "string" },
  },
});

/** @param {string} text */
function say(text) {
  process.stdout.write(text);
  if (values.transcript !== undefined) appendFileSync(values.transcript, text);
}

/** @param {string} directory */
function takeClone(directory) {
  if (!values.worktree) {
    say(`$ git clone . gantry\n`);
    execFileSync("git", ["clone", "--quiet", root, directory], { stdio: ["ignore", "ignore", "inherit"] });
    return;
  }
  const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], { cwd: root, encoding: "utf8" });
  for (const path of listed.split("\0").filter((one) => one !== "" && existsSync(join(root, one)))) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    cpSync(join(root, path), join(directory, path));
  }
}

/**
 * What a login shell of a new user has, and where npm finds its packages: a machine without the public registry names another one
 * in its user's settings, which an empty home does not have.
 * @param {string} home
 */
function newcomersEnvironment(home) {
  const npm = (/** @type {string} */ key) =>
    execFileSync("npm", ["config", "get", key], { cwd: tmpdir(), encoding: "utf8" }).trim();
  return {
    HOME: home,
    PATH: `${dirname(process.execPath)}:${SYSTEM_PATH}`,
    LANG: "C.UTF-8",
    TERM: "dumb",
    NPM_CONFIG_REGISTRY: npm("registry"),
    npm_config_cache: npm("cache"),
    npm_config_update_notifier: "false",
    ...(process.env["NODE_EXTRA_CA_CERTS"] === undefined
      ? {}
      : { NODE_EXTRA_CA_CERTS: process.env["NODE_EXTRA_CA_CERTS"] }),
  };
}

/**
 * The README's first command, and what it says that the command prints: the first block without a language, or of text, behind it.
 * @param {string} readme
 */
function firstCommand(readme) {
  const section = /^## Two commands\n(.*?)^## /ms.exec(readme)?.[1] ?? "";
  const command = /^```sh\n(.*)\n```/m.exec(section)?.[1];
  if (command === undefined) throw new Error('README.md has no command under "## Two commands"');
  const behind = section.slice(section.indexOf(command) + command.length).replace(/^\n```\n/, "");
  const before_next = behind.split(/^```sh$/m)[0] ?? "";
  return { command, expected: /^```(?:text|console)\n(.*?)^```/ms.exec(before_next)?.[1]?.split("\n") };
}

/**
 * @param {string} command @param {{ cwd: string, env: Record<string, string> }} place
 * @returns {Promise<{ code: number | null, output: string }>}
 */
function run(command, place) {
  return new Promise((resolve) => {
    const child = spawn("bash", ["-c", command], { ...place, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
        say(text);
      });
    }
    const timer = setTimeout(() => process.kill(-(child.pid ?? 0), "SIGKILL"), INSTALL_LIMIT_MS);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}

/** What npm says while it installs and builds is npm's. @param {string} output */
function ofTheDemo(output) {
  return output.slice(Math.max(0, output.search(/^Gantry demo/m)));
}

/** @param {string} base @returns {Promise<string | undefined>} the first surprise. */
async function walk(base) {
  const [clone, home] = [join(base, "gantry"), join(base, "home")];
  mkdirSync(home);
  takeClone(clone);
  const env = newcomersEnvironment(home);
  const { command, expected } = firstCommand(readFileSync(join(clone, "README.md"), "utf8"));
  say(`$ ${command}\n`);
  const { code, output } = await run(command, { cwd: clone, env });
  if (code !== 0) return `\`${command}\` ended with ${code}`;
  if (expected === undefined) return "README.md does not show what its first command prints";
  const missing = difference(expected, ofTheDemo(output));
  if (missing !== undefined) return `\`${command}\` does not print what README.md shows: ${missing}`;
  const page = readFileSync(join(clone, "docs/start.md"), "utf8");
  const surprise = await followPage(page, { clone, env, real_npx: true, say });
  if (surprise === undefined) return undefined;
  const { line, what, expected: shown, got } = surprise;
  return [`docs/start.md:${line}: ${what}`, `--- expected\n${shown ?? ""}`, `--- got\n${got ?? ""}`].join("\n");
}

if (values.transcript !== undefined) writeFileSync(values.transcript, "");
const base = values.into ?? mkdtempSync(join(tmpdir(), "newcomer-"));
mkdirSync(base, { recursive: true });
const from_ms = Date.now();
const surprise = await walk(base).catch((error) => `${error instanceof Error ? error.message : error}`);
if (values.into === undefined) rmSync(base, { recursive: true, force: true });
const took = `${((Date.now() - from_ms) / 1_000).toFixed(0)} s`;
say(
  surprise === undefined
    ? `\nA newcomer came through in ${took}, without a surprise.\n`
    : `\nsurprise after ${took}: ${surprise}\n`,
);
process.exit(surprise === undefined ? 0 : 1);
