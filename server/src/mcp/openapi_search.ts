import { MCP_SEARCH_MAX } from "./contract.ts";

/** One operation of an OpenAPI document. */
export interface Operation {
  /** `POST /v1/runs` */
  name: string;
  summary: string;
  /** `name in place`, with `?` when it may be absent. */
  parameters: string[];
  tags: string[];
  /** As the document has it. */
  raw: Fields;
}

type Fields = Record<string, unknown>;
const METHODS = ["get", "put", "post", "delete", "patch"];
/** How far references are followed: a schema that names itself would never end. */
const REFERENCES_MAX = 64;

/** The operations of a document, in its order. */
export function operationsOf(document: unknown): Operation[] {
  return Object.entries(fieldsOf(fieldsOf(document)["paths"])).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const raw = fieldsOf(item)[method];
      return raw === undefined ? [] : [operationOf(`${method.toUpperCase()} ${path}`, fieldsOf(raw))];
    }),
  );
}

function operationOf(name: string, raw: Fields): Operation {
  const parameters = listOf(raw["parameters"]).map((each) => {
    const { name: parameter, in: place, required } = fieldsOf(each);
    return `${String(parameter)}${required === true ? "" : "?"} in ${String(place)}`;
  });
  const { requestBody, summary } = raw;
  const body = requestBody === undefined ? [] : ["body"];
  const tags = listOf(raw["tags"]).map(String);
  return { name, summary: typeof summary === "string" ? summary : "", parameters: [...parameters, ...body], tags, raw };
}

/** The operations that have most of the words, those in a path or method first; at most `MCP_SEARCH_MAX`. */
export function searched(operations: readonly Operation[], query: string): Operation[] {
  const words = query
    .toLowerCase()
    .split(/[^a-z0-9_]+/)
    .filter((word) => word !== "")
    .map((word) => word.replace(/(?<=\w{3})s$/, ""));
  const scored = operations.map((operation) => ({ operation, score: scoreOf(operation, words) }));
  return scored
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, MCP_SEARCH_MAX)
    .map(({ operation }) => operation);
}

const IN_NAME = 3;
const IN_SUMMARY = 2;
const ELSEWHERE = 1;

function scoreOf({ name, summary, parameters, tags }: Operation, words: readonly string[]): number {
  const [head, said, rest] = [name, summary, [...parameters, ...tags].join(" ")].map((text) => text.toLowerCase());
  return words.reduce((sum, word) => {
    if (head?.includes(word)) return sum + IN_NAME;
    if (said?.includes(word)) return sum + IN_SUMMARY;
    return rest?.includes(word) ? sum + ELSEWHERE : sum;
  }, 0);
}

/** An operation with every schema that it refers to, by name. */
export function withSchemas(document: unknown, { name, raw }: Operation): Fields {
  const known = fieldsOf(fieldsOf(fieldsOf(document)["components"])["schemas"]);
  const schemas: Fields = {};
  const open: unknown[] = [raw];
  while (open.length > 0 && Object.keys(schemas).length < REFERENCES_MAX) {
    for (const schema of referencesIn(open.pop())) {
      // How refusals look is the same everywhere, and the same as here.
      if (schema in schemas || schema === "Problem") continue;
      schemas[schema] = known[schema];
      open.push(known[schema]);
    }
  }
  return { operation: name, ...raw, schemas };
}

function referencesIn(value: unknown): string[] {
  return [...JSON.stringify(value ?? null).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
    ([, name]) => name ?? "",
  );
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
