// `npm run bench -- <name>`: a name is a group or `<group>-<what>`; a group alone runs all of it.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
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
const { status } = spawnSync(process.execPath, ["--import", "tsx", file, what], { cwd: root, stdio: "inherit" });
process.exit(status ?? 1);
