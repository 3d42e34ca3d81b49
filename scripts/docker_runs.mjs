// Does what a container engine would with packaging/Dockerfile, where there is none: each COPY and RUN of each stage in a root
// of its own, then the image's command in the last one, its health check, and one program. Takes root and debootstrap.
// Usage: docker_runs.mjs [--keep]. The last line says where the root is, or that it is gone.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { instructionsOf } from "./dockerfile.mjs";

const REPOSITORY = fileURLToPath(new URL("../", import.meta.url));
const RELEASE = "bookworm";
const work = mkdtempSync(join(tmpdir(), "gantry-image-"));
const base = join(work, "base");

/** Enters ROOT as if it were the machine: mounts and processes of its own, the network of this one. MASKED hides parts of /proc as engines do. */
const ENTER = `set -eu
root=$1 masked=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
if [ "$masked" = masked ]; then
  for file in kcore keys timer_list; do [ ! -e "$root/proc/$file" ] || mount --bind /dev/null "$root/proc/$file"; done
  mount --bind "$root/proc/sys" "$root/proc/sys" && mount -o remount,bind,ro "$root/proc/sys"
fi
cd "$root"; mkdir -p .old; pivot_root . .old; umount -l /.old; rmdir /.old
exec "$@"`;

/**
 * Runs a command in a root. @param {{root: string, user?: string, directory: string, env: string[], masked?: boolean}} where
 * @param {string} script
 */
function runIn({ root, user, directory, env, masked }, script) {
  const [uid, gid = uid] = user?.split(":") ?? [];
  // As an engine would with --cap-drop ALL and no-new-privileges.
  const bounded = ["--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
  const drop = uid === undefined ? [] : ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, ...bounded, "--"];
  const command = [...drop, "env", "-i", ...env, "sh", "-c", `cd '${directory}' && ${script}`];
  const namespaces = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"];
  const args = [...namespaces, "sh", "-c", ENTER, "enter", root, masked === true ? "masked" : "-", ...command];
  return spawnSync("unshare", args, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
}

/** A small Debian with this machine's Node, which stands in for the official image of the same version. @param {string} image */
function makeBase(image) {
  const [, version, release] = /^node:(\d+\.\d+\.\d+)-(\w+)-slim$/.exec(image) ?? [];
  if (release !== RELEASE) throw new Error(`the base ${image} is no node:VERSION-${RELEASE}-slim`);
  if (`v${version}` !== process.version) console.log(`note: Node ${process.version} stands in for v${version}`);
  execFileSync("debootstrap", ["--variant=minbase", RELEASE, base, mirror()], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  for (const at of ["bin", "lib/node_modules"]) mkdirSync(join(base, "usr/local", at), { recursive: true });
  cpSync(process.execPath, join(base, "usr/local/bin/node"));
  const npm = execFileSync("npm", ["root", "--global"], { encoding: "utf8" }).trim();
  cpSync(join(npm, "npm"), join(base, "usr/local/lib/node_modules/npm"), { recursive: true });
  const shim = '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n';
  writeFileSync(join(base, "usr/local/bin/npm"), shim, { mode: 0o755 });
  cpSync("/etc/resolv.conf", join(base, "etc/resolv.conf"), { dereference: true });
}

/** Where this machine's own packages come from. */
function mirror() {
  const files = ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"].filter((path) => existsSync(path));
  const text = files.map((path) => readFileSync(path, "utf8")).join("\n");
  const found = /^(?:URIs:|deb(?: \[.*\])?)\s+(\S+)/m.exec(text)?.[1];
  if (found === undefined) throw new Error("this machine's apt names no mirror");
  return found;
}

/** What npm here is told about where packages are, so that the one inside finds the same. */
function ownNetwork() {
  const registry = execFileSync("npm", ["config", "get", "registry"], { encoding: "utf8" }).trim();
  const env = [`npm_config_registry=${registry}`, "npm_config_cache=/tmp/npm"];
  const authority = process.env["NODE_EXTRA_CA_CERTS"];
  if (authority === undefined) return env;
  cpSync(authority, join(base, "etc/build-ca.pem"), { dereference: true });
  return [...env, "NODE_EXTRA_CA_CERTS=/etc/build-ca.pem"];
}

/** Files of the repository that git knows, or would, below a path. @param {string} path */
function knownFiles(path) {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", path];
  const listed = execFileSync("git", args, { cwd: REPOSITORY, encoding: "utf8" }).split("\0").filter(Boolean);
  return listed.filter((name) => existsSync(join(REPOSITORY, name)) && !/\.test\.tsx?$/.test(name));
}

/** @typedef {{root: string, user?: string, directory: string, env: string[], image: Record<string, string>}} Stage */

/** @param {Stage} stage @param {string[]} words @param {Map<string, Stage>} stages */
function copy(stage, words, stages) {
  const from = words.find((word) => word.startsWith("--from="))?.slice("--from=".length);
  const names = words.filter((word) => !word.startsWith("--"));
  const to = names.pop() ?? "";
  const target = join(stage.root, resolve(stage.directory, to));
  const into = to.endsWith("/") || names.length > 1;
  for (const name of names) {
    if (from !== undefined) {
      const source = join(stages.get(from)?.root ?? "", name);
      mkdirSync(dirname(target), { recursive: true });
      execFileSync("cp", ["-a", source, target]);
      continue;
    }
    const files = knownFiles(name);
    if (files.length === 0) throw new Error(`COPY ${name}: there is no such file in the repository`);
    for (const file of files) {
      const below = file === name ? (into ? (file.split("/").at(-1) ?? "") : "") : file.slice(name.length + 1);
      cpSync(join(REPOSITORY, file), join(target, below), { recursive: true });
    }
  }
}

/** Carries out one instruction. @param {Stage} stage @param {{name: string, text: string, line: number}} instruction @param {Map<string, Stage>} stages @param {string[]} network */
function carryOut(stage, { name, text, line }, stages, network) {
  const words = text.split(/\s+/);
  if (name === "WORKDIR") {
    stage.directory = text;
    mkdirSync(join(stage.root, text), { recursive: true });
  } else if (name === "ENV") stage.env.push(...words);
  else if (name === "USER") stage.user = text;
  else if (name === "COPY") copy(stage, words, stages);
  else if (name === "RUN") {
    const from = performance.now();
    const { status, stdout, stderr } = runIn({ ...stage, env: [...stage.env, ...network] }, text);
    if (status !== 0) throw new Error(`line ${line}: RUN ${text}\nended with ${status}\n${stdout}\n${stderr}`);
    console.log(`RUN, line ${line}: ${((performance.now() - from) / 1_000).toFixed(1)} s`);
  } else stage.image[name] = text;
}

/** @returns {Stage} the last stage: the image. */
function build() {
  /** @type {Map<string, Stage>} */
  const stages = new Map();
  /** @type {Stage | undefined} */
  let stage;
  /** @type {string[]} */
  let network = [];
  for (const instruction of instructionsOf(readFileSync(join(REPOSITORY, "packaging/Dockerfile"), "utf8"))) {
    if (instruction.name === "FROM") {
      const [image = "", , alias = String(stages.size)] = instruction.text.split(/\s+/);
      if (!existsSync(base)) {
        makeBase(image);
        network = ownNetwork();
      }
      const root = join(work, alias);
      execFileSync("cp", ["-a", base, root]);
      const env = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/tmp",
        "DEBIAN_FRONTEND=noninteractive",
      ];
      stage = { root, directory: "/", env, image: {} };
      stages.set(alias, stage);
    } else if (stage !== undefined) carryOut(stage, instruction, stages, network);
  }
  if (stage === undefined) throw new Error("the Dockerfile has no stage");
  return stage;
}

/** Starts the image's command, asks whether it is healthy, runs a program, and stops it. @param {Stage} image */
function proveThatItRuns(image) {
  /** @param {string | undefined} text */
  const words = (text) => /** @type {string[]} */ (JSON.parse(text ?? "[]")).map((word) => `'${word}'`).join(" ");
  const health = words(image.image["HEALTHCHECK"]?.replace(/^.*?CMD\s+/, ""));
  const script = `{ set -eu
${words(image.image["ENTRYPOINT"])} ${words(image.image["CMD"])} & server=$!
tries=0; until ${health} 2>/dev/null; do tries=$((tries + 1)); [ $tries -lt 150 ] || exit 9; sleep 0.2; done
echo 'export default (x) => x + 1;' >/tmp/program.js
node bin/gantry.mjs run /tmp/program.js --input 41 2>&1
kill -TERM $server; wait $server; echo "stopped with $?"; }`;
  const ran = runIn(image, script);
  const said = `${ran.stdout}\n${ran.stderr}`;
  for (const wanted of [/^ready$/m, /^42$/m, /jail +bwrap/, /^stopped with 0$/m]) {
    if (!wanted.test(said)) throw new Error(`the image's server did not say ${wanted}; it said:\n${said}`);
  }
  console.log(
    "the image's command serves, is healthy, ran a program in bubblewrap as the image's user, and stopped when told to",
  );
  const masked = runIn({ ...image, masked: true }, "node bin/gantry.mjs doctor --data /tmp/none");
  if (masked.status === 0 || !/systempaths=unconfined/.test(masked.stdout.replace(/\s+/g, " "))) {
    throw new Error(
      `with /proc masked, doctor should fail and name the option; it said:\n${masked.stdout}\n${masked.stderr}`,
    );
  }
  console.log("with /proc masked as engines do, doctor fails and names what the engine must allow");
}

const keep = process.argv.includes("--keep");
try {
  const image = build();
  const size = execFileSync("du", ["-sm", join(image.root, "opt/gantry")], { encoding: "utf8" }).split("\t")[0];
  console.log(`built: /opt/gantry has ${size} MB`);
  proveThatItRuns(image);
  console.log(keep ? image.root : "the roots are removed");
} finally {
  if (!keep) rmSync(work, { recursive: true, force: true });
}
