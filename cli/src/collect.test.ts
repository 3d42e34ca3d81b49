import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CODE_BYTES_MAX, collect, MODULES_MAX } from "./collect.ts";
import { tempDirectory } from "./testing.ts";

let base = "";
let remove = async (): Promise<void> => undefined;
beforeEach(async () => {
  ({ path: base, remove } = await tempDirectory());
});
afterEach(() => remove());

async function files(tree: Record<string, string | Uint8Array>): Promise<void> {
  for (const [path, content] of Object.entries(tree)) {
    await mkdir(dirname(join(base, path)), { recursive: true });
    await writeFile(join(base, path), content);
  }
}

test("a file alone is one module under its own name", async () => {
  await files({ "main.ts": "export default () => 1;\n" });
  expect(await collect("main.ts", base)).toEqual({
    entry: "main.ts",
    modules: { "main.ts": "export default () => 1;\n" },
    root: base,
  });
});

test("relative imports of every kind are followed, once each, circles too", async () => {
  await files({
    "package.json": "{}",
    "app/main.ts": `
      import { a } from "./a.ts";
      import text from "./notes.md";
      export * from "../lib/b";
      export { c } from "../lib/c.js";
      import data from './data.json' with { type: "json" };
      const later = await import("./later.mjs");
      import type { Unused } from "./unused.ts";
      import { type Gone } from "./gone.ts";
      import fs from "node:fs";
      import { DurableObject } from "cloudflare:workers";
      import bare from "left-pad";
      import(\`./\${a}.ts\`); import("./" + a);
      // import "./comment.ts"
      const s = 'import "./string.ts"';
      console.log(text, data, fs, DurableObject, bare);
    `,
    "app/a.ts": 'import "./main.ts"; export const a: string = "";',
    "app/later.mjs": "import '../lib/m.wasm';",
    "app/notes.md": "# ü",
    "app/data.json": "[1]",
    "lib/b.ts": 'import type { T } from "./types.ts"; import { type U } from "./kept.ts"; export const b = 1 as T & U;',
    "lib/c.ts": "export const c = 1;",
    "lib/m.wasm": new Uint8Array([0, 97, 115, 109]),
  });
  const { entry, modules, root } = await collect("app/main.ts", base);
  expect(entry).toBe("app/main.ts");
  expect(root).toBe(base);
  expect(Object.keys(modules).sort()).toEqual([
    "app/a.ts",
    "app/data.json",
    "app/later.mjs",
    "app/main.ts",
    "app/notes.md",
    "lib/b.ts",
    "lib/c.ts",
    "lib/m.wasm",
  ]);
  expect(modules["app/notes.md"]).toBe("# ü");
  expect(modules["lib/m.wasm"]).toEqual({ base64: "AGFzbQ==" });
});

test.each([
  ["./x", ["x.ts"]],
  ["./x", ["x.js", "x/index.ts"]],
  ["./x", ["x/index.ts"]],
  ["./x.js", ["x.js", "x.ts"]],
  ["./x.js", ["x.tsx"]],
  ["./x.mjs", ["x.mts"]],
])("%j means the first of %j", async (name, tree) => {
  await files({ "main.ts": `import "${name}";`, ...Object.fromEntries(tree.map((path) => [path, ""])) });
  expect(Object.keys((await collect("main.ts", base)).modules)).toEqual(["main.ts", tree[0]]);
});

test("names are relative to the deepest directory that holds all modules", async () => {
  await files({
    ".git/HEAD": "",
    "deep/er/src/main.ts": 'import "../lib/x.ts";',
    "deep/er/lib/x.ts": "",
  });
  const { entry, modules } = await collect("main.ts", join(base, "deep/er/src"));
  expect(entry).toBe("src/main.ts");
  expect(Object.keys(modules)).toEqual(["src/main.ts", "lib/x.ts"]);
});

test("an import that leaves the project is refused, with its place", async () => {
  await files({
    "secret.txt": "s",
    "app/package.json": "{}",
    "app/main.ts": 'import "./a.ts";',
    "app/a.ts": '\nimport s from "../secret.txt"; console.log(s);',
  });
  await expect(collect("app/main.ts", base)).rejects.toMatchObject({
    exit: 2,
    message: '"../secret.txt" leads to secret.txt, outside the project app; such files are not sent.',
    parts: { problems: [{ at: "app/a.ts", line: 2, column: 16 }] },
  });
});

test("without a package.json or .git only the directory of the file is the project", async () => {
  await files({ "lib/x.ts": "", "app/main.ts": 'import "../lib/x.ts";' });
  await expect(collect("app/main.ts", base)).rejects.toThrow(
    "outside the directory of FILE (no package.json or .git above it marks a larger project)",
  );
});

test("a symbolic link that leads outside is refused, for files, directories and the entry", async () => {
  await files({ "secret.txt": "s", "dir/x.txt": "x", "app/package.json": "{}" });
  await files({ "app/file.ts": 'import "./link.txt";', "app/dir.ts": 'import "./dir/x.txt";', "elsewhere.ts": "" });
  await symlink(join(base, "secret.txt"), join(base, "app/link.txt"));
  await symlink(join(base, "dir"), join(base, "app/dir"));
  await symlink(join(base, "elsewhere.ts"), join(base, "app/entry.ts"));
  await expect(collect("app/file.ts", base)).rejects.toThrow(
    '"./link.txt" leads to secret.txt, outside the project app',
  );
  await expect(collect("app/dir.ts", base)).rejects.toThrow("outside the project app");
  await expect(collect("app/entry.ts", base)).rejects.toThrow("FILE leads to elsewhere.ts, outside the project app");
});

test("a symbolic link within the project is one more module", async () => {
  await files({ "package.json": "{}", "main.ts": 'import "./link.ts";', "real.ts": "export {};" });
  await symlink(join(base, "real.ts"), join(base, "link.ts"));
  expect((await collect("main.ts", base)).modules).toMatchObject({ "link.ts": "export {};" });
});

test("a project that is itself reached through a link works", async () => {
  await files({ "real/package.json": "{}", "real/main.ts": 'import "./x.ts";', "real/x.ts": "" });
  await symlink(join(base, "real"), join(base, "way"));
  expect(Object.keys((await collect("way/main.ts", base)).modules)).toEqual(["main.ts", "x.ts"]);
});

test.each([
  ["import './gone.ts';", '"./gone.ts" does not exist: there is no file gone.ts.'],
  ["import './sub';", '"./sub" does not exist'],
  ["import './pic.png';", "pic.png is no module: only files ending in"],
  ["import './bytes.txt';", "bytes.txt is not UTF-8 text"],
])("%j is refused", async (source, sentence) => {
  await files({ "main.ts": source, "sub/x.ts": "", "pic.png": "", "bytes.txt": new Uint8Array([0xff]) });
  await expect(collect("main.ts", base)).rejects.toThrow(sentence);
});

test("code that does not parse is told with line and column, counted in characters", async () => {
  await files({ "main.ts": 'const ok = 1;\nconst ü = "ü" 7;\n' });
  await expect(collect("main.ts", base)).rejects.toMatchObject({
    message: "main.ts does not parse.",
    parts: { problems: [{ at: "main.ts", line: 2, column: 15, text: 'Expected ";" but found "7"' }] },
  });
});

test("a missing file, a directory and a file of another kind are refused", async () => {
  await files({ "page.html": "", "dir.ts/x.ts": "" });
  await expect(collect("none.ts", base)).rejects.toThrow("There is no file none.ts.");
  await expect(collect("page.html", base)).rejects.toThrow("page.html is not code that can be run");
  await expect(collect("dir.ts", base)).rejects.toThrow("dir.ts cannot be read: it is a directory.");
});

test("modules are collected up to their limit, and one more is refused", async () => {
  const many = (n: number) => Array.from({ length: n }, (_, i) => `import "./m${i}.txt";`).join("\n");
  const tree = Object.fromEntries(Array.from({ length: MODULES_MAX }, (_, i) => [`m${i}.txt`, ""]));
  await files({ ...tree, "full.ts": many(MODULES_MAX - 1), "over.ts": many(MODULES_MAX) });
  expect(Object.keys((await collect("full.ts", base)).modules).length).toBe(MODULES_MAX);
  await expect(collect("over.ts", base)).rejects.toThrow(`more than ${MODULES_MAX} modules`);
});

test("bytes are collected up to their limit, and one more is refused", async () => {
  const source = 'import "./big.bin";';
  await files({ "main.ts": source, "big.bin": new Uint8Array(CODE_BYTES_MAX - source.length) });
  expect(Object.keys((await collect("main.ts", base)).modules)).toEqual(["main.ts", "big.bin"]);
  await files({ "big.bin": new Uint8Array(CODE_BYTES_MAX - source.length + 1) });
  await expect(collect("main.ts", base)).rejects.toThrow("With big.bin the code is larger than 16 MB.");
});
