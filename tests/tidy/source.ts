import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** The repository, with a slash at the end. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Made, installed or private: nothing that anybody wrote here. */
const LEFT_OUT = new Set([".git", ".gantry", ".tsc", "dist", "node_modules"]);

/** A file of the repository. `path` is relative to it, with slashes. */
export interface Source {
  path: string;
  text: string;
}

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (LEFT_OUT.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile()) yield path;
  }
}

/** Every file whose path matches, in the order of their paths. */
export function sources(matching: RegExp, but?: RegExp): Source[] {
  return [...walk(ROOT)]
    .map((path) => relative(ROOT, path).split(sep).join("/"))
    .filter((path) => matching.test(path) && !but?.test(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(ROOT + path, "utf8") }));
}

export function read(path: string): string {
  return readFileSync(ROOT + path, "utf8");
}

/** Code that runs in production, by its folder: no tests, and no files that only tests use. */
export const TESTS = /^tests\/|\.test\.tsx?$|^cli\/src\/testing\.ts$/;
export const SERVER = /^server\/src\/.*\.tsx?$/;
/** Whatever is written in TypeScript, or in JavaScript by hand. */
export const CODE = /\.(ts|tsx|mjs|cjs)$/;

export function parse({ path, text }: Source): ts.SourceFile {
  const kind = path.endsWith("x") ? ts.ScriptKind.TSX : undefined;
  return ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true, kind);
}

/** Every node below this one, parents first, without the tokens between them. */
export function nodes(root: ts.Node): ts.Node[] {
  const found: ts.Node[] = [];
  const visit = (node: ts.Node): void => {
    found.push(node);
    ts.forEachChild(node, visit);
  };
  visit(root);
  return found;
}

/** `path:line`, lines from 1. */
export function place(file: ts.SourceFile, node: ts.Node): string {
  return `${file.fileName}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
}

/** Places where the text matches, as `path:line: matched`. */
export function matches(source: Source, pattern: RegExp): string[] {
  const all = new RegExp(pattern.source, pattern.flags.includes("g") ? pattern.flags : `${pattern.flags}g`);
  return [...source.text.matchAll(all)].map((match) => {
    const line = source.text.slice(0, match.index).split("\n").length;
    return `${source.path}:${line}: ${match[0].trim()}`;
  });
}

/** A text in the code, with what it interpolates as `?`. */
export interface Literal {
  at: string;
  text: string;
}

/** String literals and templates. A template's fixed parts are one text. */
export function literals(source: Source): Literal[] {
  const file = parse(source);
  const found: Literal[] = [];
  for (const node of nodes(file)) {
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) {
      found.push({ at: place(file, node), text: node.text });
    } else if (ts.isTemplateExpression(node)) {
      const text = node.head.text + node.templateSpans.map((span) => `?${span.literal.text}`).join("");
      found.push({ at: place(file, node), text });
    }
  }
  return found;
}
