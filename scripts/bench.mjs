// `npm run bench -- <name>`: a name is a group or `<group>-<what>`; a group alone runs all of it.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const name = process.argv[2] ?? "";
const [group = "", what = ""] = name.split("-", 2);
const file = `${root}bench/${group}.ts`;
if (group === "" || !existsSync(file)) {
  const groups = readdirSync(`${root}bench`).flatMap((each) => /^([a-z]+)\.ts$/.exec(each)?.[1] ?? []);
  console.error(`usage: npm run bench -- <group>[-<what>]; groups: ${groups.join(", ")}`);
  process.exit(2);
}
// A peer that is measured where it is installed. Its manual asks for the option on Node 20 and later.
const isolated_vm = process.env["GANTRY_BENCH_ISOLATED_VM"] ?? installed("isolated-vm");
const options = isolated_vm === undefined ? [] : ["--no-node-snapshot"];
const env = isolated_vm === undefined ? process.env : { ...process.env, GANTRY_BENCH_ISOLATED_VM: isolated_vm };
const args = [...options, "--import", "tsx", file, what];
const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit", env });
process.exit(status ?? 1);

/** @param {string} name */
function installed(name) {
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch {
    return undefined;
  }
}
