import { defineErrors } from "../kernel/errors.ts";

/** `fetch` of this server itself, over no wire: `env` names the connection that the client came by. */
export type ApiPort = (env: unknown) => typeof globalThis.fetch;

/** Where MCP clients connect: Streamable HTTP, one endpoint. */
export const MCP_PATH = "/mcp";
/** What a client is told that came without a token (RFC 9728, 3.1). */
export const MCP_METADATA_PATH = "/.well-known/oauth-protected-resource/mcp";
/** How to connect, in a few lines of plain text. */
export const MCP_ABOUT_PATH = "/mcp.txt";

/** One message, or a batch of them: room for the largest code that a run may have by default, in JSON. */
export const MCP_BODY_BYTES_MAX = 4 * 1024 * 1024;
/** Messages of one batch. Clients of revisions before 2025-06-18 send such; later ones send one message at a time. */
export const MCP_BATCH_MAX = 8;
/** Array elements and object members in the arguments of one call. */
export const MCP_INPUT_ELEMENTS_MAX = 100_000;
/** How long `run_code` and `get_run` may wait for a run's end: what the API allows. */
export const MCP_WAIT_MS_MAX = 60_000;
/** How long `run_code` waits when it is not told. */
export const MCP_WAIT_MS_DEFAULT = 30_000;
/** How long `await_approval` may wait for people. */
export const MCP_AWAIT_MS_MAX = 300_000;
/** Below the minute after which many clients give up. */
export const MCP_AWAIT_MS_DEFAULT = 45_000;
/** How often `await_approval` looks. */
export const MCP_LOOK_MS = 1_000;
/** Calls of `await_approval` on one node that wait at once. */
export const MCP_AWAITS_MAX = 256;
/** A client that asked for progress hears of a call that waits at least this often. */
export const MCP_PROGRESS_MS = 5_000;
/** UTF-16 code units of one part of a long text: a result, a document, a schema. */
export const MCP_PART_CHARS_MAX = 16_000;
/** Of what a guest threw, and of its stack. */
export const MCP_ERROR_CHARS_MAX = 4_000;
/** Lines of one page of a log. */
export const MCP_LOG_LINES_MAX = 200;
/** What is shown of one line of a log. */
export const MCP_LOG_LINE_CHARS_MAX = 1_000;
/** Refused calls of one run that are looked at for the rule that would allow them. */
export const MCP_REFUSALS_MAX = 8;
/** Contracts, or approvals, on one page. */
export const MCP_PAGE_MAX = 50;
/** Lines of what a contract would change. */
export const MCP_DELTA_LINES_MAX = 50;
/** Operations that one search of the API gives. */
export const MCP_SEARCH_MAX = 10;
/** Characters of what is searched for. */
export const MCP_QUERY_CHARS_MAX = 200;
/** Characters of a contract's document. */
export const MCP_DOCUMENT_CHARS_MAX = 256 * 1024;
/** Rules that one proposal adds. */
export const MCP_RULES_MAX = 16;

/** What a token needs for every tool here, and no more. */
export const MCP_SCOPES = [
  "run:submit",
  "run:read",
  "run:cancel",
  "contract:read",
  "contract:propose",
  "gate:read",
] as const;
export type McpScope = (typeof MCP_SCOPES)[number];

/** The revisions of the protocol that are tested here. The SDK answers older ones as well. */
export const MCP_REVISIONS = ["2026-07-28", "2025-11-25"] as const;

const bad = { status: 400, retry: "never", whose: "caller" } as const;

export const mcp_errors = defineErrors("MCP", {
  ORIGIN: { ...bad, status: 403, title: "A web page of another origin may not speak to the MCP endpoint." },
  MESSAGE: { ...bad, title: "The body is not one message of MCP, nor a small batch of them." },
  TOO_LARGE: { ...bad, status: 413, title: "The message is larger than the MCP endpoint takes." },
  ARGUMENTS: { ...bad, title: "The arguments of the tool do not fit together." },
  BUSY: { status: 429, retry: "later", whose: "capacity", title: "As many calls wait for people as may." },
  INTERNAL: { status: 500, retry: "later", whose: "gantry", title: "A tool failed inside Gantry." },
});
