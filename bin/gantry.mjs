#!/usr/bin/env node
// The command itself is built code; a clone that was never built says so instead of failing on an import.
import { existsSync } from "node:fs";

const built = new URL("../dist/cli.js", import.meta.url);
if (!existsSync(built)) {
  console.error("gantry is not built yet. Run `npm run build` once in this repository, then try again.");
  process.exit(2);
}
await import(built.href);
