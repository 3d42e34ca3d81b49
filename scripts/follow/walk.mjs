// Follows one page from its first block to its last.
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { difference, Names } from "./compare.mjs";
import { readPage } from "./page.mjs";
import { pause, Shell } from "./shell.mjs";

/** For a command of a page, unless the caller says otherwise. */
export const COMMAND_LIMIT_MS = 120_000;
const POLL_MS = 50;
/** What a page's text needs to be there beside it; the rest of the clone it reaches by its commands. */
const COPIED = ["examples", "packaging"];

/**
 * @typedef {{
 *   clone: string, limit_ms?: number, real_npx?: boolean, env?: Record<string, string | undefined>,
 *   say?: (text: string) => void,
 * }} Options  `say` gets the transcript as it comes; `real_npx` leaves `npx` to npm.
 * @typedef {{ line: number, what: string, expected?: string, got?: string }} Surprise
 * @typedef {{ shell: Shell, names: Names, directory: string, limit_ms: number, say: (text: string) => void }} Walk
 */

/**
 * @param {string} text  of the page.
 * @param {Options} options
 * @returns {Promise<Surprise | undefined>} the first thing that was not as the page says.
 */
export async function followPage(text, options) {
  const page = readPage(text);
  const home = mkdtempSync(join(tmpdir(), "gantry-page-"));
  const directory = page.in_clone ? options.clone : workspace(home, options.clone);
  const shell = new Shell({ cwd: directory, env: environment(home, options) });
  const say = options.say ?? (() => undefined);
  const walk = { shell, names: new Names(), directory, limit_ms: options.limit_ms ?? COMMAND_LIMIT_MS, say };
  try {
    const early = page.wants_server ? await prepare(walk, page.wants_login) : undefined;
    if (early !== undefined) return early;
    for (const block of page.blocks) {
      const surprise = await followBlock(walk, block);
      if (surprise !== undefined) return surprise;
    }
    return undefined;
  } finally {
    await shell.close();
    shell.dispose();
    rmSync(home, { recursive: true, force: true });
  }
}

/** A directory that looks like the clone to whoever types the commands of a page. @param {string} home @param {string} clone */
function workspace(home, clone) {
  const directory = join(home, "gantry");
  mkdirSync(directory);
  for (const name of COPIED) {
    if (existsSync(join(clone, name))) cpSync(join(clone, name), join(directory, name), { recursive: true });
  }
  symlinkSync(join(clone, "node_modules"), join(directory, "node_modules"));
  writeFileSync(join(directory, "package.json"), '{ "private": true, "type": "module" }\n');
  return directory;
}

/** Only what a newcomer has: nothing of Gantry's, no colours, and programs by a short path. @param {string} home @param {Options} options */
function environment(home, { clone, real_npx = false, env = process.env }) {
  const bin = join(home, "bin");
  mkdirSync(bin);
  if (!real_npx) {
    const gantry = `exec "${process.execPath}" "${clone}/bin/gantry.mjs"`;
    const npx = `if [ "$1" = gantry ]; then shift; ${gantry} "$@"; fi\necho "npx knows only gantry here" >&2; exit 127`;
    writeFileSync(join(bin, "npx"), `#!/bin/sh\n${npx}\n`, { mode: 0o755 });
    writeFileSync(join(bin, "gantry"), `#!/bin/sh\n${gantry} "$@"\n`, { mode: 0o755 });
  }
  const own = Object.fromEntries(Object.entries(env).filter(([name]) => !/^(GANTRY_|XDG_|NODE_OPTIONS$)/.test(name)));
  return {
    ...own,
    PATH: `${bin}:${env["PATH"] ?? "/usr/bin:/bin"}`,
    HOME: home,
    NO_COLOR: "1",
    TERM: "dumb",
    LANG: "C.UTF-8",
  };
}

/** @param {Walk} walk @param {boolean} with_login @returns {Promise<Surprise | undefined>} */
async function prepare(walk, with_login) {
  const up = { line: 0, text: "gantry up", expected: ["…", "Gantry … is up.", "…", "Stop  Ctrl-C"], exit: 0 };
  const surprise = await startStep(walk, up);
  if (surprise !== undefined || !with_login) return surprise;
  return runStep(walk, { line: 0, text: "gantry login gtr_lnk_…", expected: null, exit: 0 });
}

/** @param {Walk} walk @param {import("./page.mjs").Block} block @returns {Promise<Surprise | undefined>} */
async function followBlock(walk, block) {
  if (block.kind === "file") {
    const path = join(walk.directory, block.name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, block.text);
    walk.say(`(${block.name} written)\n`);
    return undefined;
  }
  if (block.kind === "program") {
    const name = `page-${block.line}.ts`;
    writeFileSync(join(walk.directory, name), block.text);
    const text = `node --import tsx ${name}`;
    return runStep(walk, { line: block.line, text, expected: block.expected, exit: 0 });
  }
  for (const step of block.steps) {
    const surprise = await (block.background ? startStep(walk, step) : runStep(walk, step));
    if (surprise !== undefined) return surprise;
  }
  return undefined;
}

/** @param {Walk} walk @param {import("./page.mjs").Step} step @returns {Promise<Surprise | undefined>} */
async function runStep({ shell, names, limit_ms, say }, { line, text, expected, exit }) {
  const command = names.fill(text);
  say(`$ ${command}\n`);
  const finished = await shell.run(command, limit_ms);
  say(finished.output);
  const about = { line, ...(expected === null ? {} : { expected: expected.join("\n") }), got: finished.output };
  if (finished.exit === null) return { ...about, what: `\`${text}\` did not end within ${limit_ms / 1_000} s` };
  if (finished.exit !== exit) return { ...about, what: `\`${text}\` ended with ${finished.exit}, not ${exit}` };
  names.learn(expected ?? [], finished.output);
  const missing = expected === null ? undefined : difference(expected, finished.output);
  return missing === undefined ? undefined : { ...about, what: `\`${text}\` does not print: ${missing}` };
}

/** @param {Walk} walk @param {import("./page.mjs").Step} step @returns {Promise<Surprise | undefined>} */
async function startStep({ shell, names, limit_ms, say }, { line, text, expected }) {
  const command = names.fill(text);
  say(`$ ${command} &\n`);
  const started = await shell.background(command);
  const until = Date.now() + limit_ms;
  const lines = expected ?? [];
  for (;;) {
    // Asked before the output is read: a command that has ended prints no more.
    const is_alive = started.isAlive();
    const got = started.output();
    const missing = difference(lines, got, true);
    if (missing === undefined || !is_alive || Date.now() > until) {
      say(got);
      names.learn(lines, got);
      if (missing === undefined) return undefined;
      const why = is_alive ? `did not come within ${limit_ms / 1_000} s` : "did not come before its end";
      return { line, what: `\`${text}\`: ${missing} ${why}`, expected: lines.join("\n"), got };
    }
    await pause(POLL_MS);
  }
}
