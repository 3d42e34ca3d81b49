import { existsSync } from "node:fs";
import { readFile, realpath, stat } from "node:fs/promises";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import type { ModuleSource } from "@gantry/sdk";
import { usage } from "./failure.ts";
import { importsOf, LOADERS, lineOf, type Specifier } from "./imports.ts";
import { reasonOf } from "./input.ts";

/** The most that any contract allows; a run's own limits are the server's to judge. */
export const CODE_BYTES_MAX = 16 * 1024 * 1024;
/** As many as any contract allows. */
export const MODULES_MAX = 512;

const CODE = Object.keys(LOADERS);
const TEXT = [".json", ".txt", ".csv", ".md", ".html"];
const BINARY = [".wasm", ".bin"];

/** A module graph, ready to be sent. */
export interface Collected {
  /** A module's name. */
  entry: string;
  /** By name: a POSIX path relative to `root`. */
  modules: Record<string, ModuleSource>;
  /** Absolute; the deepest directory that holds every module. */
  root: string;
}

/** One collection under way. */
interface Walk {
  cwd: string;
  /** Absolute; nothing outside is read. */
  boundary: string;
  real_boundary: string;
  /** True when no package.json or .git marks the boundary. */
  unmarked: boolean;
  /** By absolute path as imported, not as the symbolic links lead. */
  files: Map<string, ModuleSource>;
  bytes: number;
}

/**
 * Reads FILE and everything that it imports by relative name. Other names (`node:…`, bare ones) are the server's
 * to judge, and so are the limits of a contract. Files outside the project (the nearest directory at or above
 * FILE with a package.json or .git, else FILE's own directory) are refused, also when a symbolic link leads there:
 * code that an agent wrote must not pull a person's files into the request.
 * @throws Failure exit 2 that says which import, in which file and line, and what would be right.
 */
export async function collect(file: string, cwd: string): Promise<Collected> {
  const entry = resolve(cwd, file);
  if (!existsSync(entry)) throw usage(`There is no file ${show(entry, cwd)}.`);
  const marked = findProject(dirname(entry));
  const boundary = marked ?? dirname(entry);
  const real_boundary = await realpath(boundary);
  const walk: Walk = { cwd, boundary, real_boundary, unmarked: marked === undefined, files: new Map(), bytes: 0 };
  if (!CODE.includes(extname(entry))) {
    throw usage(`${show(entry, cwd)} is not code that can be run: FILE ends in ${CODE.join(", ")}.`);
  }
  const queue = [entry];
  await load(walk, entry, undefined);
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    const source = walk.files.get(at);
    if (typeof source !== "string" || !CODE.includes(extname(at))) continue;
    for (const specifier of await importsOf(source, extname(at), show(at, cwd))) {
      const target = await resolveImport(walk, at, source, specifier);
      if (walk.files.has(target)) continue;
      await load(walk, target, { importer: at, source, specifier });
      queue.push(target);
    }
  }
  return named(walk, entry);
}

function named(walk: Walk, entry: string): Collected {
  const root = commonDirectory([...walk.files.keys()]);
  const nameOf = (path: string): string => relative(root, path).split(sep).join("/");
  const modules = Object.fromEntries([...walk.files].map(([path, source]) => [nameOf(path), source]));
  return { entry: nameOf(entry), modules, root };
}

/** The nearest directory at or above `from` that a package.json or .git marks as a project. */
function findProject(from: string): string | undefined {
  for (let at = from; ; at = dirname(at)) {
    if (existsSync(join(at, "package.json")) || existsSync(join(at, ".git"))) return at;
    if (dirname(at) === at) return undefined;
  }
}

interface Importer {
  importer: string;
  source: string;
  specifier: Specifier;
}

/** The file that a relative import means. */
async function resolveImport(walk: Walk, importer: string, source: string, specifier: Specifier): Promise<string> {
  const exact = resolve(dirname(importer), specifier.name);
  if (!inside(walk.boundary, exact)) throw outside(walk, { importer, source, specifier }, exact);
  for (const candidate of candidatesOf(exact)) {
    const found = await stat(candidate).catch(() => undefined);
    if (found?.isFile()) return candidate;
  }
  throw complaint(
    walk,
    { importer, source, specifier },
    `"${specifier.name}" does not exist: there is no file ${show(exact, walk.cwd)}.`,
  );
}

/** By the server's rule, most likely first: the exact name, a script behind `x.js`, `x` as a script, `x` as a directory. */
function candidatesOf(path: string): string[] {
  const scriptsOf = (stem: string): string[] => CODE.map((extension) => stem + extension);
  const extension = extname(path);
  const behind = [".js", ".mjs", ".jsx"].includes(extension) ? scriptsOf(path.slice(0, -extension.length)) : [];
  return [path, ...behind, ...scriptsOf(path), ...scriptsOf(join(path, "index"))];
}

/** Reads one file into the walk, after every check that can be made without reading it. */
async function load(walk: Walk, path: string, by: Importer | undefined): Promise<void> {
  const shown = show(path, walk.cwd);
  const extension = extname(path);
  if (![...CODE, ...TEXT, ...BINARY].includes(extension)) {
    const kinds = [...CODE, ...TEXT, ...BINARY].join(" ");
    throw complaint(walk, by, `${shown} is no module: only files ending in ${kinds} can be imported.`);
  }
  if (walk.files.size >= MODULES_MAX) throw complaint(walk, by, `The code has more than ${MODULES_MAX} modules.`);
  let bytes: Buffer;
  try {
    const real = await realpath(path);
    if (!inside(walk.real_boundary, real)) throw outside(walk, by, real);
    const { size } = await stat(real);
    if (walk.bytes + size > CODE_BYTES_MAX) throw complaint(walk, by, `With ${shown} the code is larger than 16 MB.`);
    bytes = await readFile(real);
  } catch (error) {
    if (error instanceof Error && error.name === "Failure") throw error;
    throw complaint(walk, by, `${shown} cannot be read: ${reasonOf(error)}.`);
  }
  walk.bytes += bytes.length;
  walk.files.set(
    path,
    BINARY.includes(extension) ? { base64: bytes.toString("base64") } : decode(walk, by, shown, bytes),
  );
}

function decode(walk: Walk, by: Importer | undefined, shown: string, bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw complaint(walk, by, `${shown} is not UTF-8 text; name a binary file .bin or .wasm.`);
  }
}

function outside(walk: Walk, by: Importer | undefined, target: string): Error {
  const limit = walk.unmarked
    ? `the directory of FILE (no package.json or .git above it marks a larger project)`
    : `the project ${show(walk.boundary, walk.cwd)}`;
  const what = by === undefined ? "FILE" : `"${by.specifier.name}"`;
  return complaint(walk, by, `${what} leads to ${show(target, walk.cwd)}, outside ${limit}; such files are not sent.`);
}

/** A failure that points at the import which caused it. */
function complaint(walk: Walk, by: Importer | undefined, text: string): Error {
  if (by === undefined) return usage(text);
  const at = show(by.importer, walk.cwd);
  const place = lineOf(by.source, by.specifier.name);
  return usage(text, { problems: [{ at, ...place, text: "imported here" }], sources: new Map([[at, by.source]]) });
}

function inside(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
}

/** As a person would type it: relative while that stays short. */
function show(path: string, cwd: string): string {
  const near = relative(cwd, path);
  if (near === "") return ".";
  return near.startsWith(join("..", "..")) ? path : near;
}

function commonDirectory(paths: readonly string[]): string {
  let common = dirname(paths[0] ?? sep);
  while (!paths.every((path) => inside(common, path))) common = dirname(common);
  return common;
}
