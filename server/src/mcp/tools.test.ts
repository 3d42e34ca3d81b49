import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SCOPES } from "../identity/contract.ts";
import { MCP_SCOPES } from "./contract.ts";
import { INSTRUCTIONS, TOOLS } from "./tools.ts";

const page = readFileSync(new URL("../../../docs/mcp.md", import.meta.url), "utf8");
const rows = [...page.matchAll(/^\| `([a-z_]+)` \| (.+) \| (yes)? ?\| (.*)\|$/gm)];

describe("the tools", () => {
  it("are those of the table in docs/mcp.md, with the scopes that they need", () => {
    const told = rows.map(([, name, , , scopes = ""]) => [
      name,
      [...scopes.matchAll(/`([^`]+)`/g)].map(([, one]) => one),
    ]);
    expect(told).toEqual(TOOLS.map(({ name, scopes }) => [name, scopes]));
  });

  it("need scopes that there are, and all together those of MCP_SCOPES", () => {
    const needed = new Set(TOOLS.flatMap(({ scopes }) => scopes));
    expect([...needed].sort()).toEqual([...MCP_SCOPES].sort());
    expect(SCOPES).toEqual(expect.arrayContaining([...MCP_SCOPES]));
    const minted = [...page.matchAll(/--scope ([a-z]+:[a-z]+)/g)].map(([, scope]) => scope);
    expect(minted.sort()).toEqual([...MCP_SCOPES].sort());
  });

  it("have names of their own, titles, and descriptions that are sentences", () => {
    expect(new Set(TOOLS.map(({ name }) => name)).size).toBe(TOOLS.length);
    for (const { name, title, description } of TOOLS) {
      expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect(title.length, name).toBeGreaterThan(5);
      expect(description, name).toMatch(/\.$/);
    }
  });

  it("name in their texts only tools that there are", () => {
    const names = TOOLS.map(({ name }) => name);
    const texts = [INSTRUCTIONS, ...TOOLS.map(({ description }) => description)].join("\n");
    const verbs = /\b(?:run|get|list|show|test|explain|propose|await|search|cancel)_[a-z_]+\b/g;
    const said = [...texts.matchAll(verbs)].map(([word]) => word);
    expect(said.length).toBeGreaterThan(10);
    expect(said.filter((word) => !names.includes(word))).toEqual([]);
  });
});
