// Bundles our own code and what it needs of others into dist/. Takes about a second.
// It overwrites in place and shares no chunks, so that a test run never misses a file while another one builds.
import { existsSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));
const outdir = `${root}dist`;
const entries = {
  server: "server/src/main.ts",
  "threads/writer": "server/src/storage/adapters/writer.ts",
  "threads/reader": "server/src/storage/adapters/reader.ts",
  "threads/watchdog": "server/src/execution/adapters/watchdog_thread.ts",
  cli: "cli/src/main.ts",
};
/** @param {Record<string, string>} paths */
const existing = (paths) => Object.fromEntries(Object.entries(paths).filter(([, path]) => existsSync(root + path)));

await build({
  absWorkingDir: root,
  entryPoints: existing(entries),
  outdir,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  // What has a binary, a worker or a CommonJS heart of its own stays a package. All else is bundled: two versions of
  // one dependency in the tree must not get mixed up, and a command that loads one file starts sooner.
  external: ["@photostructure/sqlite", "esbuild", "pino", "prom-client", "workerd", "yaml"],
  // Ours are source in this repository, not packages that an installation has.
  alias: { "@gantry/sdk": "./sdk/src/client.ts" },
  sourcemap: "linked",
  logLevel: "warning",
});
await build({
  absWorkingDir: root,
  entryPoints: existing({
    "isolate/host": "isolate/src/host.ts",
    "isolate/prelude": "isolate/src/prelude.ts",
    "isolate/wrapper": "isolate/src/wrapper.ts",
  }),
  outdir,
  bundle: true,
  format: "esm",
  target: "es2023",
  external: ["cloudflare:*", "gantry:*", "*.txt"],
  logLevel: "warning",
});
await copyFile(`${root}server/src/execution/adapters/jail.sh`, `${outdir}/jail.sh`);
