import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

/** The parts of a JSON Schema that are told. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  description?: string;
}
export interface Media {
  schema?: Schema;
}
export interface Operation {
  tags?: string[];
  summary?: string;
  security?: unknown[];
  parameters?: { in: string; name: string; required?: boolean; description?: string; schema?: Schema }[];
  requestBody?: { content?: Record<string, Media> };
  responses: Record<string, { description?: string; content?: Record<string, Media> }>;
}
export interface ApiDocument {
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

const READY_MS = 30_000;
/** Of two tokens with one scope each, every route that takes one scope refuses at least one. */
const PROBES = ["webhook:manage", "evidence:export"];

/**
 * Starts the built server on a directory that is removed again, and asks it for its description and, route by route, which scope
 * it wants.
 * @returns `scopes` by "get /v1/runs": a scope, or "none, and no token".
 * @throws when the server does not start; `npm run build` makes it.
 */
export async function askServer(): Promise<{ document: ApiDocument; scopes: Map<string, string> }> {
  const data = mkdtempSync(join(tmpdir(), "gantry-docs-"));
  const server = fileURLToPath(new URL("../dist/server.js", import.meta.url));
  const args = [server, "up", "--data", data, "--port", "0", "--insecure-no-jail", "--ready-fd", "3"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe", "pipe"], env: ownEnvironment() });
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  try {
    const lines = createInterface({ input: child.stdio[3] as Readable });
    const ended = once(child, "exit").then(() =>
      Promise.reject(new Error(`the server ended before it was ready:\n${log}`)),
    );
    ended.catch(() => undefined); // the wanted end
    const signal = AbortSignal.timeout(READY_MS);
    const [line] = (await Promise.race([once(lines, "line", { signal }), ended])) as [string];
    const { url, token_file } = JSON.parse(line) as { url: string; token_file: string };
    const document = (await (await fetch(`${url}/v1/openapi.json`)).json()) as ApiDocument;
    return { document, scopes: await scopesOf(document, url, readFileSync(token_file, "utf8").trim()) };
  } finally {
    child.kill("SIGTERM");
    if (child.exitCode === null) await once(child, "exit");
    rmSync(data, { recursive: true, force: true });
  }
}

/** Logs are of no interest here, and settings of the caller's would be another server. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GANTRY_")));
}

async function scopesOf(document: ApiDocument, url: string, owner: string): Promise<Map<string, string>> {
  const authorization = `Bearer ${owner}`;
  const headers = { authorization, "content-type": "application/json" };
  const local = (await (await fetch(`${url}/v1/actors`, { headers })).json()) as {
    items: { id: string; name: string }[];
  };
  const actor = local.items.find(({ name }) => name === "local")?.id;
  const tokens = await Promise.all(
    PROBES.map(async (scope) => {
      const body = JSON.stringify({ actor, scopes: [scope] });
      const minted = await (await fetch(`${url}/v1/tokens`, { method: "POST", headers, body })).text();
      const token = /gtr_agt_[0-9A-Za-z]{36}/.exec(minted)?.[0];
      if (token === undefined) throw new Error(`no token with ${scope}: ${minted}`);
      return token;
    }),
  );
  const scopes = new Map<string, string>();
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, { security }] of Object.entries(item)) {
      const name = `${method} ${path}`;
      if (security === undefined || security.length === 0) scopes.set(name, "none, and no token");
      else {
        const wanted = await wantedScope(url, method, path, tokens);
        if (wanted !== undefined) scopes.set(name, `\`${wanted}\``);
      }
    }
  }
  return scopes;
}

async function wantedScope(url: string, method: string, path: string, tokens: string[]): Promise<string | undefined> {
  for (const token of tokens) {
    const init = { method: method.toUpperCase(), headers: { authorization: `Bearer ${token}` } };
    const answer = await fetch(`${url}${path.replaceAll(/\{[^}]+\}/g, "x")}`, init);
    const wanted = /This needs the scope ([a-z_:]+)/.exec(await answer.text())?.[1];
    if (wanted !== undefined) return wanted;
  }
  return undefined;
}
