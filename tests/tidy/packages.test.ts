import { describe, expect, it } from "vitest";
import { read, sources } from "./source.ts";

type Versions = Record<string, string>;
interface Manifest {
  name: string;
  scripts?: Versions;
  dependencies?: Versions;
  devDependencies?: Versions;
  optionalDependencies?: Versions;
  overrides?: Versions;
  workspaces?: string[];
  allowScripts?: Record<string, boolean>;
}
interface Locked {
  link?: boolean;
  resolved?: string;
  integrity?: string;
  hasInstallScript?: boolean;
  optionalDependencies?: Versions;
}

const root = JSON.parse(read("package.json")) as Manifest;
const manifests = sources(/^([a-z]+\/)?package\.json$/).map(({ text }) => JSON.parse(text) as Manifest);
const lockfile = read("package-lock.json");
const { packages } = JSON.parse(lockfile) as { packages: Record<string, Locked> };

/** Is there a package `name` that code at `path` would find? As Node looks for it: outwards, folder by folder. */
function isFound(locked: Record<string, Locked>, path: string, name: string): boolean {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("node_modules/") - 1))) {
    if (`${folder === "" ? "" : `${folder}/`}node_modules/${name}` in locked) return true;
    if (folder === "") return false;
  }
}

function missingOptional(locked: Record<string, Locked>): string[] {
  return Object.entries(locked).flatMap(([path, { optionalDependencies }]) =>
    Object.keys(optionalDependencies ?? {})
      .filter((name) => !isFound(locked, path, name))
      .map((name) => `${path} -> ${name}`),
  );
}

describe("the manifests", () => {
  it("are those of the root and of its workspaces", () => {
    expect(manifests.map(({ name }) => name).sort()).toEqual(
      ["gantry", ...(root.workspaces ?? []).map((folder) => `@gantry/${folder}`)].sort(),
    );
  });

  it("name exact versions only", () => {
    const named = manifests.flatMap((m) =>
      [m.dependencies, m.devDependencies, m.optionalDependencies, m.overrides].flatMap((one) =>
        Object.entries(one ?? {}),
      ),
    );
    expect(named.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
    expect(named.length).toBeGreaterThan(15);
  });

  it("have no scripts that npm runs by itself", () => {
    const names = manifests.flatMap((manifest) => Object.keys(manifest.scripts ?? {}));
    const itself = /^(preinstall|install|postinstall|prepublish|prepublishOnly|prepare|prepack|postpack|dependencies)$/;
    const around = (name: string) => /^(pre|post)/.test(name) && names.includes(name.replace(/^(pre|post)/, ""));
    expect(names.filter((name) => itself.test(name) || around(name))).toEqual([]);
  });
});

describe("an installation", () => {
  it("runs no script, on any npm", () => {
    const lines = read(".npmrc").trim().split("\n");
    expect(lines).toEqual(
      expect.arrayContaining([
        "ignore-scripts=true",
        "strict-allow-scripts=true",
        "engine-strict=true",
        "omit-lockfile-registry-resolved=true",
      ]),
    );
    // A registry, or a token for one, belongs to whoever installs.
    expect(lines.filter((line) => /registry\s*=|:_|^\/\//.test(line))).toEqual([]);
  });

  it("meets no script of a package that was not denied by name", () => {
    const scripted = Object.entries(packages)
      .filter(([, { hasInstallScript }]) => hasInstallScript)
      .map(([path]) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length));
    const denied = Object.entries(root.allowScripts ?? {});
    expect(denied.filter(([, allowed]) => allowed)).toEqual([]);
    expect(scripted.filter((name) => !denied.some(([one]) => one === name))).toEqual([]);
  });
});

describe("the lockfile", () => {
  it("says what each package is, and not where it was fetched", () => {
    const outside = Object.entries(packages).filter(([path, { link }]) => path.includes("node_modules/") && !link);
    expect(outside.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    expect(outside.filter(([, { integrity }]) => !integrity?.startsWith("sha512-"))).toEqual([]);
    expect(lockfile).not.toMatch(/"resolved": "\w+:/);
  });

  // npm leaves an optional package out without a word when it cannot be had, and `npm ci` elsewhere then fails.
  it("has every optional package that it names", () => {
    expect(missingOptional(packages)).toEqual([]);
  });

  it("would be caught without one", () => {
    const locked = { "node_modules/a": { optionalDependencies: { b: "1.0.0", c: "1.0.0" } }, "node_modules/b": {} };
    expect(missingOptional(locked)).toEqual(["node_modules/a -> c"]);
    expect(missingOptional({ ...locked, "node_modules/a/node_modules/c": {} })).toEqual([]);
  });
});
