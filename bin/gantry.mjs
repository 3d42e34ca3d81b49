#!/usr/bin/env node
// The command itself is built code; an old Node, and a clone that was never built, are said instead of failing on an import.
import { existsSync } from "node:fs";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `gantry needs Node 20.19 or later; this is ${process.versions.node}. Install a newer one, then try again.`,
  );
  process.exit(2);
}
const built = new URL("../dist/cli.js", import.meta.url);
if (!existsSync(built)) {
  console.error("gantry is not built yet. Run `npm run build` once in this repository, then try again.");
  process.exit(2);
}
await import(built.href);
