import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { cruise, type ICruiseOptions, type ICruiseResult, type IForbiddenRuleType } from "dependency-cruiser";

interface Rules {
  /** Rooms of the server, from the ground up. */
  floors: string[][];
  /** Folders of the server that are no rooms: they stand beside `main.ts`. */
  composition: string[];
  forbidden: IForbiddenRuleType[];
  options: ICruiseOptions;
}

export interface Cruise {
  /** Our own files that were looked at, relative to the tree's root. */
  modules: string[];
  /** `<rule>: <from> -> <to>`, sorted. */
  violations: string[];
}

/** Where code of ours may stand; folders that a tree does not have are left out. */
export const CODE_FOLDERS = ["server", "isolate", "sdk", "cli", "scripts", "bench", "tests"];

/** The rules of `.dependency-cruiser.cjs`. */
export const rules: Rules = createRequire(import.meta.url)("../.dependency-cruiser.cjs");

/**
 * Judges every import in the tree at `root` by the project's rules, and every folder of the server by the list of
 * floors: a room that is on no floor would be judged by no rule.
 */
export async function cruiseTree(root: string): Promise<Cruise> {
  const folders = CODE_FOLDERS.filter((folder) => existsSync(`${root}/${folder}`));
  const { output } = await cruise(folders, {
    ...rules.options,
    baseDir: root,
    validate: true,
    ruleSet: { forbidden: rules.forbidden },
  });
  const result = output as ICruiseResult;
  const broken = result.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`);
  return {
    modules: result.modules.map((module) => module.source).filter((path) => ours(path, folders)),
    violations: [...broken, ...homeless(root)].sort(),
  };
}

function ours(path: string, folders: string[]): boolean {
  return !path.includes("node_modules/") && folders.includes(path.split("/")[0] ?? "");
}

function homeless(root: string): string[] {
  const known = new Set([...rules.floors.flat(), ...rules.composition]);
  if (!existsSync(`${root}/server/src`)) return [];
  return readdirSync(`${root}/server/src`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !known.has(entry.name))
    .map((entry) => `no-floor: server/src/${entry.name} -> .dependency-cruiser.cjs`);
}
