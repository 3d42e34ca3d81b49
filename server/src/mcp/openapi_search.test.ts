import { describe, expect, it } from "vitest";
import { MCP_SEARCH_MAX } from "./contract.ts";
import { operationsOf, searched, withSchemas } from "./openapi_search.ts";

const json = (schema: string) => ({
  content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } },
});
const DOCUMENT = {
  paths: {
    "/v1/tokens": {
      get: {
        summary: "Tokens without their secrets",
        tags: ["identity"],
        parameters: [{ name: "limit", in: "query" }],
      },
      post: {
        summary: "Mint a token",
        tags: ["identity"],
        requestBody: json("TokenRequest"),
        responses: { 201: json("Token") },
      },
    },
    "/v1/runs/{id}": { get: { summary: "One run", parameters: [{ name: "id", in: "path", required: true }] } },
  },
  components: {
    schemas: {
      TokenRequest: { properties: { scopes: { $ref: "#/components/schemas/Scopes" } } },
      Token: { properties: { parent: { $ref: "#/components/schemas/Token" } } },
      Scopes: { type: "array" },
      Unused: { type: "string" },
    },
  },
};
const operations = operationsOf(DOCUMENT);
const names = (query: string) => searched(operations, query).map(({ name }) => name);

describe("the search of the API", () => {
  it("knows each operation with what it takes", () => {
    expect(operations.map(({ name, parameters }) => [name, parameters])).toEqual([
      ["GET /v1/tokens", ["limit? in query"]],
      ["POST /v1/tokens", ["body"]],
      ["GET /v1/runs/{id}", ["id in path"]],
    ]);
    expect(operationsOf("nothing")).toEqual([]);
  });

  it("gives first what has most of the words, one or many, whatever their case", () => {
    expect(names("mint TOKEN")).toEqual(["POST /v1/tokens", "GET /v1/tokens"]);
    expect(names("run")).toEqual(["GET /v1/runs/{id}"]);
    expect(names("runs identity")[0]).toBe("GET /v1/runs/{id}");
    expect(names("")).toEqual([]);
    expect(names("zebra")).toEqual([]);
  });

  it("gives at most MCP_SEARCH_MAX", () => {
    const many = Array.from({ length: MCP_SEARCH_MAX + 1 }, (_none, n) => [
      `/v1/things/${n}`,
      { get: { summary: "A thing" } },
    ]);
    expect(searched(operationsOf({ paths: Object.fromEntries(many.slice(1)) }), "thing")).toHaveLength(MCP_SEARCH_MAX);
    expect(searched(operationsOf({ paths: Object.fromEntries(many) }), "thing")).toHaveLength(MCP_SEARCH_MAX);
  });

  it("shows an operation with all schemas that it leads to, once each", () => {
    const shown = withSchemas(DOCUMENT, operations[1]!);
    expect(Object.keys(shown["schemas"] as object).sort()).toEqual(["Scopes", "Token", "TokenRequest"]);
  });
});
