// Bundles our own code and what it needs of others into dist/. Takes about a second.
// Each file is written whole and then renamed over the old one: a thread that starts meanwhile, in a test run beside
// this build, must never load half a file.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));
const outdir = `${root}dist`;
const common = /** @type {const} */ ({
  absWorkingDir: root,
  outdir,
  bundle: true,
  format: "esm",
  logLevel: "warning",
  write: false,
});

const host = await build({
  ...common,
  entryPoints: {
    server: "server/src/main.ts",
    nursery: "server/src/execution/adapters/nursery_process.ts",
    "threads/writer": "server/src/storage/adapters/writer.ts",
    "threads/reader": "server/src/storage/adapters/reader.ts",
    "threads/dlp": "server/src/egress/adapters/dlp_thread.ts",
    "threads/watchdog": "server/src/execution/adapters/watchdog_thread.ts",
    cli: "cli/src/main.ts",
  },
  platform: "node",
  target: "node20",
  jsx: "automatic",
  jsxImportSource: "hono/jsx",
  // What has a binary, a worker or a CommonJS heart of its own stays a package. All else is bundled: two versions of
  // one dependency in the tree must not get mixed up, and a command that loads one file starts sooner.
  external: [
    "@cedar-policy/cedar-wasm",
    "@photostructure/sqlite",
    "dns-packet",
    "esbuild",
    "pg",
    "pino",
    "prom-client",
    "undici",
    "workerd",
    "yaml",
  ],
  // Ours are source in this repository, not packages that an installation has.
  alias: { "@gantry/sdk/verify": "./sdk/src/verify/verify.ts", "@gantry/sdk": "./sdk/src/client.ts" },
  sourcemap: "linked",
});
const in_workerd = { ...common, target: "es2023", external: ["cloudflare:*", "gantry:*", "*.txt"] };
const isolate = await build({ ...in_workerd, entryPoints: { "isolate/host": "isolate/src/host.ts" } });
// The engine compiles these two for every run: their length is part of its price.
const guest = await build({
  ...in_workerd,
  entryPoints: { "isolate/prelude": "isolate/src/prelude.ts", "isolate/wrapper": "isolate/src/wrapper.ts" },
  minify: true,
});
const jail = await readFile(`${root}server/src/execution/adapters/jail.sh`);

const files = [
  ...host.outputFiles,
  ...isolate.outputFiles,
  ...guest.outputFiles,
  { path: `${outdir}/jail.sh`, contents: jail },
];
for (const { path, contents } of files) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.${process.pid}`, contents);
  await rename(`${path}.${process.pid}`, path);
}
