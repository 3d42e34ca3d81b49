// `npm run docs:reference`: writes docs/reference/api.md from what a started server says of itself and asks of tokens; `--check` compares.
import { settle } from "./contracts.ts";
import { askServer, type Media, type Operation, type Schema } from "./docs_server.ts";

const HEAD = `# The HTTP interface

Every route of the server, from its own description at \`/v1/openapi.json\`. Send a token as \`Authorization: Bearer gtr_…\`. Bodies are JSON unless a route says
otherwise; every refusal is \`application/problem+json\` with a \`code\` of [errors](../errors.md). Members that may be left out have a question mark.

*Scope* is what the token must hold, as a server answered that was asked with a token which lacks it; a dash: any token will do, or what it takes depends on
what is asked for.

This file is written by \`npm run docs:reference\`.
`;

const line = (text: string) => text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").replaceAll("<", "&lt;").trim();

function nameOf(ref: string): string {
  return ref.split("/").at(-1) ?? ref;
}

const linked = (name: string) => `[${name}](#${name.toLowerCase()})`;

/** A schema as one reads a type. */
function typeOf(schema: Schema | undefined, depth = 0): string {
  if (schema === undefined) return "any";
  if (schema.$ref !== undefined) return linked(nameOf(schema.$ref));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return shortened(schema.enum.map((value) => JSON.stringify(value)));
  const several = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (several !== undefined) return [...new Set(several.map((one) => typeOf(one, depth)))].join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items, depth)}`;
  if (schema.properties !== undefined) return depth > 1 ? "object" : objectOf(schema, depth);
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : (schema.type ?? "any");
  return type;
}

const WORDS_MAX = 12;

function shortened(words: string[]): string {
  return words.length <= WORDS_MAX ? words.join(", ") : `${words.slice(0, WORDS_MAX).join(", ")}, …`;
}

function objectOf(schema: Schema, depth: number): string {
  const members = Object.entries(schema.properties ?? {}).map(([name, member]) => {
    return `${name}${isNeeded(schema, name) ? "" : "?"}: ${typeOf(member, depth + 1)}`;
  });
  return `{ ${members.join(", ")} }`;
}

function isNeeded(schema: Schema, name: string): boolean {
  return schema.required?.includes(name) ?? false;
}

function content(media: Record<string, Media> | undefined): string {
  return Object.entries(media ?? {})
    .map(([type, { schema }]) => (type === "application/json" ? typeOf(schema) : `\`${type}\``))
    .join(", or ");
}

function operation(method: string, path: string, described: Operation, scope: string): string {
  const parameters = (described.parameters ?? []).map((one) => {
    const what = line(one.description ?? one.schema?.description ?? "");
    return `| ${one.in} | \`${one.name}${one.required === true ? "" : "?"}\` | ${line(typeOf(one.schema))} | ${what} |`;
  });
  const body = content(described.requestBody?.content);
  if (body !== "") parameters.push(`| body | | ${line(body)} | |`);
  const answers = Object.entries(described.responses)
    .filter(([status]) => status !== "default")
    .map(([status, one]) => `| ${status} | ${line(content(one.content))} | ${line(one.description ?? "")} |`);
  return [
    `### ${method.toUpperCase()} ${path}`,
    "",
    `${line(described.summary ?? "")}. Scope: ${scope}.`,
    "",
    ...(parameters.length === 0 ? [] : ["| in | name | type | what |", "|---|---|---|---|", ...parameters, ""]),
    "| answer | body | when |",
    "|---|---|---|",
    ...answers,
    "",
  ].join("\n");
}

function schemaSection([name, schema]: [string, Schema]): string {
  const members = Object.entries(schema.properties ?? {});
  if (members.length === 0) return [`### ${name}`, "", line(typeOf(schema)), ""].join("\n");
  const rows = members.map(([member, one]) => {
    return `| \`${member}${isNeeded(schema, member) ? "" : "?"}\` | ${line(typeOf(one, 1))} | ${line(one.description ?? "")} |`;
  });
  return [`### ${name}`, "", "| member | type | what |", "|---|---|---|", ...rows, ""].join("\n");
}

const { document, scopes } = await askServer();
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, described]) => ({ method, path, described })),
);
const tags = [...new Set(operations.map(({ described }) => described.tags?.[0] ?? "other"))].sort();
const sections = tags.map((tag) => {
  const own = operations.filter(({ described }) => (described.tags?.[0] ?? "other") === tag);
  const texts = own.map(({ method, path, described }) =>
    operation(method, path, described, scopes.get(`${method} ${path}`) ?? "—"),
  );
  return `\n## ${tag}\n\n${texts.join("\n")}`;
});
const schemas = Object.entries(document.components?.schemas ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
const text = `${HEAD}${sections.join("")}\n## Schemas\n\n${schemas.map(schemaSection).join("\n")}`;
process.exitCode = settle("docs/reference/api.md", text, process.argv);
