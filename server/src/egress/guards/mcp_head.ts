import type { Call, HeaderList } from "../parts.ts";

/** How sure it is that a call speaks to an MCP server, and what says so. */
export interface McpSign {
  sure: "certain" | "likely";
  what: string;
}

/** Headers of the streamable HTTP transport (Model Context Protocol, specification 2025-06-18, transports). */
const HEADERS = ["mcp-protocol-version", "mcp-session-id"];
/** Servers of many that are not called so. Kept short: what a path or a body says holds everywhere. */
const HOSTS = ["gitmcp.io", "server.smithery.ai"];
const PATHS = /^\/(?:mcp|sse|mcp\/sse)\/?$/;

/** Says nothing of a tunnel: what is in it is not seen, and no rule for it could be exempt. */
export function mcpSignOf({ target, method }: Call, headers: HeaderList): McpSign | undefined {
  if (method === "CONNECT") return undefined;
  const header = headers.map(([name]) => name.toLowerCase()).find((name) => HEADERS.includes(name));
  if (header !== undefined) return { sure: "certain", what: `the header ${header}` };
  const [first, ...labels] = target.host.split(".");
  // `mcp.example.com`, and `docs.mcp.example.com`.
  if (first === "mcp" || labels.slice(0, -2).includes("mcp") || HOSTS.includes(target.host)) {
    return { sure: "likely", what: `the host ${target.host}` };
  }
  return PATHS.test(target.path) ? { sure: "likely", what: `the path ${target.path}` } : undefined;
}
