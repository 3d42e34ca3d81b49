import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { contracts, errorKinds } from "../../scripts/contracts.ts";
import { isFollowed, readPage } from "../../scripts/follow/page.mjs";
import { ROOT, read, type Source, sources } from "./source.ts";

/** Paths that a document links to, relative to the repository. */
function links({ path, text }: Source): string[] {
  return [...text.matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)]
    .map((match) => match[1] ?? "")
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => join(dirname(path), target));
}

/** What stands behind each opening fence. */
function fencesOf(text: string): string[] {
  return [...text.matchAll(/^\s*```(.*)$/gm)].map((match) => match[1] ?? "").filter((_, n) => n % 2 === 0);
}

const documents = sources(/\.md$/, /^examples\/[^/]+\//);

describe("documents", () => {
  const written = ["docs_errors", "docs_limits", "docs_cli", "docs_api", "docs_metrics", "docs_contract"];
  it.each(written)("what %s writes is what stands there", (script) => {
    const args = ["--import", "tsx", `scripts/${script}.ts`, "--check"];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  it("name every error code, and no other", async () => {
    const codes = (await contracts()).flatMap(errorKinds).map(({ code }) => code);
    const named = [...read("docs/errors.md").matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1]);
    expect(named.sort()).toEqual(codes.sort());
    expect(new Set(codes).size).toBe(codes.length);
    expect(codes.length).toBeGreaterThan(60);
  });

  it("link only to what is there", () => {
    const broken = documents.flatMap((document) =>
      links(document)
        .filter((target) => !existsSync(ROOT + target))
        .map((target) => `${document.path} -> ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it("that show commands are followed: a block that runs is on a page which is run, and every block says what it is", () => {
    const { newcomer, others } = JSON.parse(read("scripts/follow_pages.json")) as Record<string, string[]>;
    const pages = sources(/^docs\/.*\.md$|^README\.md$/);
    const fences = pages.flatMap(({ path, text }) => fencesOf(text).map((info) => ({ path, info })));
    expect(fences.filter(({ info }) => info === "").map(({ path }) => path)).toEqual([]);
    const run = new Set(fences.filter(({ info }) => isFollowed(info)).map(({ path }) => path));
    expect([...run].sort()).toEqual([...new Set([...(newcomer ?? []), ...(others ?? [])])].sort());
    for (const { path, text } of pages) if (run.has(path)) expect(() => readPage(text), path).not.toThrow();
  });

  it("name only commands that there are", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const unknown = documents.flatMap(({ path, text }) =>
      [...text.matchAll(/npm run ([\w:-]+)/g)]
        .map((match) => match[1] ?? "")
        .filter((name) => !(name in scripts))
        .map((name) => `${path}: npm run ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  it("name every member of the config file, and no other", () => {
    const schema = /const file = z\.strictObject\(\{(.*?)\n\}\);/s.exec(read("server/src/config.ts"))?.[1] ?? "";
    const members = [...schema.matchAll(/^ {2}(\w+):/gm)].map((match) => match[1]);
    const table = /## The config file(.*?)\n## /s.exec(read("docs/operating.md"))?.[1] ?? "";
    const rows = [...table.matchAll(/^\| (`.*?) \|/gm)].flatMap((match) => (match[1] ?? "").match(/\w+/g) ?? []);
    expect(rows.sort()).toEqual(members.sort());
    expect(members.length).toBeGreaterThan(10);
  });

  it("of decisions are numbered without a gap, and say context, decision and consequences", () => {
    const decisions = sources(/^docs\/decisions\/.*\.md$/);
    const numbers = decisions.map(({ path }) => Number(/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1]));
    expect(numbers).toEqual(decisions.map((_, index) => index + 1));
    for (const { path, text } of decisions) {
      expect(
        [...text.matchAll(/^## (.*)$/gm)].map((match) => match[1]),
        path,
      ).toEqual(["Context", "Decision", "Consequences"]);
    }
  });
});
