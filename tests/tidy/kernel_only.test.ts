import ts from "typescript";
import { describe, expect, it } from "vitest";
import { nodes, parse, place, SERVER, type Source, sources, TESTS } from "./source.ts";

/** Members of globals that give time, timers or chance. */
const MEMBERS = new Set(["Date.now", "Math.random", "performance.now", "AbortSignal.timeout"]);
const FUNCTIONS = new Set(["setTimeout", "setInterval", "setImmediate"]);
const RANDOM = /^(random|getRandomValues|generateKey|generatePrime)/;

/** Global members and functions that a test could not own, as `path:line what`. */
function uses(source: Source): string[] {
  const file = parse(source);
  const found: string[] = [];
  const add = (node: ts.Node, what: string) => found.push(`${place(file, node)} ${what}`);
  for (const node of nodes(file)) {
    if (ts.isPropertyAccessExpression(node)) {
      const text = node.getText().replace(/^globalThis\./, "");
      if (MEMBERS.has(text) || (/^(\w+\.)?crypto\./.test(text) && RANDOM.test(node.name.text))) add(node, text);
    } else if (ts.isImportSpecifier(node)) {
      const module = node.parent.parent.parent.moduleSpecifier.getText().slice(1, -1);
      const name = (node.propertyName ?? node.name).text;
      const chance = /^(node:)?crypto$/.test(module) && RANDOM.test(name);
      if (chance || /^(node:)?timers/.test(module)) add(node, `${name} of ${module}`);
    } else if (ts.isCallExpression(node)) {
      const name = node.expression.getText().replace(/^globalThis\./, "");
      if (FUNCTIONS.has(name)) add(node, name);
    } else if (ts.isNewExpression(node) && node.getText().startsWith("new Date")) {
      if ((node.arguments ?? []).length === 0) add(node, "new Date()");
    }
  }
  return found;
}

/** An adapter's deadline on a socket is the outside's time, not the product's. */
const allowed = (use: string) =>
  use.startsWith("server/src/kernel/") ||
  (use.startsWith("server/src/execution/adapters/") && use.endsWith(" AbortSignal.timeout"));

describe("time, timers and chance", () => {
  it("come from the kernel alone", () => {
    const found = sources(SERVER, TESTS).flatMap(uses);
    expect(found.filter((use) => !allowed(use))).toEqual([]);
    expect(found.some((use) => use.startsWith("server/src/kernel/"))).toBe(true);
  });

  it("are seen in every form", () => {
    const text = `import { randomUUID, createHash } from "node:crypto";
      import { setTimeout as wait } from "node:timers/promises";
      Date.now(); new Date(); new Date(0); Math.random(); globalThis.crypto.randomUUID(); AbortSignal.timeout(1);
      setTimeout(() => {}, 1); setInterval(() => {}, 1); globalThis.setTimeout(() => {}, 1); clock.now();`;
    expect(uses({ path: "a.ts", text }).map((use) => use.slice(use.indexOf(" ") + 1))).toEqual([
      "randomUUID of node:crypto",
      "setTimeout of node:timers/promises",
      "Date.now",
      "new Date()",
      "Math.random",
      "crypto.randomUUID",
      "AbortSignal.timeout",
      "setTimeout",
      "setInterval",
      "setTimeout",
    ]);
  });
});
