import { readdirSync } from "node:fs";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { rules } from "../../scripts/cruise.ts";
import { nodes, parse, ROOT, SERVER, type Source, sources, TESTS } from "./source.ts";

const folders = readdirSync(`${ROOT}server/src`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);
const rooms = folders.filter((folder) => !rules.composition.includes(folder));

/** Which room may speak of what: the first word of an error's code belongs to one room. */
const NOUNS: Record<string, string[]> = {
  identity: ["AUTH", "TOKEN", "TASK", "SCOPE", "CHAIN", "ACTOR", "TENANT", "LOGIN", "IDENTITY"],
  policy: ["POLICY", "CONTRACT", "SNAPSHOT"],
  gates: ["APPROVAL", "GATE", "BREAK_GLASS", "REVIEW", "WEBHOOK"],
  egress: ["EGRESS", "LEASE", "SECRETS"],
  evidence: ["EVIDENCE"],
  storage: ["STORAGE"],
  execution: ["RUNNER", "CODE"],
  intent: ["RUN", "INPUT", "LIMIT", "ISOLATION", "IDEMPOTENCY"],
  artifacts: ["ARTIFACTS"],
  flags: ["FLAG"],
  apps: ["APPS"],
  workflows: ["WORKFLOW"],
  http: ["REQUEST"],
  mcp: ["MCP"],
};

interface Table {
  path: string;
  noun: string;
}

/** The calls of `defineErrors`. */
function tables(source: Source): Table[] {
  return nodes(parse(source))
    .filter((node) => ts.isCallExpression(node))
    .filter((call) => call.expression.getText() === "defineErrors")
    .map(({ arguments: [noun] }) => ({
      path: source.path,
      noun: noun && ts.isStringLiteral(noun) ? noun.text : "(not a literal)",
    }));
}

describe("rooms", () => {
  it.each(folders)("%s has a README of about half a page", (room) => {
    const [readme] = sources(new RegExp(`^server/src/${room}/README\\.md$`));
    expect(readme, "the README is missing").toBeDefined();
    const lines = readme?.text.trim().split("\n").length ?? 0;
    expect(lines).toBeGreaterThanOrEqual(5);
    expect(lines).toBeLessThanOrEqual(60);
  });

  it.each(rooms.filter((room) => room !== "kernel"))("%s has a contract", (room) => {
    expect(sources(new RegExp(`^server/src/${room}/contract\\.ts$`))).toHaveLength(1);
  });

  const found = sources(SERVER, TESTS).flatMap(tables);

  it("define their error codes in their contract, each noun once and by the room that owns it", () => {
    // A contract that has grown long keeps its codes in a file of their own, and gives them on.
    const expected = Object.entries(NOUNS).flatMap(([room, nouns]) =>
      nouns.flatMap((noun) => ["contract", "errors"].map((file) => ({ noun, path: `server/src/${room}/${file}.ts` }))),
    );
    expect(
      found.filter((table) => !expected.some((own) => own.noun === table.noun && own.path === table.path)),
    ).toEqual([]);
    expect(new Set(found.map((table) => table.noun)).size).toBe(found.length);
    expect(found.length).toBeGreaterThan(10);
  });

  it("own nouns that nobody else owns", () => {
    const all = Object.values(NOUNS).flat();
    expect(new Set(all).size).toBe(all.length);
  });
});
