import { GantryError } from "../kernel/errors.ts";
import { MCP_BATCH_MAX, MCP_BODY_BYTES_MAX, mcp_errors } from "./contract.ts";

/**
 * The message of a request, or its batch of messages.
 * @throws MCP_TOO_LARGE MCP_MESSAGE
 */
export async function messageOf(request: Request): Promise<unknown> {
  const text = await textOf(request);
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    throw new GantryError(mcp_errors.MESSAGE, { detail: "The body is not JSON: send one JSON-RPC 2.0 message." });
  }
  if (!Array.isArray(message)) return message;
  if (message.length > 0 && message.length <= MCP_BATCH_MAX) return message;
  throw new GantryError(mcp_errors.MESSAGE, {
    detail: `A batch has 1 to ${MCP_BATCH_MAX} messages, not ${message.length}. Since revision 2025-06-18 there are none: send one message at a time.`,
  });
}

/** Up to the limit and not a chunk further, whatever length was stated. */
async function textOf({ body }: Request): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let size = 0;
  let text = "";
  try {
    for await (const chunk of body ?? []) {
      size += chunk.byteLength;
      if (size > MCP_BODY_BYTES_MAX) break;
      text += decoder.decode(chunk, { stream: true });
    }
    if (size <= MCP_BODY_BYTES_MAX) return text + decoder.decode();
  } catch {
    throw new GantryError(mcp_errors.MESSAGE, { detail: "The body broke off, or is not UTF-8." });
  }
  const detail = `A message may have at most ${MCP_BODY_BYTES_MAX} bytes. Larger code or input goes to POST /v1/runs.`;
  throw new GantryError(mcp_errors.TOO_LARGE, { detail });
}
