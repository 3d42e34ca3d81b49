import ts from "typescript";
import { describe, expect, it } from "vitest";
import { matches, nodes, parse, place, type Source, sources, TESTS } from "./source.ts";

const TEXT = /\.(ts|mjs|cjs|js|json|md|sh|ya?ml|py|wat|capnp)$|^bin\/|^\.(npmrc|gitignore|editorconfig)$/;
const TYPESCRIPT = /\.tsx?$/;
/** What the guests of the tests say is theirs: they try whatever a hostile program would. */
const GUESTS = /^tests\/fixtures\/guests\//;
const HERE = /^tests\/tidy\/words\.test\.ts$/;

interface Ban {
  what: string;
  pattern: RegExp;
  /** Where it is looked for. */
  in: RegExp;
  /** Where it is right. */
  but?: RegExp;
  /** Shows that the pattern sees what it is for. */
  such_as: string;
}

const BANS: Ban[] = [
  { what: "a wish instead of work", pattern: /\b(TODO|FIXME|XXX)\b/, in: TEXT, such_as: "// TODO: later" },
  {
    what: "a path of one machine",
    pattern: /(?<![\w./@*}-])\/(work|root|home\/(?!<)[\w-]+)(?=[/"'`\s]|$)/m,
    in: TEXT,
    but: GUESTS,
    such_as: 'cd "/home/someone/gantry"',
  },
  {
    what: "a host of a registry",
    pattern: /registry\.[\w-]+\.\w+/,
    in: TEXT,
    such_as: "https://registry.example.org/x",
  },
  {
    what: "a silenced compiler",
    pattern: /@ts-(ignore|nocheck|expect-error)/,
    in: /\.(ts|mjs|cjs)$/,
    such_as: "// @ts-ignore",
  },
  {
    what: "a test that does not run, or runs alone",
    pattern: /\.(skip|only|todo|skipIf|runIf)\(|\b[xf](it|describe|test)\(/,
    in: /\.test\.ts$|^tests\/.*\.ts$/,
    // The one place that skips: loudly, with a reason, and never what is required.
    but: /^tests\/fixtures\/need\.ts$/,
    such_as: 'it.only("x", f)',
  },
  {
    what: "a test that is repeated until it passes",
    pattern: /\bretry:\s*\d|\bretries:\s*\d|vi\.(mock|doMock)\(/,
    in: /\.test\.ts$|^tests\/.*\.ts$|^vitest\.config\.ts$/,
    such_as: "{ retry: 3 }",
  },
  {
    what: "a file that has not found its idea",
    pattern: /^/,
    in: /(^|\/)(utils?|helpers?|common|managers?|services?|misc)(\/|\.ts$)/,
    such_as: "",
  },
];

const all: Source[] = sources(TEXT);

describe("nowhere in the project is there", () => {
  it.each(BANS)("$what", ({ pattern, in: where, but, such_as }) => {
    expect(matches({ path: "a", text: such_as }, pattern)).not.toEqual([]);
    const looked_at = all.filter(({ path }) => where.test(path) && !but?.test(path) && !HERE.test(path));
    expect(looked_at.flatMap((source) => matches(source, pattern))).toEqual([]);
  });

  const typed = all.filter(({ path }) => TYPESCRIPT.test(path)).map(parse);
  const where = (file: ts.SourceFile, is: (node: ts.Node) => boolean) =>
    nodes(file)
      .filter(is)
      .map((node) => place(file, node));

  // In a test, the linter asks for a reason.
  it("an untyped value outside the tests", () => {
    const isAny = (node: ts.Node) => node.kind === ts.SyntaxKind.AnyKeyword;
    const text = "const a: any = 1;\nf(a as any);\nlet many: Array<any>;\n// any, as any, : any";
    expect(where(parse({ path: "a.ts", text }), isAny)).toEqual(["a.ts:1", "a.ts:2", "a.ts:3"]);
    expect(typed.filter((file) => !TESTS.test(file.fileName)).flatMap((file) => where(file, isAny))).toEqual([]);
  });

  // Guests, workers and configurations of tools are called by theirs.
  it("a default export where nobody asks for one", () => {
    const asked = /^examples\/|^isolate\/src\/host\.ts$|\.config\.ts$|\.d\.ts$|^tests\/fixtures\/guests\//;
    const isDefault = (node: ts.Node) => node.kind === ts.SyntaxKind.DefaultKeyword || ts.isExportAssignment(node);
    const text = "export default 1;\nexport default function f() {}\nconst text = `\nexport default 2`;";
    expect(where(parse({ path: "a.ts", text }), isDefault)).toEqual(["a.ts:1", "a.ts:2"]);
    expect(typed.filter((file) => !asked.test(file.fileName)).flatMap((file) => where(file, isDefault))).toEqual([]);
  });

  it("no file that this test would not see", () => {
    expect(all.length).toBeGreaterThan(250);
  });
});
