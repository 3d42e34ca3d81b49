import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import type { ErrorKind } from "../server/src/kernel/errors.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The contract of a room: what it exports by name, and its text. */
export interface Contract {
  /** The folder's name. */
  room: string;
  /** Relative to the repository. */
  path: string;
  exports: Record<string, unknown>;
  source: ts.SourceFile;
}

/** A constant that bounds or paces something. */
export interface Limit {
  name: string;
  value: unknown;
  /** Its docstring as one line, or empty. */
  comment: string;
  path: string;
}

async function load(room: string, path: string): Promise<Contract> {
  const text = readFileSync(ROOT + path, "utf8");
  return {
    room,
    path,
    exports: await import(/* @vite-ignore */ `../${path}`),
    source: ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true),
  };
}

/** Every room's contract, by the name of the room. */
export function contracts(): Promise<Contract[]> {
  const rooms = readdirSync(`${ROOT}server/src`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "kernel")
    .map((entry) => entry.name)
    // What composes the rooms has none. That each room has one, tests/tidy/rooms.test.ts sees.
    .filter((name) => existsSync(`${ROOT}server/src/${name}/contract.ts`))
    .sort();
  return Promise.all(rooms.map((room) => load(room, `server/src/${room}/contract.ts`)));
}

function isErrorKind(value: unknown): value is ErrorKind {
  if (typeof value !== "object" || value === null) return false;
  return ["code", "status", "retry", "whose", "title"].every((member) => member in value);
}

/** The rows of every code table that a contract exports: tables by their export's name, rows in the order of the file. */
export function errorKinds({ exports }: Contract): ErrorKind[] {
  return Object.values(exports)
    .filter((table) => typeof table === "object" && table !== null && !Array.isArray(table))
    .flatMap((table) => Object.values(table as object).filter(isErrorKind));
}

function docOf(node: ts.Node): string {
  const docs = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  return (ts.getTextOfJSDocComment(docs.at(-1)?.comment) ?? "").replaceAll(/\s+/g, " ").trim();
}

/** Numbers, and tables of numbers: what the name in capitals of an exported constant can bound. */
function isBound(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return typeof value === "number";
  const members = Object.values(value);
  return members.length > 0 && members.every((member) => typeof member === "number");
}

/** The exported constants in capitals that are numbers, or tables of numbers, in the order of the file. */
export function limitsOf({ exports, source, path }: Contract): Limit[] {
  return source.statements.filter(ts.isVariableStatement).flatMap((statement) =>
    statement.declarationList.declarations
      .map((declaration) => declaration.name.getText())
      .filter((name) => /^[A-Z][A-Z0-9_]+$/.test(name) && isBound(exports[name]))
      .map((name) => ({ name, value: exports[name], comment: docOf(statement), path })),
  );
}

/** The docstrings of an exported table's members, by name. */
export function memberComments({ source }: Contract, table: string): Record<string, string> {
  const comments: Record<string, string> = {};
  const visit = (node: ts.Node, inside: boolean): void => {
    const here = inside || (ts.isVariableDeclaration(node) && node.name.getText() === table);
    if (here && ts.isPropertyAssignment(node)) comments[node.name.getText()] = docOf(node);
    else ts.forEachChild(node, (child) => visit(child, here));
  };
  visit(source, false);
  return comments;
}

/** Limits that more than one room enforces. */
export function sharedLimits(): Promise<Contract> {
  return load("kernel", "server/src/kernel/limits.ts");
}

/**
 * Writes a generated document, or with `--check` says whether it is what would be written.
 * @param path  relative to the repository.
 * @returns the exit code: 1 when the document on disk is another.
 */
export function settle(path: string, text: string, args: string[]): number {
  if (!args.includes("--check")) {
    writeFileSync(ROOT + path, text);
    return 0;
  }
  const kept = readFileSync(ROOT + path, "utf8");
  const [before, after] = [new Set(kept.split("\n")), new Set(text.split("\n"))];
  for (const line of after) if (!before.has(line)) console.error(`missing in ${path}: ${line}`);
  for (const line of before) if (!after.has(line)) console.error(`no longer true in ${path}: ${line}`);
  if (kept !== text) console.error(`${path} is not what would be written`);
  return kept === text ? 0 : 1;
}
