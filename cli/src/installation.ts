import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { typeThis, usage } from "./failure.ts";

/** Where the parts of this installation lie. */
export interface Installation {
  /** The server's program, started as a process and never imported. */
  server: string;
  /** The directory with `demo.json`. */
  examples: string;
  version: string;
}

/** Built code (`dist/cli.js`) and code that runs from source (`cli/src/`) find the same files. */
export function findInstallation(): Installation {
  const root = new URL(import.meta.url.endsWith(".ts") ? "../../" : "../", import.meta.url);
  const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version: string };
  return {
    server: fileURLToPath(new URL("dist/server.js", root)),
    examples: fileURLToPath(new URL("examples", root)),
    version,
  };
}

/**
 * Node's options for a server. Each run leaves garbage that dies young; in V8's default of 16 MB it is looked through so
 * often that it costs a tenth of what a run costs the control plane.
 */
const SERVER_OPTIONS = ["--max-semi-space-size=32"];

/** The arguments of Node that start the server. @param args  what the server is told */
export function serving(server: string, args: readonly string[]): string[] {
  return [...SERVER_OPTIONS, server, "up", ...args];
}

/** @throws Failure exit 2 when the server was never built. */
export function demandServer(installation: Installation): string {
  if (existsSync(installation.server)) return installation.server;
  throw usage("The server is not built yet.", { next_steps: [typeThis("Build it once", "npm run build")] });
}
