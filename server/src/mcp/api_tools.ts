import { z } from "zod";
import { GantryError } from "../kernel/errors.ts";
import { MCP_QUERY_CHARS_MAX, MCP_SEARCH_MAX, mcp_errors } from "./contract.ts";
import { type Operation, operationsOf, searched, withSchemas } from "./openapi_search.ts";
import { type Part, partOf, quoted } from "./parts.ts";
import { textPart } from "./run_view.ts";
import { defineTool, type Tool } from "./tool.ts";

const searchApi = defineTool({
  name: "search_api",
  title: "Search the HTTP API",
  description: `Searches this server's own HTTP API, for what none of the tools here does: with \`query\` it gives the best ${MCP_SEARCH_MAX} operations by method, path and summary; with \`operation\`, as \`POST /v1/runs\`, it gives one of them whole, with the schemas of what it takes and answers. The API takes the same token as this endpoint. A program calls it; there is no tool that does.`,
  input: z.strictObject({
    query: z.string().max(MCP_QUERY_CHARS_MAX).optional().describe("A few words: `revoke token`, `ledger entries`."),
    operation: z.string().max(MCP_QUERY_CHARS_MAX).optional().describe("A method and a path, as a search gives them."),
    offset: z.int().min(0).default(0).describe("Where in a long schema to begin."),
  }),
  output: z.object({
    operations: z.array(
      z.object({
        operation: z.string(),
        summary: z.string(),
        parameters: z.array(z.string()).describe("`name in place`, with `?` when it may be absent."),
      }),
    ),
    schema: textPart.optional().describe("JSON: the operation as OpenAPI 3.1 describes it."),
  }),
  annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
  scopes: [],
  async call({ query, operation, offset }, { caller }) {
    if ((query === undefined) === (operation === undefined)) {
      throw new GantryError(mcp_errors.ARGUMENTS, {
        detail: "search_api takes either `query` or `operation`.",
        next_steps: [
          { kind: "change", text: "Search by `query` first, then ask for one `operation` of what it gives." },
        ],
      });
    }
    const document = await caller.describe();
    const all = operationsOf(document);
    if (operation === undefined) return found(searched(all, query ?? ""));
    const one = all.find(({ name }) => name.toLowerCase() === operation.trim().toLowerCase());
    if (one === undefined) {
      throw new GantryError(mcp_errors.ARGUMENTS, {
        detail: `The API has no operation ${JSON.stringify(operation)}.`,
        next_steps: searched(all, operation).map(({ name }) => ({ kind: "change" as const, text: `There is ${name}` })),
      });
    }
    return shown(one, partOf(JSON.stringify(withSchemas(document, one), null, 1), offset));
  },
});

const rowOf = ({ name, summary, parameters }: Operation) => ({ operation: name, summary, parameters });

function found(operations: Operation[]) {
  const lines = operations.map(({ name, summary, parameters }) => {
    const takes = parameters.length === 0 ? "" : ` (${parameters.join(", ")})`;
    return `- ${name}: ${summary}${takes}`;
  });
  const text =
    lines.length === 0
      ? "Nothing fits. Try other words, as a noun of the API: run, token, contract, entry."
      : lines.join("\n");
  return { structured: { operations: operations.map(rowOf) }, text };
}

function shown(operation: Operation, schema: Part) {
  const { name, summary } = operation;
  const more =
    schema.next_offset === undefined
      ? []
      : [`For the rest: search_api with operation ${name} and offset ${schema.next_offset}.`];
  const text = [`${name}: ${summary}`, quoted(schema.text, "json"), ...more].join("\n");
  return { structured: { operations: [rowOf(operation)], schema }, text };
}

export const api_tools: readonly Tool[] = [searchApi];
